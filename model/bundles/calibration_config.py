"""Results of a bundle's calibration: gate, normal ranges, thresholds, and 8-bit ranges."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

from model.scoring.score_config import NormForm, ScoreConfig
from model.validation import require


@dataclass(frozen=True, slots=True)
class Interval:
    """A closed range of a value; `low <= high`, both finite."""

    low: float
    high: float

    def __post_init__(self) -> None:
        require(
            math.isfinite(self.low) and math.isfinite(self.high) and self.low <= self.high,
            "range",
            (self.low, self.high),
            "two finite numbers in order",
        )


@dataclass(frozen=True, slots=True)
class NormalRange:
    """Ranges of the measures on held-out normal footage, before normalisation."""

    distance: Interval
    """D."""
    errors: Mapping[str, Interval]
    """Ranges by `ErrorStep.key`; that of `psnr` is of -P, so that all rise with abnormality."""

    def covers(self, score: ScoreConfig) -> bool:
        """Returns whether this score has a range to start from."""
        return all(step.key in self.errors for step in score.steps)


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
