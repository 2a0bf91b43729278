"""The ranges of measures on normal footage, which a camera's own ranges start from."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from model.scoring.score_config import ScoreConfig
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
