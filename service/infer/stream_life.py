"""A stream's life as one explicit machine: a pure function of what its owner knows about it.

Which fact leads to which state stands in one table, `_RULES`: the first that holds decides. Each
state but `live` has a reason, so that nobody waits for scores without knowing what for.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from model.detect.camera_state import CameraState
from model.detect.observation import Observation, Withheld
from service.capture.camera_capture import CaptureState
from service.messages import MODEL_LOADING, NO_MODEL, NOT_TAKEN, PAUSED, StreamState, StreamStatus

CONNECTING = "connecting to the source"
OPENING = "the source is being opened"
ENDED = "the source was played to its end"
UNREADABLE = "the source can't be read"
STALLED = "connected, but no picture comes"
FROZEN = "the same picture comes again and again"
LEAST_STAY_S = 0.25
"""A state lasts at least so long: what flickers isn't logged more than a few times a second."""
UNWATCHED = frozenset(
    {
        StreamState.STALLED,
        StreamState.FROZEN,
        StreamState.OBSCURED,
        StreamState.MISFIT,
        StreamState.DOWN,
        StreamState.FAILED,
    }
)
"""States that a mere new attempt doesn't end."""


@dataclass(frozen=True, slots=True)
class Facts:
    """Everything that a stream's state follows from."""

    paused: bool = False
    failure: str = ""
    """Why it can't work as configured."""
    learning: bool = False
    """It has no model yet: it is only displayed."""
    uploaded: bool = False
    """Its pictures are uploaded: there is nothing to connect to."""
    loaded: bool = True
    """Its model is there."""
    source: CaptureState | None = None
    """None: not open yet."""
    source_reason: str = ""
    waiting: bool = False
    """Frames of it wait to be scored."""
    warming: str = "no frame has been seen yet"
    """Why its newest frame got no score; empty where it got one."""
    obscured: str = ""
    """Why its newest frame doesn't fit the scene."""
    misfit: str = ""
    """Why its scores mean nothing, although they come."""
    overload: str = ""
    """Why not all of its frames are scored."""
    swap: str = ""
    """Why another model scores them than the configured one."""
    ended: bool = False
    """It had been played to its end before this worker took it."""
    retried: bool = False
    """The source is tried again as it was before, by this worker or by another."""


@dataclass(frozen=True, slots=True)
class Life:
    """A stream's state, the reason for it and when it began."""

    state: StreamState = StreamState.PENDING
    reason: str = NOT_TAKEN
    """Empty only where scores come, all of them and by the configured model."""
    since: float = 0.0
    """Seconds since 1970."""


@dataclass(frozen=True, slots=True)
class LifeChange:
    """A step from one state to another."""

    before: StreamState
    after: Life


@dataclass(frozen=True, slots=True)
class _Rule:
    holds: Callable[[Facts], bool]
    state: StreamState
    reason: Callable[[Facts], str]


def _quote_source(otherwise: str) -> Callable[[Facts], str]:
    """Make a rule's reason: what the source says, or where it says nothing, `otherwise`."""
    return lambda facts: facts.source_reason or otherwise


def _explain_warming(facts: Facts) -> str:
    return "; ".join(filter(None, (facts.warming, facts.overload, facts.swap)))


def _explain_live(facts: Facts) -> str:
    return "; ".join(filter(None, (facts.overload, facts.swap)))


def _is_playing(facts: Facts) -> bool:
    """Return whether frames come, or wait: what was decoded counts before how it ended."""
    return facts.waiting or facts.source is CaptureState.PLAYING


