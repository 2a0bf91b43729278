"""What a stream's scores would have raised events at: one peak for each event that there could be.

An event starts when `min_frames` scores in a row reach the threshold, so that the lowest of so many
is what counts; and it goes on for as long as scores come back to `release` times the threshold
within `quiet_frames`. A peak is the highest threshold at which such a stretch of scores would have
been an event. Peaks are told as magnitudes, which a score of 1 is infinitely far from.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from model.events import EventRules

LARGEST = 1e4
"""Magnitude of a score of 1, which only ranges of minimum and maximum give."""


def magnitude(score: float) -> float:
    """Undo g (docs/scoring.md): z where the score is g(z) = z up to 1/2, 1 - 1/(4z) above."""
    if score <= 0.5:
        return score
    return min(LARGEST, 0.25 / (1.0 - score)) if score < 1.0 else LARGEST


def score_of(z: float) -> float:
    """g(z), the score of a magnitude."""
    return z if z <= 0.5 else 1.0 - 0.25 / z


@dataclass(slots=True)
class PeakFinder:
    """Takes one stream's scores in order. Its fields are all of its state; see `resumed`."""

    rules: EventRules
    row: list[float]
    """The newest scores in a row, fewer than `min_frames`."""
    highest: float | None = None
    """Score of the peak that isn't over yet."""
    quiet_frames: int = 0
    """Scores in a row that lie too low to be of one event with it."""

    @classmethod
    def resumed(
        cls, rules: EventRules, row: Sequence[float], highest: float | None, quiet_frames: int
    ) -> PeakFinder:
        """One that goes on where another had come, perhaps under other rules."""
        kept = list(row)[max(0, len(row) - rules.min_frames + 1) :]
        return cls(rules, kept, highest, quiet_frames)

    def take(self, score: float | None) -> float | None:
        """The next frame's score; the magnitude of a peak that is over now, if one is."""
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
        return magnitude(highest)

    def cut(self) -> float | None:
        """No score follows on the last one; the peak that is over by that, if there is one."""
        highest, self.highest, self.quiet_frames = self.highest, None, 0
        self.row.clear()
        return None if highest is None else magnitude(highest)


def peaks(scores: Sequence[float | None], rules: EventRules) -> list[float]:
    """All peaks of a stretch, in order."""
    finder = PeakFinder(rules, [])
    found = [finder.take(score) for score in scores]
    return [peak for peak in (*found, finder.cut()) if peak is not None]
