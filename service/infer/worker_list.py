"""Finds out which workers there are by their heartbeats; machines' clocks aren't compared."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from service.messages import WorkerStatus


@dataclass(slots=True)
class _Member:
    beat: WorkerStatus
    since: float
    """When it was first seen, or came back."""
    changed_at: float
    """When its last heartbeat was seen, by this worker's clock."""
    beats: int = 0


class Members:
    """The workers of this installation, as one of them sees them. Times are monotonic seconds."""

    def __init__(self, own_id: str, capacity: int, *, silence_s: float, settled_s: float) -> None:
        """
        Args:
            own_id: this worker: always a member, with this capacity.
            silence_s: without a heartbeat for so long, a worker is gone.
            settled_s: with heartbeats for so long, a worker may be given cameras of others.
        """
        self._own_id = own_id
        self._capacity = capacity
        self._silence_s = silence_s
        self._settled_s = settled_s
        self._seen: dict[str, _Member] = {}

    def see(self, beats: Iterable[WorkerStatus], now: float) -> None:
        """Note the newest heartbeats; a worker that isn't among them has left."""
        found = {beat.id: beat for beat in beats if beat.id != self._own_id}
        self._seen = {key: seen for key, seen in self._seen.items() if key in found}
        for worker_id, beat in found.items():
            seen = self._seen.get(worker_id)
            if seen is None:
                self._seen[worker_id] = _Member(beat, now, now)
            elif seen.beat.seen_at != beat.seen_at:
                if now - seen.changed_at > self._silence_s:
                    seen.since = now
                seen.beat, seen.changed_at = beat, now
                seen.beats += 1

    def capacities(self, now: float) -> dict[str, int]:
        """Return the members, and how many cameras each takes."""
        others = {
            worker_id: seen.beat.capacity
            for worker_id, seen in self._seen.items()
            if now - seen.changed_at <= self._silence_s
        }
        return {self._own_id: self._capacity, **others}

    def may_be_given(self, worker_id: str, model: str | None, now: float) -> bool:
        """Return whether another worker has been there for a while, and has a model loaded; None:
        none is needed."""
        seen = self._seen.get(worker_id)
        return (
            seen is not None
            and seen.beats > 0
            and now - seen.changed_at <= self._silence_s
            and now - seen.since >= self._settled_s
            and (model is None or model in seen.beat.models)
        )
