"""Keeps a worker's leases: takes free cameras, renews leases, notices changes and losses, and hands
over what another worker should have.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import suppress

import structlog
from redis import Redis
from redis.exceptions import RedisError

from service.bus.leases import Leases
from service.bus.registry import Registry
from service.infer.lease_renewal import LeaseRenewal
from service.infer.owned_cameras import OwnedCameras, list_epochs
from service.infer.placement import Placement
from service.infer.worker_list import Members
from service.messages import UPLOAD, WorkerStatus
from service.timers import Clock

log = structlog.stdlib.get_logger(__name__)

POLL_S = 0.25
SILENCE_OF_LEASE = 0.8
"""A worker counts as gone a little before its leases run out: then it is known whose turn it is."""
SETTLED_S = 3.0
"""A worker that has been there for so long may be given others' cameras."""


class Ownership:
    """The worker's leases. `tick` is called by one thread; the rest by any."""

    def __init__(
        self,
        redis: Redis,
        worker_id: str,
        *,
        lease_s: float,
        capacity: int,
        heartbeat: Callable[[], WorkerStatus],
        on_change: Callable[[], object] = lambda: None,
        is_working: Callable[[], bool] = lambda: True,
        clock: Clock = time.monotonic,
    ) -> None:
        self.owned = OwnedCameras(worker_id)
        self.models: frozenset[str] = frozenset()
        """The models of all registered cameras, ours or not."""
        self.captures = False
        """Whether any registered camera, ours or not, is captured."""
        self._leases = Leases(redis, worker_id, lease_s)
        self._registry = Registry(redis)
        self._renewal = LeaseRenewal(redis, self._leases, clock)
        members = Members(
            worker_id, capacity, silence_s=SILENCE_OF_LEASE * lease_s, settled_s=SETTLED_S
        )
        self._placement = Placement(worker_id, self._leases, members, clock)
        self._heartbeat = heartbeat
        self._on_change = on_change
        self._is_working = is_working
        self._hurry = threading.Event()
        self._period_s = min(POLL_S, lease_s / 4)

    def doubt(self) -> None:
        """Check at once which cameras are still ours: a write was refused for its epoch."""
        self._hurry.set()

    def give_up(self, stream_id: str) -> None:
        """Let a camera be released that is `leaving` and has nothing more to send."""
        self.owned.give_up(stream_id)
        self._hurry.set()

    def tick(self) -> None:
        """Do one round. Raises: RedisError: Redis is away; what is ours stays ours meanwhile.

        A worker that is cut off does no harm: its writes carry an old epoch.
        """
        if not self._is_working():
            return
        before = self.owned.list_all()
        self._renewal.check_redis()
        configs = self._registry.streams()
        named = (config.model for config in configs.values())
        self.models = frozenset(name for name in named if name is not None)
        self.captures = any(config.source != UPLOAD for config in configs.values())
        for stream_id, camera in self._renewal.renew(before, configs).items():
            self.owned.put(stream_id, camera)
        given_up = self.owned.pop_given_up()
        self._leases.release_all(list_epochs(given_up))
        self.owned.remove_handed_over(given_up)
        self._placement.update(configs, self._registry.beat(self._heartbeat()))
        free = self._placement.list_to_take(self.owned.list_all())
        for stream_id, lease in self._leases.acquire_all(free).items():
            self.owned.add(configs[stream_id], lease)
            self._placement.note_taken(stream_id)
            log.info("a camera is taken", stream=stream_id, epoch=lease.epoch)
        handovers = self._placement.choose_handovers(self.owned.list_all())
        for stream_id, worker_id in handovers.items():
            log.info("a camera is handed over", stream=stream_id, to=worker_id)
        self.owned.mark_leaving(handovers)
        if self.owned.list_all() != before:
            self._on_change()

    def run(self, stop: threading.Event) -> None:
        """Go round until `stop` is set, however long Redis is away."""
        away = False
        while not stop.is_set():
            try:
                self.tick()
                away = False
            except RedisError as error:
                if not away:
                    log.error("Redis is away; leases can't be renewed", error=type(error).__name__)
                away = True
                # Nobody could take what is being handed over.
                if self.owned.keep_leaving():
                    self._on_change()
            self._hurry.wait(self._period_s)
            self._hurry.clear()

    def release_all(self) -> None:
        """Let other workers have everything now."""
        with suppress(RedisError):  # then the leases run out
            self._leases.release_all(list_epochs(self.owned.remove_all()))
