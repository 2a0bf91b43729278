"""From measures to a score: pooling of the error map, running ranges, causal smoothing.

Every value here is an *abnormality*: it rises when things get less normal, so P enters as -P, and
1 - g(P) of the paper is g(-P). Scores use the past only.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from model.config import NormalRange, Pooling, ScoreConfig, Span

LEAST_SPAN = {"psnr": 0.01, "distance": 1e-8, "pooled": 1e-4}
"""The least that a range may span, in dB, squared or plain distance, and grey levels of [0, 1]:
below it the measure has collapsed, and what is left of it is noise that min-max would blow up.
A trained D spans 2e-6 and more in a clip of Ped2 (mean squares, 128 channels; less with more
channels), and single precision's noise in it is near 1e-11."""


@dataclass(frozen=True, slots=True)
class Measures:
    """What was measured of one frame, before any normalisation."""

    psnr: float
    """P in dB."""
    distance: float
    """D."""
    pooled: float
    """The error map, pooled over cells; mean absolute error, [0, 1]."""
    gate_error: float
    """E_t."""


def pool_cells(error_map: Tensor, config: ScoreConfig) -> Tensor:
    """Mean error of overlapping square cells, smoothed over their neighbours.

    Args:
        error_map: (B, H, W), >= 0.
        config: `cell` and `stride` in pixels, `blur_cells` the Gaussian's sigma in cells.
    Returns: (B, rows, columns), rows = (H - cell) // stride + 1.
    Raises: ValueError: the map is smaller than a cell.
    """
    if min(error_map.shape[1:]) < config.cell:
        raise ValueError(
            f"cell of {config.cell} pixels is larger than the map {tuple(error_map.shape[1:])}"
        )
    cells = functional.avg_pool2d(error_map[:, None], config.cell, config.stride)
    if config.blur_cells > 0.0:
        cells = _blur(cells, config.blur_cells)
    return cells[:, 0]


def _blur(cells: Tensor, sigma: float) -> Tensor:
    """Gaussian blur of (B, 1, h, w), edges repeated, as two one-dimensional convolutions."""
    reach = math.ceil(3.0 * sigma)
    offsets = torch.arange(-reach, reach + 1, dtype=cells.dtype, device=cells.device)
    kernel = torch.exp(-0.5 * (offsets / sigma).square())
    kernel = kernel / kernel.sum()
    padded = functional.pad(cells, (reach, reach, reach, reach), mode="replicate")
    rows = functional.conv2d(padded, kernel.view(1, 1, 1, -1))
    return functional.conv2d(rows, kernel.view(1, 1, -1, 1))


def pool_top(cells: Tensor, count: int) -> Tensor:
    """Mean of the `count` largest cells (of all, if there are fewer): (B, h, w) to (B,)."""
    flat = cells.flatten(1)
    return flat.topk(min(count, flat.shape[1]), dim=1).values.mean(dim=1)


class RunningRange:
    """Minimum and maximum of what has been seen, from a range that normal footage gave.

    Plain (`relax_frames` 0) it keeps every extreme for ever, so that one glitch squeezes all later
    scores. Relaxing, whatever widened it fades with that half-life, back to the range at the start.
    """

    def __init__(self, start: Span, *, least_span: float, relax_frames: float = 0.0) -> None:
        self._start = start
        self._least_span = least_span
        self._keep = 0.5 ** (1.0 / relax_frames) if relax_frames > 0.0 else 1.0
        self.low = start.low
        self.high = start.high

    def normalise(self, value: float) -> float:
        """Take the value into the range, then place it there: g(value), in [0, 1].

        Raises: ValueError: the value is NaN or infinite; the range is left as it was.
        """
        if not math.isfinite(value):
            raise ValueError(f"a value to normalise must be finite, got {value!r}")
        low = self._start.low + (self.low - self._start.low) * self._keep
        high = self._start.high + (self.high - self._start.high) * self._keep
        self.low = min(low, value)
        self.high = max(high, value)
        return (value - self.low) / max(self.high - self.low, self._least_span)


class Scorer:
    """One camera's score: its running ranges and its causal averages.

    S_t = λ g(prediction error) + (1 - λ) g(D)  (MNAD, eq. 11), the prediction error -P or the
    pooled map, each smoothed over time as the configuration says.
    """

    def __init__(self, config: ScoreConfig, normal: NormalRange) -> None:
        self.config = config
        self._averages: dict[str, float] = {}
        spans = {
            "psnr": Span(-normal.psnr.high, -normal.psnr.low),
            "distance": normal.distance,
            "pooled": normal.pooled,
        }
        self._ranges = {
            name: RunningRange(
                Span(span.low, span.low + config.headroom * (span.high - span.low)),
                least_span=LEAST_SPAN[name],
                relax_frames=config.relax_frames,
            )
            for name, span in spans.items()
        }

    def score(self, measures: Measures, appearance_weight: float | None = None) -> float:
        """S_t in [0, 1]; an `appearance_weight` that is given stands for λ.

        Raises: ValueError: a measure is NaN or infinite; nothing was taken in.
        """
        error = "psnr" if self.config.pooling is Pooling.PSNR else "pooled"
        value = -measures.psnr if error == "psnr" else measures.pooled
        if not (math.isfinite(value) and math.isfinite(measures.distance)):
            raise ValueError(f"measures must be finite, got {measures!r}")
        weight = self.config.appearance_weight if appearance_weight is None else appearance_weight
        appearance = self._ranges[error].normalise(self._smooth(error, value))
        distance = self._ranges["distance"].normalise(self._smooth("distance", measures.distance))
        return weight * appearance + (1.0 - weight) * distance

    def _smooth(self, name: str, value: float) -> float:
        previous = self._averages.get(name, value)
        average = previous + self.config.smoothing * (value - previous)
        self._averages[name] = average
        return average

    def cut(self) -> None:
        """Forget the averages: the next frame doesn't follow the last one. The ranges stay."""
        self._averages.clear()

    def numbers(self) -> dict[str, float]:
        """Everything that changes, by name, so that it can be saved."""
        numbers = {f"average.{name}": value for name, value in self._averages.items()}
        for name, span in self._ranges.items():
            numbers |= {f"low.{name}": span.low, f"high.{name}": span.high}
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
        self._averages = {
            name: numbers[f"average.{name}"]
            for name in self._ranges
            if f"average.{name}" in numbers
        }
