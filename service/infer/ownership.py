"""Which cameras are this worker's: finds free ones, renews leases, notices changes and losses."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace

import structlog
from redis import Redis
from redis.exceptions import RedisError

from service import keys
from service.bus.leases import Leases
from service.bus.registry import Registry
from service.bus.scores import Scores
from service.messages import StreamConfig

log = structlog.stdlib.get_logger(__name__)

POLL_S = 0.5
TAKEN_AT_ONCE = 8
"""Cameras taken in one round, so that several workers that start together share them."""
RESTART_GRACE_S = 10.0
"""After Redis was restarted without its data, streams may be missing for so long."""


@dataclass(frozen=True, slots=True)
class Owned:
    """A camera that is ours."""

    config: StreamConfig
    epoch: int
    first_frame: int
    """The least number that a new frame may get."""
    snapshot: bytes | None
    """What the last owner left."""
    tenure: int
    """Which of our times of ownership it is: another one means that it wasn't ours in between."""


class Ownership:
    """The worker's leases. `tick` is called by one thread; the rest by any."""

    def __init__(
        self,
        redis: Redis,
        worker_id: str,
        *,
        lease_s: float,
        capacity: int,
        scores: Scores,
        on_change: Callable[[], object] = lambda: None,
        is_working: Callable[[], bool] = lambda: True,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._redis = redis
        self._leases = Leases(redis, worker_id, lease_s)
        self._registry = Registry(redis)
        self._scores = scores
        self._capacity = capacity
        self._on_change = on_change
        self._is_working = is_working
        self._clock = clock
        self._lock = threading.Lock()
        self._hurry = threading.Event()
        self._owned: dict[str, Owned] = {}
        self._tenures = 0
        self._run_id: str | None = None
        self._restarted_at = float("-inf")
        self._period_s = min(POLL_S, lease_s / 4)

    def owned(self) -> dict[str, Owned]:
        """The cameras that are ours, by id."""
        with self._lock:
            return dict(self._owned)

    def doubt(self) -> None:
        """A write was refused for its epoch: look at once which cameras are still ours."""
        self._hurry.set()

    def tick(self) -> None:
        """One round. Raises: RedisError: Redis is away; what is ours stays ours meanwhile.

        A worker that is cut off does no harm: its writes carry an old epoch.
        """
        if not self._is_working():
            return
        self._notice_restart()
        configs = self._registry.streams()
        before = self.owned()
        for owned in before.values():
            self._settle(owned, self._renewed(owned, configs.get(owned.config.id)))
        self._take_free(configs)
        if self.owned() != before:
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
            self._hurry.wait(self._period_s)
            self._hurry.clear()

    def release_all(self) -> None:
        """Let other workers have everything now."""
        with self._lock:
            owned, self._owned = self._owned, {}
        for each in owned.values():
            with suppress(RedisError):  # then the leases run out
                self._leases.release(each.config.id, each.epoch)

    def _notice_restart(self) -> None:
        run_id = str(self._redis.info("server").get("run_id", ""))
        if self._run_id not in (None, run_id):
            self._restarted_at = self._clock()
        self._run_id = run_id

    def _renewed(self, owned: Owned, config: StreamConfig | None) -> Owned | None:
        """How the camera is owned from now on; None where it isn't."""
        stream_id = owned.config.id
        in_grace = self._clock() - self._restarted_at < RESTART_GRACE_S
        if config is None and not in_grace:
            self._leases.release(stream_id, owned.epoch)
            return None
        if self._leases.renew(stream_id, owned.epoch):
            if config is None or config.revision == owned.config.revision:
                return owned
            return replace(owned, config=config)
        if not in_grace or self._redis.exists(keys.epoch(stream_id)):
            log.info("a lease is lost", stream=stream_id, epoch=owned.epoch)
            return None
        # Redis lost its data, and nobody was the camera's owner since.
        if config is None:
            return owned
        epoch = self._leases.acquire(stream_id)
        if epoch is None:
            return None
        return replace(owned, config=config, epoch=epoch, first_frame=self._first_frame(config))

    def _settle(self, before: Owned, after: Owned | None) -> None:
        with self._lock:
            if after is None:
                self._owned.pop(before.config.id, None)
            elif before.config.id in self._owned:
                self._owned[before.config.id] = after

    def _take_free(self, configs: dict[str, StreamConfig]) -> None:
        room = self._capacity - len(self.owned())
        taken = 0
        for stream_id, config in configs.items():
            if taken >= min(room, TAKEN_AT_ONCE):
                return
            if stream_id in self.owned():
                continue
            epoch = self._leases.acquire(stream_id)
            if epoch is None:
                continue
            taken += 1
            self._tenures += 1
            owned = Owned(
                config,
                epoch,
                self._first_frame(config),
                self._registry.snapshot(stream_id),
                self._tenures,
            )
            with self._lock:
                self._owned[stream_id] = owned
            log.info("a camera is taken", stream=stream_id, epoch=epoch)

    def _first_frame(self, config: StreamConfig) -> int:
        return max(self._scores.last_frame(config.id), config.last_frame) + 1
