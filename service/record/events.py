"""Scores into events: a pure state machine, one stream at a time.

It knows nothing of the database; its state travels with the recorder's cursor, as JSON.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from pydantic import TypeAdapter

from service.messages import FrameScore, StreamState
from service.settings import Settings

Region = tuple[float, float, float, float]


@dataclass(frozen=True, slots=True)
class Rules:
    """When an event starts and ends; the threshold comes with each score."""

    min_frames: int
    release: float
    """Share of the threshold, in (0, 1]."""
    quiet_frames: int
    silence_s: float

    @classmethod
    def from_settings(cls, settings: Settings) -> Rules:
        """The rules that the operator set."""
        return cls(
            min_frames=settings.event_min_frames,
            release=settings.event_release,
            quiet_frames=settings.event_quiet_frames,
            silence_s=settings.event_silence_s,
        )


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
    """An event has lasted long enough to be one."""

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


_ADAPTER = TypeAdapter(Detection)


def to_json(state: Detection) -> dict[str, object]:
    """The state as plain JSON values."""
    plain: dict[str, object] = _ADAPTER.dump_python(state, mode="json")
    return plain


def from_json(plain: Mapping[str, object]) -> Detection:
    """The state that `to_json` gave; nothing yet for an empty mapping.

    Raises: ValueError: it isn't such a state.
    """
    return _ADAPTER.validate_python(dict(plain))


def observe(
    state: Detection, score: FrameScore, rules: Rules
) -> tuple[Detection, tuple[Change, ...]]:
    """Take the next frame's score in. A frame without one neither starts nor prolongs an event."""
    changes: tuple[Change, ...] = ()
    if state.scored_at is not None and score.scored_at - state.scored_at > rules.silence_s:
        state, changes = close(state)
    value, threshold = score.score, score.threshold
    if value is None or threshold is None or score.state is StreamState.WARMING:
        return (state if state.is_open else _without_run(state)), changes
    state = replace(state, scored_at=score.scored_at)
    if state.is_open:
        state, more = _go_on(state, score, value, _lowest(threshold, rules), rules)
    else:
        state, more = _rise(state, score, value, threshold, rules)
    return state, changes + more


def observe_all(
    state: Detection, scores: Iterable[FrameScore], rules: Rules
) -> tuple[Detection, tuple[Change, ...]]:
    """`observe` over several frames in order."""
    changes: tuple[Change, ...] = ()
    for score in scores:
        state, more = observe(state, score, rules)
        changes += more
    return state, changes


def close(state: Detection) -> tuple[Detection, tuple[Change, ...]]:
    """The stream has fallen silent: what is open ends, what was rising is forgotten."""
    ended = (EventEnded(state.event),) if state.is_open and state.event is not None else ()
    return Detection(scored_at=state.scored_at), ended


def _without_run(state: Detection) -> Detection:
    return replace(state, event=None, frames=0)


def _lowest(threshold: float, rules: Rules) -> float:
    # A share of a negative threshold lies above it.
    return min(threshold, rules.release * threshold)


def _rise(
    state: Detection, score: FrameScore, value: float, threshold: float, rules: Rules
) -> tuple[Detection, tuple[Change, ...]]:
    if value < threshold:
        return _without_run(state), ()
    event = _begin(score, value, threshold) if state.event is None else state.event
    event = _extend(event, score, value)
    state = replace(state, event=event, frames=state.frames + 1)
    if state.frames < rules.min_frames:
        return state, ()
    return replace(state, is_open=True, frames=0, quiet_frames=0), (EventStarted(event),)


def _go_on(
    state: Detection, score: FrameScore, value: float, lowest: float, rules: Rules
) -> tuple[Detection, tuple[Change, ...]]:
    if value >= lowest and state.event is not None:
        return replace(state, event=_extend(state.event, score, value), quiet_frames=0), ()
    state = replace(state, quiet_frames=state.quiet_frames + 1)
    return close(state) if state.quiet_frames >= rules.quiet_frames else (state, ())


def _begin(score: FrameScore, value: float, threshold: float) -> Event:
    return Event(
        first_frame=score.frame,
        last_frame=score.frame,
        started_at=score.captured_at,
        last_at=score.captured_at,
        threshold=threshold,
        peak_score=value,
        peak_frame=score.frame,
        region=score.region,
    )


def _extend(event: Event, score: FrameScore, value: float) -> Event:
    # Uploads may come with times in any order; an event doesn't end before it starts.
    last_at = max(event.last_at, score.captured_at)
    event = replace(event, last_frame=score.frame, last_at=last_at)
    if value <= event.peak_score:
        return event
    return replace(event, peak_score=value, peak_frame=score.frame, region=score.region)
