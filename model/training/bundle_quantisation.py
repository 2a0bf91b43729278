"""Compares an engine's scores with those in fp32, and measures a bundle's 8-bit ranges."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

import numpy as np
import torch
from scipy.stats import spearmanr
from torch import Tensor

from model.bundles.bundle import Bundle
from model.bundles.calibration_config import Int8
from model.detect.detector import Detector
from model.detect.observation import CameraOptions
from model.engines.names import EngineName
from model.engines.network_passes import LiveNetwork
from model.engines.quantisation import measure_ranges
from model.footage.clips import Clip
from model.network.update_rules import LIVE_UPDATE

RANGE_FRAMES = 100
"""Frames of normal footage, evenly spread, that give the 8-bit ranges."""
COMPARED_FRAMES = 300
"""About so many frames of it are scored both ways."""
LEAST_COMPARED = 20
"""A rank correlation of fewer scores says nothing."""


def score_clips(
    bundle: Bundle,
    engine: EngineName,
    clips: Sequence[Clip],
    on_frame: Callable[[], None] = lambda: None,
) -> list[float]:
    """Score the clips live, with one camera and a cut between each two."""
    detector = Detector(bundle, engine=engine)
    camera = detector.start()
    found: list[float] = []
    for clip in clips:
        camera.cut()
        for frame in clip.frames:
            result = detector.observe([camera], [frame], [CameraOptions(update=LIVE_UPDATE)])[0]
            if result.score is not None:
                found.append(result.score)
            on_frame()
    return found


def correlate_ranks(one: Sequence[float], other: Sequence[float]) -> float:
    """Compute Spearman's rank correlation; 0 where one of the two never changes."""
    if np.ptp(one) == 0.0 or np.ptp(other) == 0.0:
        return 0.0  # where SciPy warns and gives NaN
    return float(spearmanr(one, other).statistic)


def quantise_bundle(
    bundle: Bundle,
    footage: Sequence[Clip],
    on_frame: Callable[[], None] = lambda: None,
) -> Bundle:
    """Add 8-bit ranges to the bundle, and how well its scores in 8 bits agree with fp32.

    Args:
        footage: normal, and kept out of training.
    Raises: ValueError: it is too short. EngineError: OpenVINO isn't there.
    """
    network = LiveNetwork(bundle.network, bundle.config).eval()
    ranges = measure_ranges(network, _sample_inputs(bundle, footage))
    unproved = replace(bundle, int8=Int8(ranges, 0.0, 0))
    compared = _sample_clips(footage, LEAST_COMPARED + bundle.config.context)
    exact = score_clips(unproved, EngineName.TORCH_FP32, compared, on_frame)
    quick = score_clips(unproved, EngineName.OPENVINO_INT8, compared, on_frame)
    if len(exact) < LEAST_COMPARED:
        raise ValueError(
            f"the normal footage is too short: {len(exact)} frames of it could be scored, and "
            f"{LEAST_COMPARED} must be"
        )
    return replace(bundle, int8=Int8(ranges, correlate_ranks(exact, quick), len(exact)))


def _sample_clips(clips: Sequence[Clip], least: int) -> list[Clip]:
    """Take the first frames of evenly spread clips: of each its share, or so many at least."""
    share = max(least, -(-COMPARED_FRAMES // max(1, len(clips))))
    every = -(-len(clips) * share // COMPARED_FRAMES) if share == least else 1
    return [Clip(clip.name, clip.frames[:share]) for clip in clips[:: max(1, every)]]


def _sample_inputs(
    bundle: Bundle, footage: Sequence[Clip]
) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """Take inputs of the network, evenly spread over the footage."""
    count = bundle.config.context + 1
    starts = [(clip, s) for clip in footage for s in range(len(clip) - count + 1)]
    every = -(-len(starts) // RANGE_FRAMES) or 1
    for clip, start in starts[every // 2 :: every]:
        window = np.asarray(clip.frames[start : start + count])  # (N, H, W) or (N, H, W, 3)
        if window.ndim == 4:
            window = window.transpose(0, 3, 1, 2)
        frames = np.array(window).reshape(1, -1, *window.shape[-2:])
        yield torch.from_numpy(frames), bundle.items, torch.ones(1, dtype=torch.bool)
