"""Renews a worker's leases, and decides which cameras it still owns, even where Redis lost data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import structlog
from redis import Redis

from service import keys
from service.bus.leases import Leases
from service.infer.owned_cameras import OwnedCamera, find_first_frame, list_epochs
from service.infer.restart_watch import RestartWatch
from service.messages import StreamConfig
from service.timers import Clock

log = structlog.stdlib.get_logger(__name__)


class LeaseRenewal:
    """Renews the leases of what is owned. For one thread."""

    def __init__(self, redis: Redis, leases: Leases, clock: Clock) -> None:
        self._redis = redis
        self._leases = leases
        self._restarts = RestartWatch(redis, clock)

    def check_redis(self) -> None:
        """Notice a restart of Redis, before streams are read from it."""
        self._restarts.check()

    def renew(
        self, owned: Mapping[str, OwnedCamera], configs: Mapping[str, StreamConfig]
    ) -> dict[str, OwnedCamera | None]:
        """Renew all leases. Returns how each camera is owned from now on; None where it isn't."""
        renewed = self._leases.renew_all(list_epochs(owned.values()))
        return {
            stream_id: self._decide(camera, configs.get(stream_id), is_ours=stream_id in renewed)
            for stream_id, camera in owned.items()
        }

    def _decide(
        self, owned: OwnedCamera, config: StreamConfig | None, *, is_ours: bool
    ) -> OwnedCamera | None:
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
        lease = self._leases.acquire_all([stream_id]).get(stream_id)
        if lease is None:
            return None
        first_frame = find_first_frame(config, lease)
        return replace(owned, config=config, epoch=lease.epoch, first_frame=first_frame)
