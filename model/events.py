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
    merge_s: float = 0.0
    """Seconds after an event's last frame, by capture, within which another one is the same."""


@dataclass(frozen=True, slots=True)
class ScoredFrame:
    """One frame as the machine takes it; without a score or a threshold it tells nothing."""

    frame: int
    captured_at: float
    scored_at: float
    score: float | None
    threshold: float | None
    region: Region | None = None
    armed: bool = True
    """Whether events are wanted at all when it was captured."""


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
    fading: Event | None = None
    """Over, unless another one begins within `merge_s`: its end isn't told yet."""

    @property
    def told(self) -> Event | None:
        """The event that was started and not ended, by what was told."""
        return self.event if self.is_open else self.fading


def observe(
    state: Detection, scored: ScoredFrame, rules: EventRules
) -> tuple[Detection, tuple[Change, ...]]:
    """Take the next frame's score in. A frame without one neither starts nor prolongs an event.

    One at which the stream isn't armed ends what is open.
    """
    changes: tuple[Change, ...] = ()
    silent = state.scored_at is not None and scored.scored_at - state.scored_at > rules.silence_s
    if silent or not scored.armed:
        state, changes = close(state)
    if not scored.armed:
        return state, changes
    value, threshold = scored.score, scored.threshold
    if value is None or threshold is None:
        state = state if state.is_open else _without_run(state)
    else:
        state = replace(state, scored_at=scored.scored_at)
        if state.is_open:
            state = _go_on(state, scored, value, _lowest(threshold, rules), rules)
        else:
            state = _rise(state, scored, value, threshold)
    state, more = _settled(state, scored.captured_at, rules)
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
    ended = () if state.told is None else (EventEnded(state.told),)
    return Detection(scored_at=state.scored_at), ended


def _without_run(state: Detection) -> Detection:
    return replace(state, event=None, frames=0)


def _lowest(threshold: float, rules: EventRules) -> float:
    # A share of a negative threshold lies above it.
    return min(threshold, rules.release * threshold)


def _rise(state: Detection, scored: ScoredFrame, value: float, threshold: float) -> Detection:
    if value < threshold:
        return _without_run(state)
    event = _begin(scored, value, threshold) if state.event is None else state.event
    return replace(state, event=_extend(event, scored, value), frames=state.frames + 1)


def _go_on(
    state: Detection, scored: ScoredFrame, value: float, lowest: float, rules: EventRules
) -> Detection:
    if value >= lowest and state.event is not None:
        return replace(state, event=_extend(state.event, scored, value), quiet_frames=0)
    if state.quiet_frames + 1 < rules.quiet_frames:
        return replace(state, quiet_frames=state.quiet_frames + 1)
    return Detection(scored_at=state.scored_at, fading=state.event)


def _settled(
    state: Detection, captured_at: float, rules: EventRules
) -> tuple[Detection, tuple[Change, ...]]:
    """What is fading ends where nothing can merge with it any more; a run long enough opens."""
    changes: tuple[Change, ...] = ()
    if state.fading is not None:
        begins_at = captured_at if state.event is None else state.event.started_at
        # A clock that was set back must not keep it from its end.
        if not 0.0 <= begins_at - state.fading.last_at < rules.merge_s:
            changes = (EventEnded(state.fading),)
            state = replace(state, fading=None)
    run = state.event
    if run is None or state.is_open or state.frames < rules.min_frames:
        return state, changes
    if state.fading is None:
        event, changes = run, (*changes, EventStarted(run))
    else:
        event = _merged(state.fading, run)
    return Detection(event=event, is_open=True, scored_at=state.scored_at), changes


def _merged(event: Event, later: Event) -> Event:
    last_at = max(event.last_at, later.last_at)
    event = replace(event, last_frame=later.last_frame, last_at=last_at)
    if later.peak_score <= event.peak_score:
        return event
    return replace(
        event, peak_score=later.peak_score, peak_frame=later.peak_frame, region=later.region
    )


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
