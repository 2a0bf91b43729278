"""Turns one stream's scores into events: a pure state machine.

The recorder and the evaluation both run it. It uses no database, no clock and no torch: frames and
times come with the scores.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from model.scoring.cause import Cause

Region = tuple[float, float, float, float]

ROUNDING_S = 0.001
"""A stretch is long enough even if it lacks this: files keep times in milliseconds."""


LEAST_STEP_S = 1 / 60
"""A frame counts as at least so long: pictures may be uploaded faster than they were taken."""


@dataclass(frozen=True, slots=True)
class EventRules:
    """The rules for an event's start and end; the defaults are the service's. See `observe`.

    They count seconds of capture time, so they mean the same at each frame rate. At 10 frames/s the
    defaults are 5 frames and 20 frames.
    """

    start_s: float = 0.35
    """An event starts when all scores of this many seconds are at or above the threshold: from the
    first such frame to the newest, which must be another one."""
    release: float = 0.9
    """It continues at or above this share of the threshold, in (0, 1]."""
    quiet_s: float = 2.0
    """It ends this many seconds after its last frame, if all scores since were below that share."""
    silence_s: float = 10.0
    """It also ends after this many seconds without a score, by time of scoring, or by time of
    capture at a cut."""
    merge_s: float = 0.0
    """Another event that begins this soon after the last frame, by capture, is the same event."""


@dataclass(frozen=True, slots=True)
class ScoredFrame:
    """One frame as the machine takes it. The score or the threshold may be missing."""

    frame: int
    captured_at: float
    scored_at: float
    score: float | None
    threshold: float | None
    region: Region | None = None
    cause: Cause = Cause.MOTION
    armed: bool = True
    """Whether the stream's schedule allowed events when the frame was captured."""
    cut: bool = False
    """The frame begins a new run: it doesn't follow the one before it."""


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
    """The threshold at the first frame."""
    peak_score: float
    peak_frame: int
    region: Region | None = None
    """The place of the largest error at the peak: left, top, right, bottom, as shares."""
    cause: Cause = Cause.MOTION
    """The part of the score that was the highest at the peak."""


@dataclass(frozen=True, slots=True)
class EventStarted:
    """An event has lasted long enough; its last frame is the one that started it."""

    event: Event


@dataclass(frozen=True, slots=True)
class EventEnded:
    """The open event is over."""

    event: Event


Change = EventStarted | EventEnded


@dataclass(frozen=True, slots=True)
class DetectionState:
    """The state of one stream's detection."""

    event: Event | None = None
    """The event that is open, or still too short to be reported."""
    is_open: bool = False
    quiet_s: float = 0.0
    """Seconds of capture in which all scores were too low for the open event."""
    newest_at: float | None = None
    """When the newest frame was captured, while an event is open."""
    scored_at: float | None = None
    """When the newest frame with a score was scored."""
    captured_at: float | None = None
    """When it was captured."""
    fading: Event | None = None
    """An event that is over unless another begins within `merge_s`; its end isn't reported yet."""

    @property
    def reported(self) -> Event | None:
        """The event whose start was reported, and whose end wasn't."""
        return self.event if self.is_open else self.fading


def observe(
    state: DetectionState, scored: ScoredFrame, rules: EventRules
) -> tuple[DetectionState, tuple[Change, ...]]:
    """Advance by one frame. A frame without a score neither starts nor prolongs an event.

    The open event ends at a frame for which the stream isn't armed, and after a silence: no score
    for a while, or a cut to another time of capture.
    """
    changes: tuple[Change, ...] = ()
    silent = state.scored_at is not None and scored.scored_at - state.scored_at > rules.silence_s
    if silent or not scored.armed or _is_jump(state, scored, rules):
        state, changes = close(state)
    if not scored.armed:
        return state, changes
    value, threshold = scored.score, scored.threshold
    if value is None or threshold is None:
        state = replace(state, event=state.event if state.is_open else None)
    else:
        state = replace(state, scored_at=scored.scored_at, captured_at=scored.captured_at)
        if state.is_open:
            state = _go_on(state, scored, value, _find_release_level(threshold, rules), rules)
        else:
            state = _rise(state, scored, value, threshold)
    if state.is_open:
        state = replace(state, newest_at=scored.captured_at)
    state, more = _settle(state, scored.captured_at, rules)
    return state, changes + more


