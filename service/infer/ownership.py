"""Keeps a worker's leases: takes free cameras, renews leases, notices changes and losses, and hands
over what another worker should have. `rendezvous` computes which worker should have a camera.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace

import structlog
from redis import Redis
from redis.exceptions import RedisError

from service import keys
from service.bus.leases import AcquiredLease, Leases
from service.bus.registry import Registry
from service.infer.rendezvous import assign_cameras
from service.infer.restart_watch import RestartWatch
from service.infer.worker_list import Members
from service.messages import UPLOAD, StreamConfig, StreamStatus, WorkerStatus
from service.timers import Clock, Deadline, Timer

log = structlog.stdlib.get_logger(__name__)

POLL_S = 0.25
SILENCE_OF_LEASE = 0.8
"""A worker counts as gone a little before its leases run out: then it is known whose turn it is."""
SETTLED_S = 3.0
"""A worker that has been there for so long may be given others' cameras."""
GRACE_S = 1.5
"""A camera that is free for so long is taken by any worker that notices it."""
CHECK_FREE_S = 0.5
"""Seconds between checks for free cameras that should be other workers'."""
HANDED_AT_ONCE = 2
"""Cameras that are being handed over at a time."""
KEPT_S = 60.0
"""A camera that the worker which should have it left free isn't handed to it for so long."""