_RULES = (
    _Rule(lambda f: f.paused, StreamState.PAUSED, lambda _: PAUSED),
    _Rule(lambda f: bool(f.failure), StreamState.FAILED, lambda f: f.failure),
    _Rule(lambda f: f.ended, StreamState.ENDED, lambda _: ENDED),
    _Rule(
        lambda f: f.learning and (f.uploaded or _is_playing(f)),
        StreamState.LEARNING,
        lambda _: NO_MODEL,
    ),
    _Rule(lambda f: not (f.loaded or f.learning), StreamState.CONNECTING, lambda _: MODEL_LOADING),
    _Rule(
        lambda f: _is_playing(f) and bool(f.obscured), StreamState.OBSCURED, lambda f: f.obscured
    ),
    _Rule(lambda f: _is_playing(f) and bool(f.misfit), StreamState.MISFIT, lambda f: f.misfit),
    _Rule(lambda f: _is_playing(f) and bool(f.warming), StreamState.WARMING, _explain_warming),
    _Rule(_is_playing, StreamState.LIVE, _explain_live),
    _Rule(lambda f: f.source is CaptureState.STALLED, StreamState.STALLED, _quote_source(STALLED)),
    _Rule(lambda f: f.source is CaptureState.FROZEN, StreamState.FROZEN, _quote_source(FROZEN)),
    _Rule(lambda f: f.source is CaptureState.DOWN, StreamState.DOWN, _quote_source(UNREADABLE)),
    _Rule(lambda f: f.source is CaptureState.FAILED, StreamState.FAILED, _quote_source(UNREADABLE)),
    _Rule(lambda f: f.source is CaptureState.ENDED, StreamState.ENDED, lambda _: ENDED),
    _Rule(lambda f: f.source is None, StreamState.CONNECTING, _quote_source(OPENING)),
    _Rule(lambda _: True, StreamState.CONNECTING, _quote_source(CONNECTING)),
)


def step(life: Life, facts: Facts, now: float) -> tuple[Life, tuple[LifeChange, ...]]:
    """Return the life from now on, and the change of state, if there is one.

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
    return after, (LifeChange(life.state, after),)


def start_life(reported: StreamStatus | None) -> Life:
    """Return the life with which a new owner begins: the stream keeps its state."""
    return Life() if reported is None else Life(reported.state, reported.reason, reported.since)


class CameraLife:
    """The state of a camera. For the worker's thread; `now` may be read by others."""

    def __init__(self, last_status: StreamStatus | None) -> None:
        """Args: last_status: what the last owner reported a moment ago."""
        self.now = start_life(last_status)
        self.obscured = ""
        """Why the newest frame doesn't fit the scene."""
        self.is_reconfigured = False
        """Whether the source was configured differently since it was last connected."""
        self._withheld: Withheld | None = Withheld.FEW_FRAMES
        """Why the newest frame got no score."""

    def observe(self, seen: Observation) -> None:
        """Note what was found in the newest frame."""
        self._withheld, self.obscured = seen.withheld, seen.obscured

    def begin_run(self) -> None:
        """Note that the frames that come next follow no others."""
        self._withheld, self.obscured = Withheld.FEW_FRAMES, ""

    def explain_warming(self, state: CameraState | None) -> str:
        """Return why the newest frame got no score; empty where it got one."""
        if self._withheld is None:
            return ""
        if state is None:
            return "no frame has been seen yet"
        return warming_reason(self._withheld, len(state.frames), state.frames.maxlen or 0)

    def advance(self, facts: Facts, now: float) -> tuple[LifeChange, ...]:
        """Take the life a step further. Returns the changes of state."""
        if facts.source not in (None, CaptureState.CONNECTING):
            self.is_reconfigured = False
        self.now, changes = step(self.now, facts, now)
        return changes


def warming_reason(withheld: Withheld, seen: int, needed: int) -> str:
    """Why the newest frame got no score.

    Args:
        seen: frames since the start or the last cut.
        needed: frames before the one that is scored.
    """
    match withheld:
        case Withheld.NO_RANGE:
            return "no normal range is known for this model: import it again with --normal"
        case Withheld.UNFIT:
            return "the picture doesn't fit the scene: the camera may be covered or turned"
        case Withheld.CHANGED:
            return "the light or the scene changed as a whole: learning it again"
        case Withheld.FEW_FRAMES:
            return f"{seen} of {needed} frames seen before the next score"


def overload_reason(fps: float, target: float | None) -> str:
    """Why not all frames of a camera are scored.

    Args: fps: frames scored a second. target: frames a second to score, if there is a target.
    """
    if target is None:
        return f"the worker is overloaded: {fps:.1f} frames a second are scored"
    # What comes unevenly may be more for a moment.
    scored = f"{min(fps, target):.1f} of {target:g}"
    return f"the worker is overloaded: {scored} frames a second are scored"
