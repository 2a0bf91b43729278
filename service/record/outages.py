"""Outages of a stream, as a pure machine: each is reported once, with its end, and no blip is.

Times are of the recorder's clock: workers' clocks may differ from it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from service.messages import MODEL_LOADING, StreamState

LOADING_S = 120.0
WATCHED = frozenset({StreamState.LIVE, StreamState.WARMING, StreamState.LEARNING})
"""The camera's pictures come, as far as its owner expects them to be watched: without a model they
know that it isn't yet."""
INTENDED = frozenset({StreamState.PAUSED, StreamState.ENDED})
"""Nobody expects pictures in these states: an outage that ends so is dropped without a report."""


@dataclass(frozen=True, slots=True)
class OutageRules:
    """Seconds after which a stream counts as down, and as recovered."""

    down_after_s: float
    recovered_after_s: float


@dataclass(frozen=True, slots=True)
class ObservedState:
    """The state in which the recorder found a stream."""

    state: StreamState
    reason: str = ""
    since: float | None = None
    """When the state began, if that was before it was found."""


@dataclass(frozen=True, slots=True)
class Outage:
    """A stretch in which a stream isn't watched for long enough to call it well."""

    began_at: float
    state: StreamState
    """What was wrong last; an attempt to connect doesn't replace what it attempts to fix."""
    reason: str
    watched_at: float | None = None
    """Since when it is watched again; None while it isn't."""
    notified: bool = False


@dataclass(frozen=True, slots=True)
class OutageStarted:
    """Reports that the stream can't be watched."""

    outage: Outage


@dataclass(frozen=True, slots=True)
class OutageEnded:
    """Reports that a stream is watched again whose `OutageStarted` was reported."""

    outage: Outage
    observed: ObservedState
    watched_at: float

    @property
    def down_for_s(self) -> float:
        return max(0.0, self.watched_at - self.outage.began_at)


OutageChange = OutageStarted | OutageEnded


def observe_state(
    outage: Outage | None, observed: ObservedState, now: float, rules: OutageRules
) -> tuple[Outage | None, tuple[OutageChange, ...]]:
    """Return the outage after the stream was found in a state, and what to report.

    The outage is None while the stream is well. It ends when the stream was watched for
    `recovered_after_s` without interruption. It is reported once, when it has lasted
    `down_after_s`: a stream that comes and goes has one long outage.
    """
    if observed.state in INTENDED:
        return None, ()
    if outage is None:
        if observed.state in WATCHED:
            return None, ()
        began_at = now if observed.since is None else min(observed.since, now)
        return _report_if_long(Outage(began_at, observed.state, observed.reason), now, rules)
    outage = _move_out_of_future(outage, now)
    watched_at = outage.watched_at
    over = watched_at is not None and now - watched_at >= rules.recovered_after_s
    if watched_at is not None and over:
        changes = (OutageEnded(outage, observed, watched_at),) if outage.notified else ()
        if observed.state in WATCHED:
            return None, changes
        return Outage(now, observed.state, observed.reason), changes
    if observed.state in WATCHED:
        return (outage if watched_at is not None else replace(outage, watched_at=now)), ()
    return _report_if_long(_update_cause(replace(outage, watched_at=None), observed), now, rules)


def _report_if_long(
    outage: Outage, now: float, rules: OutageRules
) -> tuple[Outage | None, tuple[OutageChange, ...]]:
    # While its owner gets ready nothing is wrong with the camera, unless that takes too long.
    least_s = LOADING_S if outage.reason == MODEL_LOADING else 0.0
    if outage.notified or now - outage.began_at < max(rules.down_after_s, least_s):
        return outage, ()
    reported = replace(outage, notified=True)
    return reported, (OutageStarted(reported),)


def _update_cause(outage: Outage, observed: ObservedState) -> Outage:
    if observed.state in (outage.state, StreamState.CONNECTING):
        return outage
    return replace(outage, state=observed.state, reason=observed.reason)


def _move_out_of_future(outage: Outage, now: float) -> Outage:
    """Correct times after a clock was set back: an outage must not last as much longer."""
    if outage.watched_at is not None and outage.watched_at > now:
        outage = replace(outage, watched_at=now)
    # A reported outage is identified by its beginning, which therefore stays.
    return outage if outage.notified or outage.began_at <= now else replace(outage, began_at=now)
