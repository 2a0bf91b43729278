"""From a prediction to a score, in steps: error, pooling over space, range, mix with D, smoothing.

Every value here is an *abnormality*: it rises when things get less normal, so P enters as -P, and
1 - g(P) of the paper is g(-P). Scores use the past only. `docs/scoring.md` has the equations.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from model import measures
from model.config import ErrorKind, ErrorStep, NormalRange, ScoreConfig, Span
from model.ranges import running_range

DISTANCE = "distance"

LEAST_SPAN = {
    ErrorKind.PSNR: 0.01,
    ErrorKind.ABSOLUTE: 1e-4,
    ErrorKind.SQUARED: 1e-6,
    ErrorKind.JUDGED: 1e-3,
    DISTANCE: 1e-8,
}
"""The least that a range may span, in dB, grey levels of [0, 1], their squares, probability, and
squared or plain distance: below it the measure has collapsed, and what is left of it is noise that
min-max would blow up. A trained D spans 2e-6 and more in a clip of Ped2 (mean squares, 128
channels; less with more channels), and single precision's noise in it is near 1e-11."""


USUAL = 0.25
"""The quantile of a measure by which one light is compared with another."""
USUAL_FRAMES = 300
"""It is followed by one width of the range in so many frames."""
USUAL_START = 0.2
"""Where it lies in the range of normal footage, until frames have said."""
MOST_SHIFT = 1.5
"""A change of the light moves a range by so many of its widths at most, ..."""
MOST_DRIFT = 0.25
"""... and a drift, after which little can be different, by so many."""
EASE_FRAMES = 40
EASE_MARGIN = 0.25
"""Where so many frames lie lower than the range was moved for, by more than this share of its
width, it goes back as far: what went on while it was moved wasn't the light's."""
ALARM_FRAMES = 20
"""Of about so many scores, ..."""
ALARM_SHARE = 0.4
"""... so many abnormal ones: something is going on, and says nothing of the light."""
MOST_WIDER = 2.0
"""And the light makes it so many times as wide: what is noisier differs by more."""


@dataclass(frozen=True, slots=True)
class Measures:
    """What was measured of one frame, before any normalisation."""

    psnr: float
    """P in dB."""
    distance: float
    """D."""
    gate_error: float
    """E_t."""
    errors: Mapping[str, float]
    """Of the prediction, by `ErrorStep.key`; of `psnr` it is -P."""


def error_map(
    form: ErrorKind, predicted: Tensor, actual: Tensor, judged: Tensor | None = None
) -> Tensor:
    """Error of each pixel, mean over its channels: (B, C, H, W) to (B, H, W), in [0, 1].

    Args:
        form: `SQUARED`, `JUDGED`, or any other for the absolute error.
        predicted: frames in [0, 1]. actual: same shape and range.
        judged: the network's judgement, (B, H, W) in [0, 1], where it gives one.
    Raises: ValueError: the judgement is asked for, and there is none.
    """
    if form is ErrorKind.JUDGED:
        if judged is None:
            raise ValueError("a judged score needs a network that judges (NetConfig.judges)")
        return judged
    if form is ErrorKind.SQUARED:
        return (predicted - actual).square().mean(dim=1)
    return measures.error_map(predicted, actual)


def pool_cells(error_map: Tensor, step: ErrorStep) -> Tensor:
    """Mean error of overlapping square cells, smoothed over their neighbours.

    Args:
        error_map: (B, H, W), >= 0.
    Returns: (B, rows, columns), rows = (H - cell) // stride + 1.
    Raises: ValueError: the map is smaller than a cell.
    """
    if min(error_map.shape[1:]) < step.cell:
        raise ValueError(
            f"cell of {step.cell} pixels is larger than the map {tuple(error_map.shape[1:])}"
        )
    cells = functional.avg_pool2d(error_map[:, None], step.cell, step.stride)
    if step.blur_cells > 0.0:
        cells = _blur(cells, step.blur_cells)
    return cells[:, 0]


def _blur(cells: Tensor, sigma: float) -> Tensor:
    """Gaussian blur of (B, 1, h, w), edges repeated: rows and columns are each mixed by a matrix,
    several times as fast as a convolution of one channel."""
    down, across = (_mixing(int(size), sigma, cells) for size in cells.shape[-2:])
    return down @ cells @ across.T


def _mixing(size: int, sigma: float, like: Tensor) -> Tensor:
    if like.is_cuda:
        return _mixing_there(size, sigma, like.device).to(like.dtype)
    return torch.from_numpy(_gaussian(size, sigma)).to(like.dtype)


@lru_cache(maxsize=64)
def _mixing_there(size: int, sigma: float, device: torch.device) -> Tensor:
    """Nothing may be copied to a GPU while its graph is recorded: this was there before."""
    return torch.from_numpy(_gaussian(size, sigma)).to(device)


