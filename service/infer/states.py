"""Where a stream is in its life, as a pure function of what its owner knows; and what of its frames
there is to say of late: their rate and their age.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from service.capture.camera import CaptureState
from service.messages import StreamState

RATE_WINDOW_S = 5.0
AGE_WINDOW_S = 30.0
MAX_AGES = 600


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
    overload: str = ""
    """Why not all of its frames are scored."""
    ended: bool = False
    """It had been played to its end before this worker took it."""


def stream_state(facts: Facts) -> tuple[StreamState, str]:
    """The state, and the reason where it isn't the wanted one."""
    if facts.paused:
        return StreamState.PAUSED, ""
    if facts.failure:
        return StreamState.FAILED, facts.failure
    if facts.ended:
        return StreamState.ENDED, ""
    if not facts.loaded:
        return StreamState.CONNECTING, "the model is loading"
    scoring = StreamState.WARMING if facts.warming else StreamState.LIVE
    if facts.waiting:
        return scoring, facts.overload
    state = {
        None: StreamState.CONNECTING,
        CaptureState.CONNECTING: StreamState.CONNECTING,
        CaptureState.PLAYING: scoring,
        CaptureState.DOWN: StreamState.DOWN,
        CaptureState.ENDED: StreamState.ENDED,
        CaptureState.FAILED: StreamState.FAILED,
    }[facts.source]
    return state, facts.overload if state is scoring else facts.source_reason


class Rate:
    """Events a second over the last few seconds."""

    def __init__(self) -> None:
        self._times: deque[float] = deque(maxlen=1000)

    def add(self, now: float) -> None:
        """One more."""
        self._times.append(now)

    def per_second(self, now: float) -> float:
        """The rate, as of now."""
        while self._times and now - self._times[0] > RATE_WINDOW_S:
            self._times.popleft()
        return len(self._times) / RATE_WINDOW_S


@dataclass(frozen=True, slots=True)
class AgeQuantiles:
    """Score time less capture time, in seconds."""

    p50: float
    p99: float


class Ages:
    """How old frames were when they were scored, over the last half minute."""

    def __init__(self) -> None:
        self._ages: deque[tuple[float, float]] = deque(maxlen=MAX_AGES)

    def add(self, now: float, age_s: float) -> None:
        """One more."""
        self._ages.append((now, age_s))

    def quantiles(self, now: float) -> AgeQuantiles | None:
        """As of now; None where no frame was scored in that time."""
        recent = sorted(age for at, age in tuple(self._ages) if now - at <= AGE_WINDOW_S)
        if not recent:
            return None
        last = len(recent) - 1
        return AgeQuantiles(recent[round(0.5 * last)], recent[round(0.99 * last)])
