"""When an outage of a stream is told, as a pure machine: once, not for a blip, and once its end.

Times are of the recorder's clock: workers' clocks may differ from it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from service.messages import MODEL_LOADING, StreamState

LOADING_S = 120.0
WATCHED = frozenset({StreamState.LIVE, StreamState.WARMING})
INTENDED = frozenset({StreamState.PAUSED, StreamState.ENDED})
"""Nobody expects pictures: an outage that ends so is forgotten, and nothing is told."""


@dataclass(frozen=True, slots=True)
class HealthRules:
    """How long makes an outage, and how long its end."""

    down_after_s: float
    recovered_after_s: float


@dataclass(frozen=True, slots=True)
class Seen:
    """How a stream was found."""

    state: StreamState
    reason: str = ""
    since: float | None = None
    """When it began to be so, where that was before it was found."""


@dataclass(frozen=True, slots=True)
class Outage:
    """A stretch in which a stream isn't watched for long enough to call it well."""

    began_at: float
    state: StreamState
    """What was wrong last; an attempt to connect doesn't replace what it attempts to mend."""
    reason: str
    watched_at: float | None = None
    """Since when it is watched again; None while it isn't."""
    told: bool = False


@dataclass(frozen=True, slots=True)
class Down:
    """To tell: the stream can't be watched."""

    outage: Outage


@dataclass(frozen=True, slots=True)
class Recovered:
    """To tell: the stream of which `Down` was told is watched again."""

    outage: Outage
    seen: Seen
    watched_at: float

    @property
    def down_for_s(self) -> float:
        """From the outage's beginning to its end."""
        return max(0.0, self.watched_at - self.outage.began_at)


Told = Down | Recovered


def observe(
    outage: Outage | None, seen: Seen, now: float, rules: HealthRules
) -> tuple[Outage | None, tuple[Told, ...]]:
    """The outage after a look at the stream (None: it is well), and what there is to tell.

    An outage ends when the stream was watched for `recovered_after_s` without interruption. It is
    told once, when it has lasted `down_after_s`: a stream that comes and goes has one long outage.
    """
    if seen.state in INTENDED:
        return None, ()
    if outage is None:
        if seen.state in WATCHED:
            return None, ()
        began_at = now if seen.since is None else min(seen.since, now)
        return _lasting(Outage(began_at, seen.state, seen.reason), now, rules)
    outage = _not_in_the_future(outage, now)
    watched_at = outage.watched_at
    over = watched_at is not None and now - watched_at >= rules.recovered_after_s
    if watched_at is not None and over:
        told = (Recovered(outage, seen, watched_at),) if outage.told else ()
        if seen.state in WATCHED:
            return None, told
        return Outage(now, seen.state, seen.reason), told
    if seen.state in WATCHED:
        return (outage if watched_at is not None else replace(outage, watched_at=now)), ()
    return _lasting(_worsened(replace(outage, watched_at=None), seen), now, rules)


def _lasting(
    outage: Outage, now: float, rules: HealthRules
) -> tuple[Outage | None, tuple[Told, ...]]:
    # While its owner gets ready nothing is wrong with the camera, unless that takes too long.
    least_s = LOADING_S if outage.reason == MODEL_LOADING else 0.0
    if outage.told or now - outage.began_at < max(rules.down_after_s, least_s):
        return outage, ()
    told = replace(outage, told=True)
    return told, (Down(told),)


def _worsened(outage: Outage, seen: Seen) -> Outage:
    if seen.state in (outage.state, StreamState.CONNECTING):
        return outage
    return replace(outage, state=seen.state, reason=seen.reason)


def _not_in_the_future(outage: Outage, now: float) -> Outage:
    """A clock that was set back must not make an outage last for as much longer."""
    if outage.watched_at is not None and outage.watched_at > now:
        outage = replace(outage, watched_at=now)
    # What was told is known by its beginning.
    return outage if outage.told or outage.began_at <= now else replace(outage, began_at=now)