@lru_cache(maxsize=64)
def _gaussian(size: int, sigma: float) -> NDArray[np.float32]:
    """How much each of `size` places in a row takes of each: (size, size), rows sum to 1."""
    reach = math.ceil(3.0 * sigma)
    offsets = np.arange(-reach, reach + 1)
    kernel = np.exp(-0.5 * (offsets / sigma) ** 2)
    matrix = np.zeros((size, size))
    for place in range(size):
        np.add.at(matrix[place], (place + offsets).clip(0, size - 1), kernel / kernel.sum())
    return matrix.astype(np.float32)


def pool_top(cells: Tensor, count: int, counted: Tensor | None = None) -> Tensor:
    """Mean of the `count` largest cells, or of all where that is 0: (B, h, w) to (B,).

    Args:
        counted: (B, h, w), bool, at least one of each: the others are left out. Where fewer than
            `count` are left, the mean is of those.
    """
    flat = cells.flatten(1)
    if counted is None:
        if count == 0 or count >= flat.shape[1]:
            return flat.mean(dim=1)
        return flat.topk(count, dim=1).values.mean(dim=1)
    kept = counted.flatten(1)
    left = kept.sum(dim=1, keepdim=True)  # (B, 1)
    most = min(count, flat.shape[1]) or flat.shape[1]
    largest = flat.masked_fill(~kept, -math.inf).topk(most, dim=1).values
    taken = torch.arange(most, device=flat.device) < left  # (B, most)
    return largest.where(taken, 0.0).sum(dim=1) / left[:, 0].clamp(max=most)


def frame_error(
    step: ErrorStep, predicted: Tensor, actual: Tensor, judged: Tensor | None = None
) -> Tensor:
    """The prediction's error as one number a frame: (B, C, H, W) in [0, 1] to (B,).

    Raises: ValueError: shapes differ, the error isn't finite, or there is no judgement to take.
    """
    if step.form is ErrorKind.PSNR:
        return -measures.psnr(predicted, actual, step.peak)
    cells = pool_cells(error_map(step.form, predicted, actual, judged), step)
    return measures.require_finite("error", pool_top(cells, step.top_cells))