def observe_all(
    state: DetectionState, scores: Iterable[ScoredFrame], rules: EventRules
) -> tuple[DetectionState, tuple[Change, ...]]:
    """Call `observe` for several frames in order."""
    changes: list[Change] = []
    for scored in scores:
        state, more = observe(state, scored, rules)
        changes += more
    return state, tuple(changes)


def close(state: DetectionState) -> tuple[DetectionState, tuple[Change, ...]]:
    """End the open event and forget a run that is still too short: the stream has fallen silent."""
    ended = () if state.reported is None else (EventEnded(state.reported),)
    return _without_event(state), ended


def is_long_enough(lasted_s: float, least_s: float) -> bool:
    """Return whether a stretch lasted at least so long, apart from rounding."""
    return lasted_s >= least_s - ROUNDING_S


def measure_step(before_at: float | None, captured_at: float) -> float:
    """Return the seconds since the frame before; 0 without one, or if the clock was set back."""
    return 0.0 if before_at is None else max(0.0, captured_at - before_at)


def _is_jump(state: DetectionState, scored: ScoredFrame, rules: EventRules) -> bool:
    """Returns whether the frame was captured at another time than the last one. Uploads of an hour
    ago and of now may be scored within a second."""
    if state.captured_at is None or not scored.cut:
        return False
    return not 0.0 <= scored.captured_at - state.captured_at <= rules.silence_s


def _without_event(state: DetectionState) -> DetectionState:
    return DetectionState(scored_at=state.scored_at, captured_at=state.captured_at)


def _find_release_level(threshold: float, rules: EventRules) -> float:
    # A share of a negative threshold lies above it.
    return min(threshold, rules.release * threshold)


def _rise(
    state: DetectionState, scored: ScoredFrame, value: float, threshold: float
) -> DetectionState:
    if value < threshold:
        return replace(state, event=None)
    event = _begin(scored, value, threshold) if state.event is None else state.event
    return replace(state, event=_extend(event, scored, value))


def _go_on(
    state: DetectionState, scored: ScoredFrame, value: float, lowest: float, rules: EventRules
) -> DetectionState:
    if value >= lowest and state.event is not None:
        return replace(state, event=_extend(state.event, scored, value), quiet_s=0.0)
    step_s = measure_step(state.newest_at, scored.captured_at)
    quiet_s = state.quiet_s + max(step_s, LEAST_STEP_S)
    if not is_long_enough(quiet_s, rules.quiet_s):
        return replace(state, quiet_s=quiet_s)
    return replace(_without_event(state), fading=state.event)


def _settle(
    state: DetectionState, captured_at: float, rules: EventRules
) -> tuple[DetectionState, tuple[Change, ...]]:
    """End the fading event once nothing can merge with it; open a run that is long enough."""
    changes: tuple[Change, ...] = ()
    if state.fading is not None:
        begins_at = captured_at if state.event is None else state.event.started_at
        # A clock that was set back must not keep it from its end.
        if not 0.0 <= begins_at - state.fading.last_at < rules.merge_s:
            changes = (EventEnded(state.fading),)
            state = replace(state, fading=None)
    run = state.event
    if run is None or state.is_open or not _is_long(run, rules):
        return state, changes
    if state.fading is None:
        event, changes = run, (*changes, EventStarted(run))
    else:
        event = _merge(state.fading, run)
    state = replace(_without_event(state), event=event, is_open=True, newest_at=captured_at)
    return state, changes


def _is_long(run: Event, rules: EventRules) -> bool:
    """Returns whether a run is an event. One frame never is, however slow the camera."""
    steps = run.last_frame - run.first_frame
    lasted_s = max(run.last_at - run.started_at, LEAST_STEP_S * steps)
    return steps > 0 and is_long_enough(lasted_s, rules.start_s)


def _merge(event: Event, later: Event) -> Event:
    last_at = max(event.last_at, later.last_at)
    event = replace(event, last_frame=later.last_frame, last_at=last_at)
    if later.peak_score <= event.peak_score:
        return event
    return replace(
        event,
        peak_score=later.peak_score,
        peak_frame=later.peak_frame,
        region=later.region,
        cause=later.cause,
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
        cause=scored.cause,
    )


def _extend(event: Event, scored: ScoredFrame, value: float) -> Event:
    # Uploads may come with times in any order; an event doesn't end before it starts.
    last_at = max(event.last_at, scored.captured_at)
    event = replace(event, last_frame=scored.frame, last_at=last_at)
    if value <= event.peak_score:
        return event
    return replace(
        event,
        peak_score=value,
        peak_frame=scored.frame,
        region=scored.region,
        cause=scored.cause,
    )
