"""Collects scores into stretches of normal footage: seconds, and the highest peaks in them.

Frames in an event, or next to one, are left out; the events' own peaks are kept separately, for
events that are labelled normal later. It is pure, and knows no database.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field, replace

from pydantic import TypeAdapter

from model.events.event_detection import EventRules
from model.events.peaks import PeakFinder, TimedValue, find_level, to_magnitude

STRETCH_S = 900.0
"""Seconds of footage in a stretch; fewer where the threshold changed in it."""
KEPT_PEAKS = 48
"""Peaks that are kept of a stretch: the highest."""
KEPT_EVENTS = 100
"""Events whose peaks are kept of a stretch."""


@dataclass(frozen=True, slots=True)
class TimedScore:
    """One frame's score; None where it has none that counts."""

    frame: int
    at: float
    """When it was captured."""
    score: float | None
    threshold: float | None
    """The threshold in force."""


@dataclass(frozen=True, slots=True)
class EventFrames:
    """An event's frames, both ends included."""

    first_frame: int
    last_frame: int
    started_at: float
    """The capture time of the first frame."""


@dataclass(slots=True)
class FootageStretch:
    """A stretch of normal footage, as it grows."""

    limit: float | None
    """The threshold in force."""
    seconds: float = 0.0
    low: float = 0.0
    """Peaks (magnitudes) that aren't higher weren't kept."""
    peaks: list[float] = field(default_factory=list)
    events: list[tuple[int, float]] = field(default_factory=list)
    """First frame and peak of events that ended."""

    def add(self, peak: float | None) -> None:
        """Keep a peak if it is one of the highest below the limit."""
        if peak is None or peak <= self.low:
            return
        if self.limit is not None and peak >= to_magnitude(self.limit):
            return
        self.peaks.append(peak)
        if len(self.peaks) > KEPT_PEAKS:
            self.peaks.sort(reverse=True)
            self.low = self.peaks.pop()


@dataclass(slots=True)
class CollectorState:
    """The state of a `ScoreCollector` between two rounds, as it is stored."""

    row: list[TimedValue] = field(default_factory=list)
    highest: float | None = None
    quiet_s: float = 0.0
    peaks_at: float | None = None
    """Capture time of the newest frame in which peaks were searched for."""
    at: float | None = None
    """Capture time of the newest frame."""
    event: int | None = None
    """First frame of the event that the search is in."""
    event_row: list[TimedValue] = field(default_factory=list)
    event_peak: float = 0.0
    event_at: float | None = None
    """Capture time of the newest frame that was in an event."""


_ADAPTER = TypeAdapter(CollectorState)


def to_json(state: CollectorState) -> dict[str, object]:
    """Return the state as plain JSON values."""
    return asdict(state)


def from_json(plain: dict[str, object]) -> CollectorState:
    """Return the state that `to_json` gave. Raises: ValueError: it isn't such a state."""
    return _ADAPTER.validate_python(plain)


def compute_guard_s(rules: EventRules) -> float:
    """Return how many seconds before and after an event are its flanks."""
    return rules.start_s + rules.quiet_s


def is_on_flank(earlier_at: float, later_at: float, guard_s: float) -> bool:
    """Return whether one of two frames is on the flank of the other's event."""
    return 0.0 <= later_at - earlier_at <= guard_s


class ScoreCollector:
    """Takes one stream's scores in order, and fills stretches."""

    def __init__(self, rules: EventRules, first: FootageStretch, state: CollectorState) -> None:
        self._rules = rules
        self._guard_s = compute_guard_s(rules)
        self._peaks = PeakFinder.resume(
            rules, state.row, state.highest, state.quiet_s, state.peaks_at
        )
        self._state = replace(state, event_row=list(state.event_row))
        self.stretches = [first]
        """The stretch that it was given, and those that were begun since."""

    def save_state(self) -> CollectorState:
        """Return what another collector needs to go on."""
        peaks = self._peaks
        return replace(
            self._state,
            row=list(peaks.row),
            highest=peaks.highest,
            quiet_s=peaks.quiet_s,
            peaks_at=peaks.newest_at,
            event_row=list(self._state.event_row),
        )

    def finish(self) -> None:
        """End the last peak: no frame follows."""
        self._current.add(self._peaks.cut())

    def collect(self, scores: Iterable[TimedScore], events: Sequence[EventFrames]) -> None:
        """Collect the next frames.

        Args:
            events: all events that these frames may lie in or before, in order.
        """
        waiting = list(reversed(events))
        for scored in scores:
            while waiting and scored.frame > waiting[-1].last_frame:
                waiting.pop()
            self._collect_one(scored, waiting[-1] if waiting else None)

    def _collect_one(self, scored: TimedScore, event: EventFrames | None) -> None:
        elapsed_s = 0.0 if self._state.at is None else scored.at - self._state.at
        self._state.at = scored.at
        if not 0.0 <= elapsed_s <= self._rules.silence_s:
            elapsed_s = 0.0
            self._current.add(self._peaks.cut())
        inside = event is not None and event.first_frame <= scored.frame
        self._track_event(event.first_frame if event and inside else None, scored)
        if inside or self._is_on_flank(scored.at, event):
            self._current.add(self._peaks.cut())
            return
        if scored.score is not None:
            if scored.threshold != self._current.limit or self._current.seconds >= STRETCH_S:
                self._begin_stretch(scored.threshold)
            self._current.seconds += elapsed_s
        self._current.add(self._peaks.add(scored.at, scored.score))

    def _is_on_flank(self, at: float, following: EventFrames | None) -> bool:
        event_at = self._state.event_at
        if event_at is not None and is_on_flank(event_at, at, self._guard_s):
            return True
        return following is not None and is_on_flank(at, following.started_at, self._guard_s)

    def _track_event(self, event: int | None, scored: TimedScore) -> None:
        """Find the peak of the event that the frame lies in."""
        state = self._state
        if event != state.event:
            if state.event is not None and len(self._current.events) < KEPT_EVENTS:
                self._current.events.append((state.event, state.event_peak))
            state.event, state.event_peak = event, 0.0
            state.event_row.clear()
        if event is not None:
            state.event_at = scored.at
        if event is None or scored.score is None:
            state.event_row.clear()
            return
        state.event_row.append((scored.at, scored.score))
        level = find_level(state.event_row, self._rules)
        if level is not None:
            state.event_peak = max(state.event_peak, to_magnitude(level))

    @property
    def _current(self) -> FootageStretch:
        return self.stretches[-1]

    def _begin_stretch(self, limit: float | None) -> None:
        if self._current.seconds > 0.0 or self._current.peaks or self._current.events:
            self.stretches.append(FootageStretch(limit))
        else:
            self._current.limit = limit
