"""Turns a frame's measures into its score: smoothing over time, ranges, mix of error and D.

Every value here rises as frames become less normal, so P enters as -P, and 1 - g(P) of the paper is
g(-P). Scores use only the past. `docs/scoring.md` has the equations.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

from model.scoring.light_shift import LightShift
from model.scoring.measures import Measures
from model.scoring.normal_range import Interval, NormalRange
from model.scoring.ranges import make_range
from model.scoring.score_config import ErrorKind, ScoreConfig, scale_weight

DISTANCE = "distance"

LEAST_SPAN = {
    ErrorKind.PSNR: 0.01,
    ErrorKind.ABSOLUTE: 1e-4,
    ErrorKind.SQUARED: 1e-6,
    ErrorKind.JUDGED: 1e-3,
    DISTANCE: 1e-8,
}
"""The smallest width of a range, in dB, grey levels of [0, 1], their squares, probability, and
squared or plain distance. A narrower range means that the measure has collapsed: min-max would blow
up its noise. A trained D spans at least 2e-6 in a clip of Ped2 (mean squares, 128 channels; less
with more channels); single precision's noise in it is near 1e-11."""
MOST_STEPS = 20.0
"""A frame stands for at most this many, however long nothing was scored before it."""


class Scorer:
    """Scores one camera's frames; keeps its running ranges and averages.

    S_t = λ g(prediction error) + (1 - λ) g(D)  (MNAD, eq. 11), both smoothed over time first. With
    a judgement, the score is (1 - κ) of that and κ of g(judgement).
    """

    def __init__(self, config: ScoreConfig, normal: NormalRange) -> None:
        """Raises: ValueError: normal footage gave no range for this score's error or judgement."""
        self.config = config
        self._averages: dict[str, float] = {}
        if not normal.covers(config):
            keys = " and ".join(step.key for step in config.steps)
            raise ValueError(f"no range of normal footage for {keys}, of score {config.name}")
        normal_ranges = {DISTANCE: normal.distance} | {
            step.key: normal.errors[step.key] for step in config.steps
        }
        least = {DISTANCE: LEAST_SPAN[DISTANCE]} | {
            step.key: LEAST_SPAN[step.kind] for step in config.steps
        }
        self._ranges = {
            name: make_range(config.normalisation, span, least_span=least[name])
            for name, span in normal_ranges.items()
        }
        widths = {
            name: max(span.high - span.low, least[name]) for name, span in normal_ranges.items()
        }
        self._light_shift = LightShift(self._ranges, normal_ranges, widths)

    def score(
        self,
        row: Measures,
        appearance_weight: float | None = None,
        threshold: float | None = None,
        *,
        steps: float = 1.0,
    ) -> float:
        """Return S_t, in [0, 1], and let the ranges follow the frame.

        Args:
            appearance_weight: replaces the configuration's λ.
            threshold: a score at or above it is abnormal, and moves the ranges less.
            steps: the time since the last score, in frames at the model's rate: averages and
                ranges advance by time, so they mean the same at each frame rate.
        Raises: ValueError: a measure is missing, NaN or infinite; nothing has changed.
        """
        values = self._select(row)
        if not all(math.isfinite(value) for value in values.values()):
            listed = ", ".join(f"{key} {value!r}" for key, value in values.items())
            raise ValueError(f"measures must be finite, got {listed}")
        steps = min(steps, MOST_STEPS)
        weight = scale_weight(self.config.smoothing, steps)
        smoothed = {key: self._smooth(key, value, weight) for key, value in values.items()}
        placed = {
            key: self._ranges[key].place(value, steps=steps) for key, value in smoothed.items()
        }
        score = self._mix(placed, appearance_weight)
        abnormal = threshold is not None and score >= threshold
        for key, value in smoothed.items():
            self._ranges[key].learn(value, abnormal=abnormal, steps=steps)
        self._light_shift.follow(values, abnormal=abnormal, steps=steps)
        return score

    def _select(self, row: Measures) -> dict[str, float]:
        values = {step.key: row.errors.get(step.key, math.nan) for step in self.config.steps}
        return values | {DISTANCE: row.distance}

    def sample(self, row: Measures) -> None:
        """Keep the measures of a frame without a score, captured in a new light."""
        self._light_shift.sample(self._select(row))

    def settle(self, *, known: bool, drifted: bool = False) -> None:
        """Fit the ranges to the light that frames were sampled in; see `LightShift.settle`."""
        self._light_shift.settle(known=known, drifted=drifted)

    def _mix(self, placed: Mapping[str, float], appearance_weight: float | None) -> float:
        config = self.config
        weight = config.appearance_weight if appearance_weight is None else appearance_weight
        score = weight * placed[config.error.key] + (1.0 - weight) * placed[DISTANCE]
        if config.judgement is None:
            return score
        share = config.judgement_weight
        return (1.0 - share) * score + share * placed[config.judgement.key]

    def _smooth(self, name: str, value: float, weight: float) -> float:
        previous = self._averages.get(name, value)
        average = previous + weight * (value - previous)
        self._averages[name] = average
        return average

    def cut(self) -> None:
        """Forget the averages, as the next frame doesn't follow the last one. The ranges stay."""
        self._averages.clear()
        self._light_shift.cut()

    def to_numbers(self) -> dict[str, float]:
        """Return the whole changing state by name, so that it can be saved."""
        numbers = {f"average.{name}": value for name, value in self._averages.items()}
        for name, span in self._ranges.items():
            numbers |= {f"low.{name}": span.low, f"high.{name}": span.high}
        return numbers | self._light_shift.to_numbers()

    def restore(self, numbers: Mapping[str, float]) -> None:
        """Restore what `to_numbers` returned.

        Raises: ValueError: a range is missing, out of order or not finite; nothing has changed.
        """
        if not all(math.isfinite(value) for value in numbers.values()):
            raise ValueError("saved ranges and averages must be finite")
        try:
            spans = {
                name: Interval(numbers[f"low.{name}"], numbers[f"high.{name}"])
                for name in self._ranges
            }
            self._light_shift.restore(numbers)
        except KeyError as missing:
            raise ValueError(f"saved state lacks {missing}") from None
        for name, span in spans.items():
            self._ranges[name].low, self._ranges[name].high = span.low, span.high
        self._averages = {
            name: numbers[f"average.{name}"]
            for name in self._ranges
            if f"average.{name}" in numbers
        }
