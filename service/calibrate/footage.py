"""Scores into stretches of normal footage: seconds, and the highest peaks in them.

What lies in an event, or next to one, is left out; the events' own peaks are kept beside, for those
that somebody calls normal later. Pure: it knows no database.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field

from pydantic import TypeAdapter

from model.events import EventRules
from model.peaks import PeakFinder, magnitude

STRETCH_S = 900.0
"""A stretch has so much footage, or less where the threshold changed in it."""
KEPT_PEAKS = 48
"""Of a stretch, the highest."""
KEPT_EVENTS = 100
"""Of a stretch."""


@dataclass(frozen=True, slots=True)
class Scored:
    """One frame's score; None where it has none that counts."""

    frame: int
    at: float
    """When it was captured."""
    score: float | None
    threshold: float | None
    """In force."""


@dataclass(frozen=True, slots=True)
class Span:
    """An event's frames, both ends included."""

    first_frame: int
    last_frame: int


@dataclass(slots=True)
class Collected:
    """A stretch, as it grows."""

    limit: float | None
    """The threshold in force."""
    seconds: float = 0.0
    low: float = 0.0
    """Peaks (magnitudes) that aren't higher weren't kept."""
    peaks: list[float] = field(default_factory=list)
    events: list[tuple[int, float]] = field(default_factory=list)
    """First frame and peak of events that ended."""

    def add(self, peak: float | None) -> None:
        """Keep it, if it is one of the highest below the limit."""
        if peak is None or peak <= self.low:
            return
        if self.limit is not None and peak >= magnitude(self.limit):
            return
        self.peaks.append(peak)
        if len(self.peaks) > KEPT_PEAKS:
            self.peaks.sort(reverse=True)
            self.low = self.peaks.pop()


@dataclass(frozen=True, slots=True)
class Standing:
    """Where the search stands between two rounds."""

    row: list[float] = field(default_factory=list)
    highest: float | None = None
    quiet_frames: int = 0
    at: float | None = None
    """Capture time of the newest frame."""
    event: int | None = None
    """First frame of the event that the search is in."""
    event_row: list[float] = field(default_factory=list)
    event_peak: float = 0.0


_STANDING = TypeAdapter(Standing)


def to_json(standing: Standing) -> dict[str, object]:
    """As plain JSON values."""
    return asdict(standing)


def from_json(plain: dict[str, object]) -> Standing:
    """What `to_json` gave. Raises: ValueError: it isn't such a thing."""
    return _STANDING.validate_python(plain)


def guard_frames(rules: EventRules) -> int:
    """So many frames before and after an event are on its flanks."""
    return rules.min_frames + rules.quiet_frames


class Collector:
    """Takes one stream's scores in order, and fills stretches."""

    def __init__(self, rules: EventRules, collected: Collected, standing: Standing) -> None:
        self._rules = rules
        self._guard = guard_frames(rules)
        self._peaks = PeakFinder.resumed(
            rules, standing.row, standing.highest, standing.quiet_frames
        )
        self._at = standing.at
        self._event = standing.event
        self._event_row = list(standing.event_row)
        self._event_peak = standing.event_peak
        self.stretches = [collected]
        """The one that it was given, and those that were begun since."""

    def standing(self) -> Standing:
        """Where it stands."""
        peaks = self._peaks
        return Standing(
            row=list(peaks.row),
            highest=peaks.highest,
            quiet_frames=peaks.quiet_frames,
            at=self._at,
            event=self._event,
            event_row=list(self._event_row),
            event_peak=self._event_peak,
        )

    def finish(self) -> None:
        """No frame follows: the last peak is over by that."""
        self._current.add(self._peaks.cut())

    def take(self, scores: Iterable[Scored], events: Sequence[Span]) -> None:
        """The next frames. `events` are all that these frames may lie in or near, in order."""
        waiting = list(reversed(events))
        for scored in scores:
            while waiting and scored.frame > waiting[-1].last_frame + self._guard:
                waiting.pop()
            # Two events may be so near that a frame is on the flanks of both.
            near = [each for each in waiting[-2:] if scored.frame >= each.first_frame - self._guard]
            self._take(scored, near)

    def _take(self, scored: Scored, near: Sequence[Span]) -> None:
        passed_s = 0.0 if self._at is None else scored.at - self._at
        self._at = scored.at
        if not 0.0 <= passed_s <= self._rules.silence_s:
            passed_s = 0.0
            self._current.add(self._peaks.cut())
        inside = [each for each in near if each.first_frame <= scored.frame <= each.last_frame]
        self._follow(inside[0].first_frame if inside else None, scored.score)
        if near:
            self._current.add(self._peaks.cut())
            return
        if scored.score is not None:
            if scored.threshold != self._current.limit or self._current.seconds >= STRETCH_S:
                self._begin(scored.threshold)
            self._current.seconds += passed_s
        self._current.add(self._peaks.take(scored.score))

    def _follow(self, event: int | None, score: float | None) -> None:
        """Find the peak of the event that is passed."""
        if event != self._event:
            if self._event is not None and len(self._current.events) < KEPT_EVENTS:
                self._current.events.append((self._event, self._event_peak))
            self._event, self._event_peak = event, 0.0
            self._event_row.clear()
        if event is None or score is None:
            self._event_row.clear()
            return
        self._event_row.append(score)
        if len(self._event_row) >= self._rules.min_frames:
            self._event_peak = max(self._event_peak, magnitude(min(self._event_row)))
            del self._event_row[0]

    @property
    def _current(self) -> Collected:
        return self.stretches[-1]

    def _begin(self, limit: float | None) -> None:
        if self._current.seconds > 0.0 or self._current.peaks or self._current.events:
            self.stretches.append(Collected(limit))
        else:
            self._current.limit = limit
