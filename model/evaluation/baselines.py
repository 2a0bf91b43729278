"""Detectors that were never trained, which a trained one has to beat: frame difference and MOG2.

Each gives the picture that it expected. The difference is pooled, placed in ranges and smoothed
just as the network's error is.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from model.evaluation.camera_pass import Rows
from model.evaluation.heat_maps import HeatMaps
from model.footage.clips import Clip
from model.frames import Frame
from model.scoring import measures
from model.scoring.measures import Measures
from model.scoring.normal_range import NormalRange
from model.scoring.prediction_error import error_map, frame_error, pool_cells
from model.scoring.score_config import ErrorStep, ScoreConfig
from model.training.bundle_calibration import compute_threshold, measure_normal_range

Pictures = tuple[NDArray[np.float32], NDArray[np.float32]]
"""Expected and actual, in [0, 1], (H, W) or (H, W, 3)."""

START_FRAMES = 100
"""Without normal footage a range starts from this many frames, or a quarter of a short test set."""

DIFFERENCE = "frame difference"
MOG2 = "MOG2"


class Baseline(Protocol):
    """A detector that takes a camera's frames in order, and expects something of the next one."""

    def cut(self) -> None:
        """Mark that the next frame doesn't follow the last one."""

    def observe(self, frame: Frame) -> Pictures | None:
        """Return the expected picture and this one; None without a past to compare with."""


class FrameDifference:
    """Expects the previous frame: |I_t - I_(t-1)|."""

    def __init__(self) -> None:
        self._previous: NDArray[np.float32] | None = None

    def cut(self) -> None:
        """Forget the previous frame."""
        self._previous = None

    def observe(self, frame: Frame) -> Pictures | None:
        """Return the previous frame and this one."""
        actual = frame.astype(np.float32) / np.float32(255.0)
        previous, self._previous = self._previous, actual
        return None if previous is None else (previous, actual)


class Foreground:
    """OpenCV's MOG2 with its own settings, no shadows: foreground is an error of 1, background 0.

    Its PSNR is -10 log10 of the foreground's share; the other errors are pooled foreground.
    """

    def __init__(self) -> None:
        self._model = cv2.createBackgroundSubtractorMOG2(detectShadows=False)
        self._seen = False

    def cut(self) -> None:
        """Keep the background: a fixed camera comes back to the same place."""

    def observe(self, frame: Frame) -> Pictures | None:
        """Return the background's share of a white picture, and the white picture."""
        foreground = self._model.apply(frame)
        seen, self._seen = self._seen, True
        if not seen:
            return None
        expected = 1.0 - np.asarray(foreground, np.float32) / np.float32(255.0)
        return expected, np.ones_like(expected)


def make_baselines() -> dict[str, Baseline]:
    """Make a new baseline of each kind, by name."""
    return {DIFFERENCE: FrameDifference(), MOG2: Foreground()}


@dataclass(frozen=True, slots=True)
class RangeStart:
    """The source of a baseline's ranges."""

    normal_footage: bool
    """If False, the first frames of the test clips, which then have no causal score."""
    frames: int


@dataclass(frozen=True, slots=True)
class BaselineRun:
    """The measures of the test clips by a baseline; see `run_baseline`."""

    rows: Rows
    normal: NormalRange
    thresholds: Mapping[str, float]
    """The thresholds by score; empty without normal footage."""
    start: RangeStart


@dataclass(frozen=True, slots=True)
class BaselineSetup:
    """The settings with which a baseline is measured."""

    scores: Mapping[str, ScoreConfig]
    heat: ErrorStep
    """The pooling of its heat maps."""
    context: int
    """The first frames of each clip get no score: as many as with the network."""


def run_baseline(
    baseline: Baseline,
    clips: Sequence[Clip],
    normal: Sequence[Clip],
    setup: BaselineSetup,
    *,
    maps: HeatMaps | None = None,
    on_frame: Callable[[], None] = lambda: None,
) -> BaselineRun:
    """Measure normal footage, if there is any, then the test clips.

    Without normal footage the ranges come from the first test frames. Those keep their measures
    for the offline protocol; `BaselineRun.start` counts those that may not have a causal score.

    Raises: ValueError: no frame could be measured.
    """
    usual = _measure(baseline, normal, setup, None, on_frame)
    rows = _measure(baseline, clips, setup, maps, on_frame)
    if any(row is not None for clip_rows in usual for row in clip_rows):
        span = measure_normal_range(usual)
        thresholds = {
            name: compute_threshold(usual, score, span) for name, score in setup.scores.items()
        }
        return BaselineRun(rows, span, thresholds, RangeStart(True, sum(map(len, usual))))
    measured = [row for clip_rows in rows for row in clip_rows if row is not None]
    count = max(1, min(START_FRAMES, len(measured) // 4))
    return BaselineRun(rows, measure_normal_range([measured[:count]]), {}, RangeStart(False, count))


def _measure(
    baseline: Baseline,
    clips: Sequence[Clip],
    setup: BaselineSetup,
    maps: HeatMaps | None,
    on_frame: Callable[[], None],
) -> Rows:
    steps = tuple({score.error.key: score.error for score in setup.scores.values()}.values())
    rows: Rows = []
    for clip in clips:
        baseline.cut()
        rows.append([])
        if maps is not None:
            maps.begin_clip()
        for index, frame in enumerate(clip.frames):
            pictures = baseline.observe(np.array(frame))
            known = pictures is not None and index >= setup.context
            pair = _to_tensors(pictures) if known and pictures is not None else None
            rows[-1].append(None if pair is None else _to_measures(*pair, steps))
            if maps is not None:
                maps.add(None if pair is None else _pool_heat(*pair, setup.heat))
            on_frame()
    return rows


def _to_tensors(pictures: Pictures) -> tuple[Tensor, Tensor]:
    """Convert each picture to (1, C, H, W)."""
    expected, actual = (
        torch.from_numpy(picture[None] if picture.ndim == 2 else picture.transpose(2, 0, 1))[None]
        for picture in pictures
    )
    return expected, actual


def _to_measures(expected: Tensor, actual: Tensor, steps: Sequence[ErrorStep]) -> Measures:
    errors = {step.key: float(frame_error(step, expected, actual)) for step in steps}
    psnr = float(measures.psnr(expected, actual))
    return Measures(psnr=psnr, distance=0.0, gate_error=0.0, errors=errors)


def _pool_heat(expected: Tensor, actual: Tensor, step: ErrorStep) -> NDArray[np.float32]:
    cells = pool_cells(error_map(step.kind, expected, actual), step)
    return np.asarray(cells[0].numpy(), np.float32)
