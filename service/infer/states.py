"""A stream's life as one explicit machine: a pure function of what its owner knows of it.

Which fact leads to which state stands in one table, `_RULES`: the first that holds decides.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from service.capture.camera import CaptureState
from service.messages import MODEL_LOADING, StreamState

LEAST_STAY_S = 0.25
"""A state lasts at least so long: what flickers isn't told more than a few times a second."""
UNWATCHED = frozenset(
    {
        StreamState.STALLED,
        StreamState.FROZEN,
        StreamState.OBSCURED,
        StreamState.DOWN,
        StreamState.FAILED,
    }
)
"""States that a mere new attempt doesn't end."""


@dataclass(frozen=True, slots=True)
class Facts:
    """What a stream's state follows from."""

    paused: bool = False
    failure: str = ""
    """Why it can't work as configured."""
    loaded: bool = True
    """Its model is there."""
    source: CaptureState | None = None
    """None: not open yet."""
    source_reason: str = ""
    waiting: bool = False
    """Frames of it wait to be scored."""
    warming: bool = True
    """Its newest frame got no score."""
    obscured: str = ""
    """Why its newest frame doesn't fit the scene."""
    overload: str = ""
    """Why not all of its frames are scored."""
    ended: bool = False
    """It had been played to its end before this worker took it."""
    retried: bool = False
    """The source is tried again as it was before, by whatever worker."""


@dataclass(frozen=True, slots=True)
class Life:
    """Where a stream is in its life."""

    state: StreamState = StreamState.PENDING
    reason: str = ""
    """Empty where the state is the wanted one."""
    since: float = 0.0
    """Seconds since 1970."""


@dataclass(frozen=True, slots=True)
class Change:
    """From one state to another."""

    before: StreamState
    after: Life


@dataclass(frozen=True, slots=True)
class _Rule:
    holds: Callable[[Facts], bool]
    state: StreamState
    reason: Callable[[Facts], str] = lambda _: ""


def _source(facts: Facts) -> str:
    return facts.source_reason


def _playing(facts: Facts) -> bool:
    """Frames are there to be scored, or come: what was decoded counts before how it ended."""
    return facts.waiting or facts.source is CaptureState.PLAYING


_RULES = (
    _Rule(lambda f: f.paused, StreamState.PAUSED),
    _Rule(lambda f: bool(f.failure), StreamState.FAILED, lambda f: f.failure),
    _Rule(lambda f: f.ended, StreamState.ENDED),
    _Rule(lambda f: not f.loaded, StreamState.CONNECTING, lambda _: MODEL_LOADING),
    _Rule(lambda f: _playing(f) and bool(f.obscured), StreamState.OBSCURED, lambda f: f.obscured),
    _Rule(lambda f: _playing(f) and f.warming, StreamState.WARMING, lambda f: f.overload),
    _Rule(_playing, StreamState.LIVE, lambda f: f.overload),
    _Rule(lambda f: f.source is CaptureState.STALLED, StreamState.STALLED, _source),
    _Rule(lambda f: f.source is CaptureState.FROZEN, StreamState.FROZEN, _source),
    _Rule(lambda f: f.source is CaptureState.DOWN, StreamState.DOWN, _source),
    _Rule(lambda f: f.source is CaptureState.FAILED, StreamState.FAILED, _source),
    _Rule(lambda f: f.source is CaptureState.ENDED, StreamState.ENDED),
    _Rule(lambda _: True, StreamState.CONNECTING, _source),
)


def step(life: Life, facts: Facts, now: float) -> tuple[Life, tuple[Change, ...]]:
    """The life from now on, and the change of state, if there is one.

    Reasons may change within a state; a state that was taken up a moment ago stays for that moment.
    """
    rule = next(rule for rule in _RULES if rule.holds(facts))
    state, reason = rule.state, rule.reason(facts)
    if state is life.state:
        return replace(life, reason=reason), ()
    if state is StreamState.CONNECTING and facts.retried and life.state in UNWATCHED:
        return life, ()
    if 0.0 <= now - life.since < LEAST_STAY_S:
        return life, ()
    after = Life(state, reason, now)
    return after, (Change(life.state, after),)
