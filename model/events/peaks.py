"""Peaks of a stream's scores: one for each event that some threshold would have raised.

An event starts when all scores of `start_s` seconds reach the threshold, so the lowest of them
counts. It goes on while scores come back to `release` times the threshold within `quiet_s`. A peak
is the highest threshold at which such a stretch of scores would have been an event. Peaks are given
as magnitudes, which are unbounded where scores end at 1.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from model.events.event_detection import EventRules, is_long_enough, measure_step

LARGEST = 1e4
"""The magnitude of a score of 1, which only min-max ranges give."""


def to_magnitude(score: float) -> float:
    """Return z for a score g(z) (docs/scoring.md): g(z) = z up to 1/2, 1 - 1/(4z) above."""
    if score <= 0.5:
        return score
    return min(LARGEST, 0.25 / (1.0 - score)) if score < 1.0 else LARGEST


def to_score(z: float) -> float:
    """Return g(z), the score of a magnitude."""
    return z if z <= 0.5 else 1.0 - 0.25 / z


TimedValue = tuple[float, float]
"""The capture time of a frame, and its score."""


def find_level(row: list[TimedValue], rules: EventRules) -> float | None:
    """Return the highest threshold at which an event would start at the newest of these scores.

    Returns: None if the row is too short for an event. Scores that can't matter to later frames
    are removed from it.
    """
    while len(row) > 2 and is_long_enough(row[-1][0] - row[1][0], rules.start_s):
        del row[0]
    if len(row) < 2 or not is_long_enough(row[-1][0] - row[0][0], rules.start_s):
        return None
    return min(score for _, score in row)


@dataclass(slots=True)
class PeakFinder:
    """Finds peaks in one stream's scores. Its fields are all of its state; see `resume`."""

    rules: EventRules
    row: list[TimedValue]
    """The newest scores in a row, of `start_s` seconds."""
    highest: float | None = None
    """The score of the peak that isn't over yet."""
    quiet_s: float = 0.0
    """Seconds in which all scores are too low to belong to the same event."""
    newest_at: float | None = None
    """The capture time of the newest frame."""

    @classmethod
    def resume(
        cls,
        rules: EventRules,
        row: Sequence[TimedValue],
        highest: float | None,
        quiet_s: float,
        newest_at: float | None,
    ) -> PeakFinder:
        """Go on where another finder stopped, perhaps under other rules."""
        return cls(rules, list(row), highest, quiet_s, newest_at)

    def add(self, captured_at: float, score: float | None) -> float | None:
        """Add the next frame's score; returns the magnitude of the peak that this ends, if any."""
        step_s = measure_step(self.newest_at, captured_at)
        self.newest_at = captured_at
        if score is None or not math.isfinite(score):
            self.row.clear()
            return None
        self.row.append((captured_at, score))
        level = find_level(self.row, self.rules)
        highest = self.highest
        if highest is None or (level is not None and level > highest):
            self.highest, self.quiet_s = level, 0.0
            return None
        if score >= self.rules.release * highest:
            self.quiet_s = 0.0
            return None
        self.quiet_s += step_s
        if not is_long_enough(self.quiet_s, self.rules.quiet_s):
            return None
        self.highest, self.quiet_s = level, 0.0
        return to_magnitude(highest)

    def cut(self) -> float | None:
        """End the sequence of scores; returns the magnitude of the peak that this ends, if any."""
        highest, self.highest, self.quiet_s = self.highest, None, 0.0
        self.newest_at = None
        self.row.clear()
        return None if highest is None else to_magnitude(highest)


def find_peaks(scores: Sequence[float | None], rules: EventRules, fps: float) -> list[float]:
    """Find all peaks of a stretch of scores, in order."""
    finder = PeakFinder(rules, [])
    found = [finder.add(index / fps, score) for index, score in enumerate(scores)]
    return [peak for peak in (*found, finder.cut()) if peak is not None]
