"""Moves a camera's ranges with the light: another light raises or lowers the measures of a scene
in which nothing happens.

Ranges move as a low quantile of the measures does: something abnormal for part of the time, or a
glitch, doesn't raise it. `model.scene` finds out when the light changes.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterable, Mapping

import numpy as np

from model.scoring.normal_range import Interval
from model.scoring.ranges import Range
from model.scoring.score_config import scale_weight

USUAL_QUANTILE = 0.25
"""This quantile of a measure is its usual value, which is compared between two lights."""
USUAL_FRAMES = 300
"""The running estimate of it moves by at most one width of the range in so many frames."""
USUAL_START = 0.2
"""The estimate starts at this share of normal footage's range."""
LARGEST_SHIFT = 1.5
"""A change of the light moves a range by at most so many of its widths."""
LARGEST_DRIFT = 0.25
"""A slow drift moves it by at most so many."""
LARGEST_WIDENING = 2.0
"""The light widens a range at most so many times: a noisier picture also varies more."""
EASE_FRAMES = 40
EASE_MARGIN = 0.25
"""If this many frames lie below what the range was moved for, by more than this share of its width,
the range moves back by as much: what raised the measures wasn't the light."""
ALARM_FRAMES = 20
"""The share of abnormal scores is a running mean over about this many scores."""
ALARM_SHARE = 0.4
"""Above this share something abnormal is going on, and measures say nothing about the light."""


class LightShift:
    """Follows the usual values of one camera's measures, and moves their ranges with the light."""

    def __init__(
        self,
        ranges: Mapping[str, Range],
        normal: Mapping[str, Interval],
        widths: Mapping[str, float],
    ) -> None:
        """Args, each by measure: ranges: to move. normal: of normal footage. widths: of those."""
        self._ranges = ranges
        self._widths = widths
        self._usual = {name: span.low + USUAL_START * widths[name] for name, span in normal.items()}
        self._first: dict[str, tuple[Interval, float]] = {}
        """Ranges and usual values of the first light, while the camera is in another one."""
        self._sampled: list[Mapping[str, float]] = []
        self._recent: deque[Mapping[str, float]] = deque(maxlen=EASE_FRAMES)
        """Measures of the frames since the ranges were moved."""
        self._alarm = 0.0
        """Running share of abnormal scores."""

    def follow(self, values: Mapping[str, float], *, abnormal: bool, steps: float = 1.0) -> None:
        """Follow the measures of a frame with a score, after its ranges have.

        Args: steps: how many frames at the model's rate the frame stands for.
        """
        self._alarm += (float(abnormal) - self._alarm) * scale_weight(1.0 / ALARM_FRAMES, steps)
        if not abnormal:
            for name, value in values.items():
                rises = USUAL_QUANTILE if value > self._usual[name] else USUAL_QUANTILE - 1.0
                self._usual[name] += steps * rises * self._widths[name] / USUAL_FRAMES
        if self._first:
            self._recent.append(values)
            if len(self._recent) == EASE_FRAMES:
                self._ease()

    def sample(self, values: Mapping[str, float]) -> None:
        """Keep the measures of a frame without a score, captured in a new light; see `settle`."""
        self._sampled.append(values)

    def cut(self) -> None:
        """Forget the samples: the next frame doesn't follow them."""
        self._sampled.clear()

    def settle(self, *, known: bool, drifted: bool = False) -> None:
        """Fit the ranges to the present light, from the frames sampled in it.

        They widen as the usual values grow. In the first light they return to what they were
        there. If something abnormal was going on before the light changed, they stay: it may still
        be going on. The first light's usual values are compared, not the last light's, so that
        errors don't add up.

        Args:
            known: the light is the first one again.
            drifted: the light changed slowly, and little.
        """
        usual = _find_usual(self._sampled)
        self._sampled.clear()
        self._recent.clear()
        if known:
            for name, (span, value) in self._first.items():
                self._ranges[name].low, self._ranges[name].high = span.low, span.high
                self._usual[name] = value
            self._first = {}
            return
        if self._alarm > ALARM_SHARE:
            return
        if not self._first:
            self._first = {
                name: (Interval(each.low, each.high), self._usual[name])
                for name, each in self._ranges.items()
            }
        for name, value in usual.items():
            self._move(name, value, LARGEST_DRIFT if drifted else LARGEST_SHIFT)

    def _ease(self) -> None:
        """Move the ranges back as far as they were moved too much."""
        for name, usual in _find_usual(self._recent).items():
            target = max(usual + EASE_MARGIN * self._widths[name], self._first[name][1])
            if target < self._usual[name]:
                self._move(name, target, LARGEST_SHIFT)

    def _move(self, name: str, usual: float, most: float) -> None:
        """Set a measure's usual value, and move its range by at most `most` widths of the first."""
        span, first = self._first[name]
        reach = most * self._widths[name]
        shift = min(max(usual - first, -reach), reach)
        wider = min(max(1.0 + shift / first, 1.0), LARGEST_WIDENING) if first > 0.0 else 1.0
        low = span.low + shift
        self._ranges[name].low = low
        self._ranges[name].high = low + wider * (span.high - span.low)
        self._usual[name] = first + shift

    def to_numbers(self) -> dict[str, float]:
        """Return the state that is saved, by name."""
        numbers = {f"usual.{name}": value for name, value in self._usual.items()}
        for name, (span, usual) in self._first.items():
            numbers |= {f"first low.{name}": span.low, f"first high.{name}": span.high}
            numbers[f"first usual.{name}"] = usual
        return numbers

    def restore(self, numbers: Mapping[str, float]) -> None:
        """Restore what `to_numbers` returned.

        Raises: KeyError: a number is missing. ValueError: a range is out of order. Nothing has
            changed.
        """
        usual = {name: numbers[f"usual.{name}"] for name in self._usual}
        self._first = {
            name: (
                Interval(numbers[f"first low.{name}"], numbers[f"first high.{name}"]),
                numbers[f"first usual.{name}"],
            )
            for name in self._usual
            if f"first low.{name}" in numbers
        }
        self._usual = usual


def _find_usual(rows: Iterable[Mapping[str, float]]) -> dict[str, float]:
    """Return each measure's usual value in these frames; without those that are never finite."""
    values: dict[str, list[float]] = {}
    for row in rows:
        for name, value in row.items():
            if math.isfinite(value):
                values.setdefault(name, []).append(value)
    return {name: float(np.quantile(each, USUAL_QUANTILE)) for name, each in values.items()}
