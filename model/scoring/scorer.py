"""Turns a frame's measures into its score: smoothing over time, ranges, mix of error and D.

Every value here rises as frames become less normal, so P enters as -P, and 1 - g(P) of the paper is
g(-P). Scores use only the past. `docs/scoring.md` has the equations.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterable, Mapping

import numpy as np

from model.bundles.calibration_config import Interval, NormalRange
from model.scoring.measures import Measures
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


USUAL = 0.25
"""This quantile of a measure is compared between two lights."""
USUAL_FRAMES = 300
"""The running estimate of that quantile moves by at most one width of the range in this time."""
USUAL_START = 0.2
"""The estimate starts at this share of normal footage's range."""
MOST_SHIFT = 1.5
"""A change of the light moves a range by at most this many of its widths."""
MOST_DRIFT = 0.25
"""A slow drift moves it by at most this many."""
EASE_FRAMES = 40
EASE_MARGIN = 0.25
"""If this many frames lie below what the range was moved for, by more than this share of its width,
the range moves back by as much: what raised the measures wasn't the light."""
ALARM_FRAMES = 20
"""The share of abnormal scores is a running mean over about this many scores."""
ALARM_SHARE = 0.4
"""Above this share something abnormal is going on, and measures say nothing about the light."""
MOST_STEPS = 20.0
"""A frame stands for at most this many, however long nothing was scored before it."""
MOST_WIDER = 2.0
"""The light widens a range at most this many times: a noisier picture also varies more."""


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
        ranges: dict[str, tuple[Interval, float]] = {
            DISTANCE: (normal.distance, LEAST_SPAN[DISTANCE]),
            **{s.key: (normal.errors[s.key], LEAST_SPAN[s.form]) for s in config.steps},
        }
        self._ranges = {
            name: make_range(config.normalisation, span, least_span=least)
            for name, (span, least) in ranges.items()
        }
        self._widths = {
            name: max(span.high - span.low, least) for name, (span, least) in ranges.items()
        }
        self._usual = {
            name: span.low + USUAL_START * self._widths[name] for name, (span, _) in ranges.items()
        }
        self._known: dict[str, tuple[Interval, float]] = {}
        """Ranges and usual values of the first light, while the camera is in another one."""
        self._sampled: list[dict[str, float]] = []
        self._recent: deque[dict[str, float]] = deque(maxlen=EASE_FRAMES)
        """Measures of the frames since the ranges were moved."""
        self._alarm = 0.0
        """Running share of abnormal scores."""

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
        self._alarm += (float(abnormal) - self._alarm) * scale_weight(1.0 / ALARM_FRAMES, steps)
        for key, value in smoothed.items():
            self._ranges[key].learn(value, abnormal=abnormal, steps=steps)
            if not abnormal:
                rises = USUAL if values[key] > self._usual[key] else USUAL - 1.0
                self._usual[key] += steps * rises * self._widths[key] / USUAL_FRAMES
        if self._known:
            self._recent.append(values)
            if len(self._recent) == EASE_FRAMES:
                self._ease()
        return score

    def _select(self, row: Measures) -> dict[str, float]:
        values = {step.key: row.errors.get(step.key, math.nan) for step in self.config.steps}
        return values | {DISTANCE: row.distance}

    def sample(self, row: Measures) -> None:
        """Keep the measures of a frame without a score, captured in a new light; see `settle`."""
        self._sampled.append(self._select(row))

    def settle(self, *, known: bool, drifted: bool = False) -> None:
        """Fit the ranges to the present light, from the frames sampled in it.

        The ranges move as a low quantile of the measures does, and widen as it grows; something
        abnormal for part of the time, or a glitch, doesn't raise that quantile. In the first light
        they return to what they were there. If something abnormal was going on before the light
        changed, they stay: it may still be going on. The first light's usual values are compared,
        not the last light's, so that errors don't add up.

        Args:
            known: the light is the first one again.
            drifted: the light changed slowly, and little.
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
                name: (Interval(each.low, each.high), self._usual[name])
                for name, each in self._ranges.items()
            }
        most = MOST_DRIFT if drifted else MOST_SHIFT
        for name, low in _find_low_quantiles(sampled).items():
            self._move(name, low, most)

    def _ease(self) -> None:
        """Move the ranges back as far as they were moved too much."""
        for name, low in _find_low_quantiles(self._recent).items():
            target = max(low + EASE_MARGIN * self._widths[name], self._known[name][1])
            if target < self._usual[name]:
                self._move(name, target, MOST_SHIFT)

    def _move(self, name: str, usual: float, most: float) -> None:
        """Set a measure's usual value, and move its range by at most `most` widths of the first."""
        span, known = self._known[name]
        reach = most * self._widths[name]
        shift = min(max(usual - known, -reach), reach)
        wider = min(max(1.0 + shift / known, 1.0), MOST_WIDER) if known > 0.0 else 1.0
        low = span.low + shift
        self._ranges[name].low = low
        self._ranges[name].high = low + wider * (span.high - span.low)
        self._usual[name] = known + shift

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
        self._sampled.clear()

    def to_numbers(self) -> dict[str, float]:
        """Return the whole changing state by name, so that it can be saved."""
        numbers = {f"average.{name}": value for name, value in self._averages.items()}
        for name, span in self._ranges.items():
            numbers |= {f"low.{name}": span.low, f"high.{name}": span.high}
            numbers[f"usual.{name}"] = self._usual[name]
        for name, (known, usual) in self._known.items():
            numbers |= {f"known low.{name}": known.low, f"known high.{name}": known.high}
            numbers[f"known usual.{name}"] = usual
        return numbers

    def restore(self, numbers: dict[str, float]) -> None:
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
        except KeyError as missing:
            raise ValueError(f"saved state lacks {missing}") from None
        for name, span in spans.items():
            self._ranges[name].low, self._ranges[name].high = span.low, span.high
        self._usual = {name: numbers.get(f"usual.{name}", at) for name, at in self._usual.items()}
        self._known = {
            name: (
                Interval(numbers[f"known low.{name}"], numbers[f"known high.{name}"]),
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


def _find_low_quantiles(rows: Iterable[Mapping[str, float]]) -> dict[str, float]:
    """Return each measure's usual value in these frames; without those that are never finite."""
    values: dict[str, list[float]] = {}
    for row in rows:
        for name, value in row.items():
            if math.isfinite(value):
                values.setdefault(name, []).append(value)
    return {name: float(np.quantile(each, USUAL)) for name, each in values.items()}
