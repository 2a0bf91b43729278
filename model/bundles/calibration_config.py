"""Results of a bundle's calibration: gate, normal ranges, thresholds, and 8-bit ranges."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from model.scoring.normal_range import NormalRange
from model.scoring.score_config import NormForm
from model.validation import require


@dataclass(frozen=True, slots=True)
class Calibration:
    """A bundle's knowledge of normal footage: the gate, the ranges, a threshold for each score."""

    gamma: float = 0.01
    error_form: NormForm = NormForm.MEAN_SQUARE
    normal: NormalRange | None = None
    thresholds: dict[str, float] = field(default_factory=dict)
    skips_still: bool = False
    """True: a frame that is the same as the one before takes over its measures. It is set only
    where calibration measured that scores stay the same."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "error_form", NormForm(self.error_form))
        require(
            math.isfinite(self.gamma) and self.gamma >= 0.0,
            "gamma",
            self.gamma,
            "a number, 0 or more",
        )
        for name, threshold in self.thresholds.items():
            require(math.isfinite(threshold), f"threshold of {name}", threshold, "finite")


@dataclass(frozen=True, slots=True)
class InputRange:
    """The range of a convolution's input, on normal footage."""

    low: float
    """0 or below."""
    high: float
    """0 or above."""

    def __post_init__(self) -> None:
        require(
            math.isfinite(self.low) and math.isfinite(self.high) and self.low <= 0.0 <= self.high,
            "range",
            (self.low, self.high),
            "two finite numbers around 0",
        )


@dataclass(frozen=True, slots=True)
class Int8:
    """Ranges for a network in 8 bits, and how well its scores agree with fp32; see
    `model.engines.quantisation`."""

    ranges: dict[str, InputRange]
    """Ranges by the convolution's name."""
    rank_correlation: float
    """Spearman's, of its scores with those in fp32, on held-out normal footage."""
    frames: int
    """The number of scores that were compared."""

    def __post_init__(self) -> None:
        require(
            -1.0 <= self.rank_correlation <= 1.0,
            "rank_correlation",
            self.rank_correlation,
            "from -1 to 1",
        )
        require(self.frames >= 0, "frames", self.frames, "0 or more")
