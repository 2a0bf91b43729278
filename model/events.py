"""Scores into events: a pure state machine, one stream at a time.

The service records events by it, and the evaluation counts them by it. It knows no database, no
clock and no torch; frames and times come with the scores.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

Region = tuple[float, float, float, float]


@dataclass(frozen=True, slots=True)
class EventRules:
    """When an event starts and ends; the defaults are the service's. See `observe`."""

    min_frames: int = 5
    """Frames in a row at or above the threshold that start an event."""
    release: float = 0.9
    """It goes on at or above this share of the threshold, in (0, 1]."""
    quiet_frames: int = 20
    """Frames in a row below that which end it."""
    silence_s: float = 10.0
    """Seconds without any score that end it too."""


@dataclass(frozen=True, slots=True)
class ScoredFrame:
    """One frame as the machine takes it; without a score or a threshold it tells nothing."""

    frame: int
    captured_at: float
    scored_at: float
    score: float | None
    threshold: float | None
    region: Region | None = None


@dataclass(frozen=True, slots=True)
class Event:
    """Frames that belong together because their scores are high."""

    first_frame: int
    last_frame: int
    """The newest frame that kept the event going."""
    started_at: float
    """Capture time of the first frame."""
    last_at: float
    """Capture time of the last frame."""
    threshold: float
    """In force at the first frame."""
    peak_score: float
    peak_frame: int
    region: Region | None = None
    """Where the error was largest at the peak: left, top, right, bottom as shares."""


@dataclass(frozen=True, slots=True)
class EventStarted:
    """An event has lasted long enough to be one; its last frame is the one that raised it."""

    event: Event


@dataclass(frozen=True, slots=True)
class EventEnded:
    """The open event is over."""

    event: Event


Change = EventStarted | EventEnded


@dataclass(frozen=True, slots=True)
class Detection:
    """Where the detection of one stream stands."""

    event: Event | None = None
    """Open, or still too short to be told of."""
    is_open: bool = False
    frames: int = 0
    """Scores in a row at or above the threshold, while no event is open."""
    quiet_frames: int = 0
    """Scores in a row too low for the open event."""
    scored_at: float | None = None
    """When the newest frame with a score was scored."""


def observe(
    state: Detection, scored: ScoredFrame, rules: EventRules
) -> tuple[Detection, tuple[Change, ...]]:
    """Take the next frame's score in. A frame without one neither starts nor prolongs an event."""
    changes: tuple[Change, ...] = ()
    if state.scored_at is not None and scored.scored_at - state.scored_at > rules.silence_s:
        state, changes = close(state)
    value, threshold = scored.score, scored.threshold
    if value is None or threshold is None:
        return (state if state.is_open else _without_run(state)), changes
    state = replace(state, scored_at=scored.scored_at)
    if state.is_open:
        state, more = _go_on(state, scored, value, _lowest(threshold, rules), rules)
    else:
        state, more = _rise(state, scored, value, threshold, rules)
    return state, changes + more


def observe_all(
    state: Detection, scores: Iterable[ScoredFrame], rules: EventRules
) -> tuple[Detection, tuple[Change, ...]]:
    """`observe` over several frames in order."""
    changes: list[Change] = []
    for scored in scores:
        state, more = observe(state, scored, rules)
        changes += more
    return state, tuple(changes)


def close(state: Detection) -> tuple[Detection, tuple[Change, ...]]:
    """The stream has fallen silent: what is open ends, what was rising is forgotten."""
    ended = (EventEnded(state.event),) if state.is_open and state.event is not None else ()
    return Detection(scored_at=state.scored_at), ended


def _without_run(state: Detection) -> Detection:
    return replace(state, event=None, frames=0)


def _lowest(threshold: float, rules: EventRules) -> float:
    # A share of a negative threshold lies above it.
    return min(threshold, rules.release * threshold)


def _rise(
    state: Detection, scored: ScoredFrame, value: float, threshold: float, rules: EventRules
) -> tuple[Detection, tuple[Change, ...]]:
    if value < threshold:
        return _without_run(state), ()
    event = _begin(scored, value, threshold) if state.event is None else state.event
    event = _extend(event, scored, value)
    state = replace(state, event=event, frames=state.frames + 1)
    if state.frames < rules.min_frames:
        return state, ()
    return replace(state, is_open=True, frames=0, quiet_frames=0), (EventStarted(event),)


def _go_on(
    state: Detection, scored: ScoredFrame, value: float, lowest: float, rules: EventRules
) -> tuple[Detection, tuple[Change, ...]]:
    if value >= lowest and state.event is not None:
        return replace(state, event=_extend(state.event, scored, value), quiet_frames=0), ()
    state = replace(state, quiet_frames=state.quiet_frames + 1)
    return close(state) if state.quiet_frames >= rules.quiet_frames else (state, ())


def _begin(scored: ScoredFrame, value: float, threshold: float) -> Event:
    return Event(
        first_frame=scored.frame,
        last_frame=scored.frame,
        started_at=scored.captured_at,
        last_at=scored.captured_at,
        threshold=threshold,
        peak_score=value,
        peak_frame=scored.frame,
        region=scored.region,
    )


def _extend(event: Event, scored: ScoredFrame, value: float) -> Event:
    # Uploads may come with times in any order; an event doesn't end before it starts.
    last_at = max(event.last_at, scored.captured_at)
    event = replace(event, last_frame=scored.frame, last_at=last_at)
    if value <= event.peak_score:
        return event
    return replace(event, peak_score=value, peak_frame=scored.frame, region=scored.region)
