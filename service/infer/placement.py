"""Decides which free cameras a worker takes, and which of its own it hands to another worker.
`rendezvous` computes which worker should have a camera.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from itertools import islice

from service.bus.leases import Leases
from service.infer.owned_cameras import OwnedCamera
from service.infer.rendezvous import assign_cameras
from service.infer.worker_list import Members
from service.messages import WorkerStatus
from service.timers import Clock, Deadline, Timer

GRACE_S = 1.5
"""A camera that is free for so long is taken by any worker that notices it."""
CHECK_FREE_S = 0.5
"""Seconds between checks for free cameras that should be other workers'."""
HANDED_AT_ONCE = 2
"""Cameras that are being handed over at a time."""
KEPT_S = 60.0
"""A camera that the worker which should have it left free isn't handed to it for so long."""


class Placement:
    """The worker's choice of cameras. For one thread."""

    def __init__(self, worker_id: str, leases: Leases, members: Members, clock: Clock) -> None:
        self._worker_id = worker_id
        self._leases = leases
        self._members = members
        self._clock = clock
        self._cameras: frozenset[str] = frozenset()
        self._capacities: dict[str, int] = {}
        self._assigned: dict[str, str] = {}
        """The worker that should have each camera; computed from the two above."""
        self._check_timer = Timer(CHECK_FREE_S, clock)
        self._free_since: dict[str, float] = {}
        """For cameras that other workers should have."""
        self._kept: dict[str, Deadline] = {}

    def update(self, cameras: Iterable[str], beats: Iterable[WorkerStatus]) -> None:
        """Assign the registered cameras to the workers that are there."""
        now, named = self._clock(), frozenset(cameras)
        self._members.see(beats, now)
        capacities = self._members.capacities(now)
        if (named, capacities) != (self._cameras, self._capacities):
            self._cameras, self._capacities = named, capacities
            self._assigned = assign_cameras(named, capacities)

    def list_to_take(self, owned: Collection[str]) -> list[str]:
        """List the cameras to take, as far as there is room: what should be ours, then what nobody
        has taken for a while."""
        now = self._clock()
        missing = sorted(self._cameras.difference(owned))
        ours = [each for each in missing if self._is_ours(each)]
        others = [each for each in missing if not self._is_ours(each)]
        if self._check_timer.restart_if_due():
            free = self._leases.list_free([each for each in others if each in self._assigned])
            self._free_since = {each: self._free_since.get(each, now) for each in free}
        orphans = [each for each in others if now - self._free_since.get(each, now) >= GRACE_S]
        room = self._capacities[self._worker_id] - len(owned)
        return [*ours, *orphans][: max(0, room)]

    def note_taken(self, stream_id: str) -> None:
        """Note that a camera is ours from now on."""
        self._free_since.pop(stream_id, None)
        if not self._is_ours(stream_id):
            self._kept[stream_id] = Deadline(KEPT_S, self._clock)

    def choose_handovers(self, owned: Mapping[str, OwnedCamera]) -> dict[str, str]:
        """Choose cameras that other workers should have, if those are there to stay and have the
        model. Returns: the worker that each camera is to go to."""
        now = self._clock()
        self._kept = {each: kept for each, kept in self._kept.items() if not kept.is_over}
        ready = (
            (stream_id, self._assigned[stream_id])
            for stream_id, camera in owned.items()
            if stream_id in self._assigned
            and not (self._is_ours(stream_id) or camera.leaving or stream_id in self._kept)
            and self._members.may_be_given(self._assigned[stream_id], camera.config.model, now)
        )
        room = HANDED_AT_ONCE - sum(camera.leaving for camera in owned.values())
        return dict(islice(ready, max(0, room)))

    def _is_ours(self, stream_id: str) -> bool:
        return self._assigned.get(stream_id) == self._worker_id
