"""Peaks of a stream's scores: one for each event that some threshold would have raised.

An event starts when `min_frames` scores in a row reach the threshold, so the lowest of that many
scores counts. It goes on while scores come back to `release` times the threshold within
`quiet_frames`. A peak is the highest threshold at which such a stretch of scores would have been an
event. Peaks are given as magnitudes, which are unbounded where scores end at 1.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from model.events.event_detection import EventRules

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


@dataclass(slots=True)
class PeakFinder:
    """Finds peaks in one stream's scores. Its fields are all of its state; see `resume`."""

    rules: EventRules
    row: list[float]
    """The newest scores in a row, fewer than `min_frames`."""
    highest: float | None = None
    """The score of the peak that isn't over yet."""
    quiet_frames: int = 0
    """Scores in a row that are too low to belong to the same event."""

    @classmethod
    def resume(
        cls, rules: EventRules, row: Sequence[float], highest: float | None, quiet_frames: int
    ) -> PeakFinder:
        """Go on where another finder stopped, perhaps under other rules."""
        kept = list(row)[max(0, len(row) - rules.min_frames + 1) :]
        return cls(rules, kept, highest, quiet_frames)

    def add(self, score: float | None) -> float | None:
        """Add the next frame's score; returns the magnitude of the peak that this ends, if any."""
        if score is None or not math.isfinite(score):
            self.row.clear()
            return None
        self.row.append(score)
        level = min(self.row) if len(self.row) == self.rules.min_frames else None
        if level is not None:
            del self.row[0]
        highest = self.highest
        if highest is None:
            self.highest, self.quiet_frames = level, 0
            return None
        if level is not None and level > highest:
            self.highest, self.quiet_frames = level, 0
            return None
        if score >= self.rules.release * highest:
            self.quiet_frames = 0
            return None
        self.quiet_frames += 1
        if self.quiet_frames < self.rules.quiet_frames:
            return None
        self.highest, self.quiet_frames = level, 0
        return to_magnitude(highest)

    def cut(self) -> float | None:
        """End the sequence of scores; returns the magnitude of the peak that this ends, if any."""
        highest, self.highest, self.quiet_frames = self.highest, None, 0
        self.row.clear()
        return None if highest is None else to_magnitude(highest)


def find_peaks(scores: Sequence[float | None], rules: EventRules) -> list[float]:
    """Find all peaks of a stretch of scores, in order."""
    finder = PeakFinder(rules, [])
    found = [finder.add(score) for score in scores]
    return [peak for peak in (*found, finder.cut()) if peak is not None]