class Scorer:
    """One camera's score: its running ranges and its causal averages.

    S_t = λ g(prediction error) + (1 - λ) g(D)  (MNAD, eq. 11), both smoothed over time before; with
    a judgement, (1 - κ) of that and κ of g(judgement).

    Raises: ValueError: normal footage gave no range for this score's error or judgement.
    """

    def __init__(self, config: ScoreConfig, normal: NormalRange) -> None:
        self.config = config
        self._averages: dict[str, float] = {}
        if not normal.covers(config):
            keys = " and ".join(step.key for step in config.steps)
            raise ValueError(f"no range of normal footage for {keys}, of score {config.name}")
        ranges: dict[str, tuple[Span, float]] = {
            DISTANCE: (normal.distance, LEAST_SPAN[DISTANCE]),
            **{s.key: (normal.errors[s.key], LEAST_SPAN[s.form]) for s in config.steps},
        }
        self._ranges = {
            name: running_range(config.normalisation, span, least_span=least)
            for name, (span, least) in ranges.items()
        }
        self._widths = {
            name: max(span.high - span.low, least) for name, (span, least) in ranges.items()
        }
        self._usual = {
            name: span.low + USUAL_START * self._widths[name] for name, (span, _) in ranges.items()
        }
        self._known: dict[str, tuple[Span, float]] = {}
        """Ranges and what was usual in the light that is known, while it is another one."""
        self._sampled: list[dict[str, float]] = []
        self._recent: deque[dict[str, float]] = deque(maxlen=EASE_FRAMES)
        """Measures since the ranges were moved."""
        self._alarm = 0.0
        """Share of abnormal scores, of late."""

    def score(
        self,
        row: Measures,
        appearance_weight: float | None = None,
        threshold: float | None = None,
    ) -> float:
        """S_t in [0, 1].

        Args:
            appearance_weight: stands for λ, if it is given.
            threshold: a score that reaches it is abnormal, and teaches the ranges less.
        Raises: ValueError: a measure is missing, NaN or infinite; nothing was taken in.
        """
        values = self._values(row)
        if not all(math.isfinite(value) for value in values.values()):
            told = ", ".join(f"{key} {value!r}" for key, value in values.items())
            raise ValueError(f"measures must be finite, got {told}")
        smoothed = {key: self._smooth(key, value) for key, value in values.items()}
        placed = {key: self._ranges[key].place(value) for key, value in smoothed.items()}
        score = self._mixed(placed, appearance_weight)
        abnormal = threshold is not None and score >= threshold
        self._alarm += (float(abnormal) - self._alarm) / ALARM_FRAMES
        for key, value in smoothed.items():
            self._ranges[key].learn(value, abnormal=abnormal)
            if not abnormal:
                rises = USUAL if values[key] > self._usual[key] else USUAL - 1.0
                self._usual[key] += rises * self._widths[key] / USUAL_FRAMES
        if self._known:
            self._recent.append(values)
            if len(self._recent) == EASE_FRAMES:
                self._ease()
        return score

    def _values(self, row: Measures) -> dict[str, float]:
        values = {step.key: row.errors.get(step.key, math.nan) for step in self.config.steps}
        return values | {DISTANCE: row.distance}

    def sample(self, row: Measures) -> None:
        """Take in a frame that has no score, in a light that is new; see `settle`."""
        self._sampled.append(self._values(row))

    def settle(self, *, known: bool, drifted: bool = False) -> None:
        """Place the ranges in a light by what was sampled in it: they move as a low quantile of the
        measures does, which something abnormal in a part of the time or a glitch doesn't raise, and
        widen as it grows. In the light that is known they are what they were in it. While something
        abnormal was going on before the light changed they stay: it may be going on still.

        What is usual in the known light is compared, not in the last: errors don't add up.

        Args:
            known: it is the light that was known first.
            drifted: it changed slowly, and little.
        """
        sampled = list(self._sampled)
        self._sampled.clear()
        self._recent.clear()
        if known:
            for name, (span, usual) in self._known.items():
                self._ranges[name].low, self._ranges[name].high = span.low, span.high
                self._usual[name] = usual
            self._known = {}
            return
        if self._alarm > ALARM_SHARE:
            return
        if not self._known:
            self._known = {
                name: (Span(each.low, each.high), self._usual[name])
                for name, each in self._ranges.items()
            }
        most = MOST_DRIFT if drifted else MOST_SHIFT
        for name, low in _low_quantiles(sampled).items():
            self._move(name, low, most)

    def _ease(self) -> None:
        """Take back what the ranges were moved by too much."""
        for name, low in _low_quantiles(self._recent).items():
            wanted = max(low + EASE_MARGIN * self._widths[name], self._known[name][1])
            if wanted < self._usual[name]:
                self._move(name, wanted, MOST_SHIFT)

    def _move(self, name: str, usual: float, most: float) -> None:
        """Let this be usual of a measure, as far as its range may be moved from the known one."""
        span, known = self._known[name]
        reach = most * self._widths[name]
        shift = min(max(usual - known, -reach), reach)
        wider = min(max(1.0 + shift / known, 1.0), MOST_WIDER) if known > 0.0 else 1.0
        low = span.low + shift
        self._ranges[name].low = low
        self._ranges[name].high = low + wider * (span.high - span.low)
        self._usual[name] = known + shift

    def _mixed(self, placed: Mapping[str, float], appearance_weight: float | None) -> float:
        config = self.config
        weight = config.appearance_weight if appearance_weight is None else appearance_weight
        score = weight * placed[config.error.key] + (1.0 - weight) * placed[DISTANCE]
        if config.judgement is None:
            return score
        share = config.judgement_weight
        return (1.0 - share) * score + share * placed[config.judgement.key]

    def _smooth(self, name: str, value: float) -> float:
        previous = self._averages.get(name, value)
        average = previous + self.config.smoothing * (value - previous)
        self._averages[name] = average
        return average

    def cut(self) -> None:
        """Forget the averages: the next frame doesn't follow the last one. The ranges stay."""
        self._averages.clear()
        self._sampled.clear()

    def numbers(self) -> dict[str, float]:
        """Everything that changes, by name, so that it can be saved."""
        numbers = {f"average.{name}": value for name, value in self._averages.items()}
        for name, span in self._ranges.items():
            numbers |= {f"low.{name}": span.low, f"high.{name}": span.high}
            numbers[f"usual.{name}"] = self._usual[name]
        for name, (known, usual) in self._known.items():
            numbers |= {f"known low.{name}": known.low, f"known high.{name}": known.high}
            numbers[f"known usual.{name}"] = usual
        return numbers

    def restore(self, numbers: dict[str, float]) -> None:
        """Take back what `numbers` gave.

        Raises: ValueError: a range is missing, out of order or not finite; nothing was taken in.
        """
        if not all(math.isfinite(value) for value in numbers.values()):
            raise ValueError("saved ranges and averages must be finite")
        try:
            spans = {
                name: Span(numbers[f"low.{name}"], numbers[f"high.{name}"]) for name in self._ranges
            }
        except KeyError as missing:
            raise ValueError(f"saved state lacks {missing}") from None
        for name, span in spans.items():
            self._ranges[name].low, self._ranges[name].high = span.low, span.high
        self._usual = {name: numbers.get(f"usual.{name}", at) for name, at in self._usual.items()}
        self._known = {
            name: (
                Span(numbers[f"known low.{name}"], numbers[f"known high.{name}"]),
                numbers.get(f"known usual.{name}", self._usual[name]),
            )
            for name in self._ranges
            if f"known low.{name}" in numbers and f"known high.{name}" in numbers
        }
        self._averages = {
            name: numbers[f"average.{name}"]
            for name in self._ranges
            if f"average.{name}" in numbers
        }


def _low_quantiles(rows: Iterable[Mapping[str, float]]) -> dict[str, float]:
    """What is usual of each measure in these frames; of none where nothing is finite."""
    values: dict[str, list[float]] = {}
    for row in rows:
        for name, value in row.items():
            if math.isfinite(value):
                values.setdefault(name, []).append(value)
    return {name: float(np.quantile(each, USUAL)) for name, each in values.items()}
