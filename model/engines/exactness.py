"""How well an engine's scores agree with those in fp32, and the 8-bit ranges of a bundle."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

import numpy as np
import torch
from scipy.stats import spearmanr
from torch import Tensor

from model.bundle import Bundle
from model.config import Int8
from model.detector import Detector
from model.engines.forms import LiveNetwork
from model.engines.names import EngineName
from model.engines.quantisation import measured_ranges
from model.footage import Clip
from model.observation import CameraOptions
from model.rules import LIVE_UPDATE

RANGE_FRAMES = 100
"""So many frames of normal footage, evenly spread, give the 8-bit ranges."""
COMPARED_FRAMES = 300
"""About so many frames of it are scored both ways."""
LEAST_COMPARED = 20
"""A rank correlation of fewer scores says nothing."""


def scores(
    bundle: Bundle,
    engine: EngineName,
    clips: Sequence[Clip],
    on_frame: Callable[[], None] = lambda: None,
) -> list[float]:
    """Live scores of the clips, shown to one camera with a cut between each two."""
    detector = Detector(bundle, engine=engine)
    camera = detector.start()
    found: list[float] = []
    for clip in clips:
        camera.cut()
        for frame in clip.frames:
            seen = detector.observe([camera], [frame], [CameraOptions(update=LIVE_UPDATE)])[0]
            if seen.score is not None:
                found.append(seen.score)
            on_frame()
    return found


def rank_correlation(one: Sequence[float], other: Sequence[float]) -> float:
    """Spearman's; 1 where both have one order, and 0 where one of them never changes."""
    if np.ptp(one) == 0.0 or np.ptp(other) == 0.0:
        return 0.0  # where SciPy warns and gives NaN
    return float(spearmanr(one, other).statistic)


def quantise(
    bundle: Bundle,
    footage: Sequence[Clip],
    on_frame: Callable[[], None] = lambda: None,
) -> Bundle:
    """The bundle with its 8-bit ranges, and how its scores in 8 bits agree with those in fp32.

    Args:
        footage: normal, and kept out of training.
    Raises: ValueError: it is too short. EngineError: OpenVINO isn't there.
    """
    network = LiveNetwork(bundle.network, bundle.config).eval()
    ranges = measured_ranges(network, _inputs(bundle, footage))
    unproved = replace(bundle, int8=Int8(ranges, 0.0, 0))
    compared = _some(footage, LEAST_COMPARED + bundle.config.context)
    exact = scores(unproved, EngineName.TORCH_FP32, compared, on_frame)
    quick = scores(unproved, EngineName.OPENVINO_INT8, compared, on_frame)
    if len(exact) < LEAST_COMPARED:
        raise ValueError(
            f"the normal footage is too short: {len(exact)} frames of it could be scored, and "
            f"{LEAST_COMPARED} must be"
        )
    return replace(bundle, int8=Int8(ranges, rank_correlation(exact, quick), len(exact)))


def _some(clips: Sequence[Clip], least: int) -> list[Clip]:
    """The first frames of clips that are spread evenly: of each its share, or so many at least."""
    share = max(least, -(-COMPARED_FRAMES // max(1, len(clips))))
    every = -(-len(clips) * share // COMPARED_FRAMES) if share == least else 1
    return [Clip(clip.name, clip.frames[:share]) for clip in clips[:: max(1, every)]]


def _inputs(bundle: Bundle, footage: Sequence[Clip]) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """Inputs of the network, evenly spread over the footage."""
    count = bundle.config.context + 1
    starts = [(clip, s) for clip in footage for s in range(len(clip) - count + 1)]
    every = -(-len(starts) // RANGE_FRAMES) or 1
    for clip, start in starts[every // 2 :: every]:
        window = np.asarray(clip.frames[start : start + count])  # (N, H, W) or (N, H, W, 3)
        if window.ndim == 4:
            window = window.transpose(0, 3, 1, 2)
        frames = np.array(window).reshape(1, -1, *window.shape[-2:])
        yield torch.from_numpy(frames), bundle.items, torch.ones(1, dtype=torch.bool)
