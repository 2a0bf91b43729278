"""Detectors that were never trained, which a trained one has to beat: frame difference and MOG2.

Each says what it expected of a frame; the difference goes through the same poolings, ranges and
smoothing as the network's does.
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

from model import measures
from model.calibration import normal_range, threshold
from model.config import ErrorStep, NormalRange, ScoreConfig
from model.evaluation.heat import HeatMaps
from model.evaluation.passes import Rows
from model.footage import Clip
from model.frames import Frame
from model.score import Measures, error_map, frame_error, pool_cells

Pictures = tuple[NDArray[np.float32], NDArray[np.float32]]
"""Expected and actual, in [0, 1], (H, W) or (H, W, 3)."""

START_FRAMES = 100
"""Frames that start a range where there is no normal footage; of short test sets a quarter."""

DIFFERENCE = "frame difference"
MOG2 = "MOG2"


class Baseline(Protocol):
    """What takes a camera's frames in order, and expects something of the next one."""

    def cut(self) -> None:
        """Say that the next frame doesn't follow the last one."""

    def look(self, frame: Frame) -> Pictures | None:
        """Take the frame in; None without a past to compare it with."""


class FrameDifference:
    """Expects the previous frame: |I_t - I_(t-1)|."""

    def __init__(self) -> None:
        self._previous: NDArray[np.float32] | None = None

    def cut(self) -> None:
        """Forget the previous frame."""
        self._previous = None

    def look(self, frame: Frame) -> Pictures | None:
        """The previous frame and this one."""
        actual = frame.astype(np.float32) / np.float32(255.0)
        previous, self._previous = self._previous, actual
        return None if previous is None else (previous, actual)


class Foreground:
    """OpenCV's MOG2 with its own settings, no shadows: foreground is an error of 1, background 0.

    PSNR of it is -10 log10 of the foreground's share, the others are pooled foreground. The
    background is kept over cuts: a fixed camera comes back to the same place.
    """

    def __init__(self) -> None:
        self._model = cv2.createBackgroundSubtractorMOG2(detectShadows=False)
        self._seen = False

    def cut(self) -> None:
        """Nothing: see above."""

    def look(self, frame: Frame) -> Pictures | None:
        """The background's share of a white picture, and the white picture."""
        foreground = self._model.apply(frame)
        seen, self._seen = self._seen, True
        if not seen:
            return None
        expected = 1.0 - np.asarray(foreground, np.float32) / np.float32(255.0)
        return expected, np.ones_like(expected)


def baselines() -> dict[str, Baseline]:
    """A fresh one of each, by name."""
    return {DIFFERENCE: FrameDifference(), MOG2: Foreground()}


@dataclass(frozen=True, slots=True)
class Start:
    """Where a baseline's ranges come from."""

    normal_footage: bool
    """Else from the first frames of the test clips, which then have no causal score."""
    frames: int


@dataclass(frozen=True, slots=True)
class Watched:
    """What a baseline made of the test clips; see `watch`."""

    rows: Rows
    normal: NormalRange
    thresholds: Mapping[str, float]
    """By score; empty without normal footage."""
    start: Start


@dataclass(frozen=True, slots=True)
class Setup:
    """How a baseline is measured."""

    scores: Mapping[str, ScoreConfig]
    heat: ErrorStep
    """The pooling of its heat maps."""
    context: int
    """Frames of each clip that get no score, as many as the network's."""


def watch(
    baseline: Baseline,
    clips: Sequence[Clip],
    normal: Sequence[Clip],
    setup: Setup,
    *,
    maps: HeatMaps | None = None,
    on_frame: Callable[[], None] = lambda: None,
) -> Watched:
    """Show a baseline normal footage, if there is any, then the test clips.

    Without normal footage its ranges come from the first test frames. Those keep their measures,
    for the offline protocol; `Watched.start` says how many may not have a causal score.

    Raises: ValueError: no frame could be measured.
    """
    usual = _measure(baseline, normal, setup, None, on_frame)
    rows = _measure(baseline, clips, setup, maps, on_frame)
    if any(row is not None for clip_rows in usual for row in clip_rows):
        span = normal_range(usual)
        thresholds = {name: threshold(usual, score, span) for name, score in setup.scores.items()}
        return Watched(rows, span, thresholds, Start(True, sum(map(len, usual))))
    measured = [row for clip_rows in rows for row in clip_rows if row is not None]
    count = max(1, min(START_FRAMES, len(measured) // 4))
    return Watched(rows, normal_range([measured[:count]]), {}, Start(False, count))


def _measure(
    baseline: Baseline,
    clips: Sequence[Clip],
    setup: Setup,
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
            pictures = baseline.look(np.array(frame))
            known = pictures is not None and index >= setup.context
            pair = _tensors(pictures) if known and pictures is not None else None
            rows[-1].append(None if pair is None else _measures(*pair, steps))
            if maps is not None:
                maps.add(None if pair is None else _heat(*pair, setup.heat))
            on_frame()
    return rows


def _tensors(pictures: Pictures) -> tuple[Tensor, Tensor]:
    """Each to (1, C, H, W)."""
    expected, actual = (
        torch.from_numpy(picture[None] if picture.ndim == 2 else picture.transpose(2, 0, 1))[None]
        for picture in pictures
    )
    return expected, actual


def _measures(expected: Tensor, actual: Tensor, steps: Sequence[ErrorStep]) -> Measures:
    errors = {step.key: float(frame_error(step, expected, actual)) for step in steps}
    psnr = float(measures.psnr(expected, actual))
    return Measures(psnr=psnr, distance=0.0, gate_error=0.0, errors=errors)


def _heat(expected: Tensor, actual: Tensor, step: ErrorStep) -> NDArray[np.float32]:
    cells = pool_cells(error_map(step.form, expected, actual), step)
    return np.asarray(cells[0].numpy(), np.float32)
