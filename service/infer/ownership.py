"""Which cameras are this worker's: takes free ones, renews leases, notices changes and losses, and
hands over what another worker should have. Whose a camera should be: `rendezvous`.
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
from service.bus.leases import Leases, Taken
from service.bus.registry import Registry
from service.infer.members import Members
from service.infer.rendezvous import shared_out
from service.messages import UPLOAD, StreamConfig, StreamStatus, WorkerStatus

log = structlog.stdlib.get_logger(__name__)

POLL_S = 0.25
SILENCE_OF_LEASE = 0.8
"""A worker counts as gone a little before its leases run out: then it is known whose turn it is."""
SETTLED_S = 3.0
"""A worker that has been there for so long may be given others' cameras."""
GRACE_S = 1.5
"""A camera that is free for so long is taken by whoever sees it."""
LOOK_S = 0.5
"""Between looks at cameras that should be others'."""
HANDED_AT_ONCE = 2
"""Cameras that are being handed over at a time."""
KEPT_S = 60.0
"""A camera that the worker whose turn it was had left free isn't handed to it again for so long."""
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
    told: StreamStatus | None = None
    """What the last owner told of it a moment ago."""
    leaving: bool = False
    """Another worker should have it: stop, send what there is, and call `left`."""


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
        clock: Callable[[], float] = time.monotonic,
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
        self._owned: dict[str, Owned] = {}
        self._left: set[str] = set()
        """Cameras that are ready to be released to another worker."""
        self._models: frozenset[str] = frozenset()
        self._captures = False
        self._tenures = 0
        self._shared: tuple[object, dict[str, str]] = (None, {})
        self._free_since: dict[str, float] = {}
        self._looked_at = float("-inf")
        self._kept_until: dict[str, float] = {}
        self._run_id: str | None = None
        self._restarted_at = float("-inf")
        self._period_s = min(POLL_S, lease_s / 4)
        self.takeovers = 0
        self.handovers = 0

    def owned(self) -> dict[str, Owned]:
        """The cameras that are ours, by id."""
        with self._lock:
            return dict(self._owned)

    @property
    def models(self) -> frozenset[str]:
        """Models of all registered cameras, whosever they are."""
        return self._models

    @property
    def captures(self) -> bool:
        """Whether any registered camera, whosever it is, is captured."""
        return self._captures

    def doubt(self) -> None:
        """A write was refused for its epoch: look at once which cameras are still ours."""
        self._hurry.set()

    def left(self, stream_id: str) -> None:
        """A camera that is `leaving` has nothing more to send: it may be released."""
        with self._lock:
            self._left.add(stream_id)
        self._hurry.set()

    def tick(self) -> None:
        """One round. Raises: RedisError: Redis is away; what is ours stays ours meanwhile.

        A worker that is cut off does no harm: its writes carry an old epoch.
        """
        if not self._is_working():
            return
        before = self.owned()
        self._notice_restart()
        configs = self._registry.streams()
        self._models = frozenset(config.model for config in configs.values())
        self._captures = any(config.source != UPLOAD for config in configs.values())
        self._renew(before, configs)
        self._release_left()
        now = self._clock()
        self._members.see(self._registry.beat(self._heartbeat()), now)
        wanted = self._shared_out(configs, self._members.capacities(now))
        self._take_free(configs, wanted, now)
        self._begin_handovers(wanted, now)
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
                self._stay()
            self._hurry.wait(self._period_s)
            self._hurry.clear()

    def release_all(self) -> None:
        """Let other workers have everything now."""
        with self._lock:
            owned, self._owned = self._owned, {}
        with suppress(RedisError):  # then the leases run out
            self._leases.release_all(_epochs(owned.values()))

    def _notice_restart(self) -> None:
        run_id = str(self._redis.info("server").get("run_id", ""))
        if self._run_id not in (None, run_id):
            self._restarted_at = self._clock()
        self._run_id = run_id

    def _renew(self, before: Mapping[str, Owned], configs: Mapping[str, StreamConfig]) -> None:
        renewed = self._leases.renew_all(_epochs(before.values()))
        for stream_id, owned in before.items():
            config = configs.get(stream_id)
            after = self._renewed(owned, config, is_ours=stream_id in renewed)
            with self._lock:
                if after is None:
                    self._owned.pop(stream_id, None)
                elif stream_id in self._owned:
                    self._owned[stream_id] = after

    def _renewed(self, owned: Owned, config: StreamConfig | None, *, is_ours: bool) -> Owned | None:
        """How the camera is owned from now on; None where it isn't."""
        stream_id = owned.config.id
        in_grace = self._clock() - self._restarted_at < RESTART_GRACE_S
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
        taken = self._leases.take([stream_id]).get(stream_id)
        if taken is None:
            return None
        return replace(
            owned, config=config, epoch=taken.epoch, first_frame=_first_frame(config, taken)
        )

    def _shared_out(
        self, configs: Mapping[str, StreamConfig], capacities: Mapping[str, int]
    ) -> Mapping[str, str]:
        """Whose each camera should be; reckoned anew only where cameras or workers came or went."""
        basis = (frozenset(configs), frozenset(capacities.items()))
        if self._shared[0] != basis:
            self._shared = basis, shared_out(configs, capacities)
        return self._shared[1]

    def _take_free(
        self, configs: Mapping[str, StreamConfig], wanted: Mapping[str, str], now: float
    ) -> None:
        """Take what should be ours, and what nobody has taken for a while."""
        owned = self.owned()
        others = [key for key in configs if key not in owned and wanted.get(key) != self._id]
        tried = [key for key in configs if key not in owned and wanted.get(key) == self._id]
        if now - self._looked_at >= LOOK_S:
            self._looked_at = now
            free = self._leases.free([key for key in others if key in wanted])
            self._free_since = {key: self._free_since.get(key, now) for key in free}
        orphaned = [key for key in others if now - self._free_since.get(key, now) >= GRACE_S]
        room = self._capacity - len(owned)
        for stream_id, taken in self._leases.take([*tried, *orphaned][: max(0, room)]).items():
            self._settle(configs[stream_id], taken)
            if stream_id in orphaned:
                self._kept_until[stream_id] = now + KEPT_S

    def _settle(self, config: StreamConfig, taken: Taken) -> None:
        self._free_since.pop(config.id, None)
        self._tenures += 1
        told = taken.status
        self.takeovers += told is not None and told.worker not in ("", self._id)
        owned = Owned(
            config,
            taken.epoch,
            _first_frame(config, taken),
            taken.snapshot,
            self._tenures,
            told,
        )
        with self._lock:
            self._owned[config.id] = owned
        log.info("a camera is taken", stream=config.id, epoch=taken.epoch)

    def _begin_handovers(self, wanted: Mapping[str, str], now: float) -> None:
        """Choose what another worker should have, if it is there to stay and has the model."""
        self._kept_until = {key: until for key, until in self._kept_until.items() if until > now}
        owned = self.owned()
        room = HANDED_AT_ONCE - sum(each.leaving for each in owned.values())
        for stream_id, each in owned.items():
            to = wanted.get(stream_id, self._id)
            if room <= 0:
                return
            if to == self._id or each.leaving or stream_id in self._kept_until:
                continue
            if self._members.may_be_given(to, each.config.model, now):
                room -= 1
                self._mark([stream_id], leaving=True)
                log.info("a camera is handed over", stream=stream_id, to=to)

    def _release_left(self) -> None:
        with self._lock:
            left, self._left = self._left, set()
            gone = [each for each in map(self._owned.get, left) if each and each.leaving]
        self._leases.release_all(_epochs(gone))
        with self._lock:
            for each in gone:
                del self._owned[each.config.id]
        self.handovers += len(gone)

    def _stay(self) -> None:
        """Redis is away: nobody could take what is being handed over, so it is kept."""
        with self._lock:
            self._left.clear()
        owned = self.owned()
        leaving = [stream_id for stream_id, each in owned.items() if each.leaving]
        if leaving:
            self._mark(leaving, leaving=False)
            self._on_change()

    def _mark(self, stream_ids: Collection[str], *, leaving: bool) -> None:
        with self._lock:
            for stream_id in stream_ids:
                self._owned[stream_id] = replace(self._owned[stream_id], leaving=leaving)


def _epochs(owned: Iterable[Owned]) -> dict[str, int]:
    return {each.config.id: each.epoch for each in owned}


def _first_frame(config: StreamConfig, taken: Taken) -> int:
    return max(taken.last_frame, config.last_frame) + 1