@dataclass(frozen=True, slots=True)
class OwnedCamera:
    """A camera that is ours."""

    config: StreamConfig
    epoch: int
    first_frame: int
    """The least number that a new frame may get."""
    snapshot: bytes | None
    """The state that the last owner left."""
    tenure: int
    """Counts our times of ownership: another one means that it wasn't ours in between."""
    last_status: StreamStatus | None = None
    """What the last owner reported a moment ago."""
    leaving: bool = False
    """Another worker should have it: stop, send what there is, and call `give_up`."""


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
        self._redis = redis
        self._heartbeat = heartbeat
        self._id = worker_id
        self._capacity = capacity
        self._leases = Leases(redis, worker_id, lease_s)
        self._registry = Registry(redis)
        self._members = Members(
            worker_id, capacity, silence_s=SILENCE_OF_LEASE * lease_s, settled_s=SETTLED_S
        )
        self._on_change = on_change
        self._is_working = is_working
        self._clock = clock
        self._lock = threading.Lock()
        self._hurry = threading.Event()
        self._owned: dict[str, OwnedCamera] = {}
        self._given_up: set[str] = set()
        """Cameras that are ready to be released to another worker."""
        self._models: frozenset[str] = frozenset()
        self._captures = False
        self._tenures = 0
        self._assignment: tuple[object, dict[str, str]] = (None, {})
        self._free_since: dict[str, float] = {}
        self._check_timer = Timer(CHECK_FREE_S, clock)
        self._kept: dict[str, Deadline] = {}
        self._restarts = RestartWatch(redis, clock)
        self._period_s = min(POLL_S, lease_s / 4)
        self.takeovers = 0
        self.handovers = 0

    def list_owned(self) -> dict[str, OwnedCamera]:
        """Return the cameras that are ours, by id."""
        with self._lock:
            return dict(self._owned)

    @property
    def models(self) -> frozenset[str]:
        """The models of all registered cameras, ours or not."""
        return self._models

    @property
    def captures(self) -> bool:
        """Return whether any registered camera, ours or not, is captured."""
        return self._captures

    def doubt(self) -> None:
        """Check at once which cameras are still ours: a write was refused for its epoch."""
        self._hurry.set()

    def give_up(self, stream_id: str) -> None:
        """Let a camera be released that is `leaving` and has nothing more to send."""
        with self._lock:
            self._given_up.add(stream_id)
        self._hurry.set()

    def tick(self) -> None:
        """Do one round. Raises: RedisError: Redis is away; what is ours stays ours meanwhile.

        A worker that is cut off does no harm: its writes carry an old epoch.
        """
        if not self._is_working():
            return
        before = self.list_owned()
        self._restarts.check()
        configs = self._registry.streams()
        self._models = frozenset(config.model for config in configs.values())
        self._captures = any(config.source != UPLOAD for config in configs.values())
        self._renew(before, configs)
        self._release_given_up()
        now = self._clock()
        self._members.see(self._registry.beat(self._heartbeat()), now)
        assigned = self._assign(configs, self._members.capacities(now))
        self._take_free(configs, assigned, now)
        self._begin_handovers(assigned, now)
        if self.list_owned() != before:
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
                self._stay()
            self._hurry.wait(self._period_s)
            self._hurry.clear()

    def release_all(self) -> None:
        """Let other workers have everything now."""
        with self._lock:
            owned, self._owned = self._owned, {}
        with suppress(RedisError):  # then the leases run out
            self._leases.release_all(_epochs(owned.values()))

    def _renew(
        self, before: Mapping[str, OwnedCamera], configs: Mapping[str, StreamConfig]
    ) -> None:
        renewed = self._leases.renew_all(_epochs(before.values()))
        for stream_id, owned in before.items():
            config = configs.get(stream_id)
            after = self._choose_renewed(owned, config, is_ours=stream_id in renewed)
            with self._lock:
                if after is None:
                    self._owned.pop(stream_id, None)
                elif stream_id in self._owned:
                    self._owned[stream_id] = after

    def _choose_renewed(
        self, owned: OwnedCamera, config: StreamConfig | None, *, is_ours: bool
    ) -> OwnedCamera | None:
        """Return how the camera is owned from now on; None where it isn't."""
        stream_id = owned.config.id
        in_grace = self._restarts.is_recent
        if config is None and not in_grace:
            self._leases.release(stream_id, owned.epoch)
            return None
        if is_ours:
            if config is None or config.revision == owned.config.revision:
                return owned
            return replace(owned, config=config)
        if not in_grace or self._redis.exists(keys.epoch(stream_id)):
            log.info("a lease is lost", stream=stream_id, epoch=owned.epoch)
            return None
        # Redis lost its data, and nobody was the camera's owner since.
        if config is None:
            return owned
        taken = self._leases.acquire_all([stream_id]).get(stream_id)
        if taken is None:
            return None
        return replace(
            owned, config=config, epoch=taken.epoch, first_frame=_first_frame(config, taken)
        )

    def _assign(
        self, configs: Mapping[str, StreamConfig], capacities: Mapping[str, int]
    ) -> Mapping[str, str]:
        """Assign each camera to a worker; computed again only where cameras or workers changed."""
        basis = (frozenset(configs), frozenset(capacities.items()))
        if self._assignment[0] != basis:
            self._assignment = basis, assign_cameras(configs, capacities)
        return self._assignment[1]

    def _take_free(
        self, configs: Mapping[str, StreamConfig], assigned: Mapping[str, str], now: float
    ) -> None:
        """Take what should be ours, and what nobody has taken for a while."""
        owned = self.list_owned()
        others = [key for key in configs if key not in owned and assigned.get(key) != self._id]
        tried = [key for key in configs if key not in owned and assigned.get(key) == self._id]
        if self._check_timer.restart_if_due():
            free = self._leases.list_free([key for key in others if key in assigned])
            self._free_since = {key: self._free_since.get(key, now) for key in free}
        orphaned = [key for key in others if now - self._free_since.get(key, now) >= GRACE_S]
        room = self._capacity - len(owned)
        for stream_id, lease in self._leases.acquire_all(
            [*tried, *orphaned][: max(0, room)]
        ).items():
            self._settle(configs[stream_id], lease)
            if stream_id in orphaned:
                self._kept[stream_id] = Deadline(KEPT_S, self._clock)

    def _settle(self, config: StreamConfig, taken: AcquiredLease) -> None:
        self._free_since.pop(config.id, None)
        self._tenures += 1
        last = taken.status
        self.takeovers += last is not None and last.worker not in ("", self._id)
        owned = OwnedCamera(
            config,
            taken.epoch,
            _first_frame(config, taken),
            taken.snapshot,
            self._tenures,
            last,
        )
        with self._lock:
            self._owned[config.id] = owned
        log.info("a camera is taken", stream=config.id, epoch=taken.epoch)

    def _begin_handovers(self, assigned: Mapping[str, str], now: float) -> None:
        """Choose what another worker should have, if it is there to stay and has the model."""
        self._kept = {key: kept for key, kept in self._kept.items() if not kept.is_over}
        owned = self.list_owned()
        room = HANDED_AT_ONCE - sum(each.leaving for each in owned.values())
        for stream_id, each in owned.items():
            to = assigned.get(stream_id, self._id)
            if room <= 0:
                return
            if to == self._id or each.leaving or stream_id in self._kept:
                continue
            if self._members.may_be_given(to, each.config.model, now):
                room -= 1
                self._mark([stream_id], leaving=True)
                log.info("a camera is handed over", stream=stream_id, to=to)

    def _release_given_up(self) -> None:
        with self._lock:
            given_up, self._given_up = self._given_up, set()
            gone = [each for each in map(self._owned.get, given_up) if each and each.leaving]
        self._leases.release_all(_epochs(gone))
        with self._lock:
            for each in gone:
                del self._owned[each.config.id]
        self.handovers += len(gone)

    def _stay(self) -> None:
        """Redis is away: nobody could take what is being handed over, so it is kept."""
        with self._lock:
            self._given_up.clear()
        owned = self.list_owned()
        leaving = [stream_id for stream_id, each in owned.items() if each.leaving]
        if leaving:
            self._mark(leaving, leaving=False)
            self._on_change()

    def _mark(self, stream_ids: Collection[str], *, leaving: bool) -> None:
        with self._lock:
            for stream_id in stream_ids:
                self._owned[stream_id] = replace(self._owned[stream_id], leaving=leaving)


def _epochs(owned: Iterable[OwnedCamera]) -> dict[str, int]:
    return {each.config.id: each.epoch for each in owned}


def _first_frame(config: StreamConfig, taken: AcquiredLease) -> int:
    return max(taken.last_frame, config.last_frame) + 1
