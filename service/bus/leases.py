"""Ownership of cameras: leases with a time to live, and the epoch that fences former owners off."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import structlog
from pydantic import ValidationError
from redis import Redis

from service import keys
from service.messages import StreamStatus

log = structlog.stdlib.get_logger(__name__)

_ACQUIRE = """
if redis.call('EXISTS', KEYS[1]) == 1 then return false end
-- At least the time in seconds: it goes on rising even when the server lost its data.
local epoch = math.max(tonumber(redis.call('GET', KEYS[2]) or '0') + 1,
                       tonumber(redis.call('TIME')[1]))
local text = string.format('%d', epoch)
redis.call('SET', KEYS[2], text)
redis.call('SET', KEYS[1], ARGV[1] .. ':' .. text, 'PX', ARGV[2])
return {text, redis.call('GET', KEYS[3]) or '', redis.call('GET', KEYS[4]) or '',
        redis.call('GET', KEYS[5]) or ''}
"""

_RENEW = """
local owner = redis.call('GET', KEYS[1])
if owner == ARGV[1] .. ':' .. ARGV[2] then
  redis.call('PEXPIRE', KEYS[1], ARGV[3])
  return 1
end
-- It ran out, but nobody has taken the camera since.
if not owner and redis.call('GET', KEYS[2]) == ARGV[2] then
  redis.call('SET', KEYS[1], ARGV[1] .. ':' .. ARGV[2], 'PX', ARGV[3])
  return 1
end
return 0
"""

_RELEASE = """
if redis.call('GET', KEYS[1]) == ARGV[1] .. ':' .. ARGV[2] then
  -- The camera may have been deleted just before we took it: then nothing of it stays for long.
  if redis.call('EXISTS', KEYS[3]) == 0 then redis.call('EXPIRE', KEYS[2], 60) end
  return redis.call('DEL', KEYS[1])
end
return 0
"""


@dataclass(frozen=True, slots=True)
class AcquiredLease:
    """A new lease, and what the last owner left."""

    epoch: int
    last_frame: int
    """Number of the newest published frame; -1 before the first."""
    snapshot: bytes | None
    status: StreamStatus | None
    """What the last owner reported, if that was a moment ago."""


class Leases:
    """Leases on cameras, for one worker."""

    def __init__(self, redis: Redis, worker: str, lease_s: float) -> None:
        self._redis = redis
        self._worker = worker
        self._lease_ms = int(1000 * lease_s)
        self._acquire = redis.register_script(_ACQUIRE)
        self._renew = redis.register_script(_RENEW)
        self._release = redis.register_script(_RELEASE)

    def acquire(self, stream_id: str) -> int | None:
        """Return the epoch of a new lease, or None where somebody holds the camera."""
        taken = self.acquire_all([stream_id]).get(stream_id)
        return None if taken is None else taken.epoch

    def acquire_all(self, stream_ids: Sequence[str]) -> dict[str, AcquiredLease]:
        """Acquire those of the cameras that nobody holds, all in one round trip."""
        pipeline = self._redis.pipeline(transaction=False)
        for stream_id in stream_ids:
            left = (keys.last_frame, keys.snapshot, keys.status)
            names = [*_list_keys(stream_id), *(part(stream_id) for part in left)]
            self._acquire(names, [self._worker, self._lease_ms], client=pipeline)
        return {
            stream_id: AcquiredLease(
                epoch=int(answer[0]),
                last_frame=int(answer[1] or -1),
                snapshot=answer[2] or None,
                status=_parse_status(answer[3]),
            )
            for stream_id, answer in zip(stream_ids, pipeline.execute(), strict=True)
            if answer is not None
        }

    def list_free(self, stream_ids: Sequence[str]) -> list[str]:
        """List those of the cameras that nobody holds."""
        pipeline = self._redis.pipeline(transaction=False)
        for stream_id in stream_ids:
            pipeline.exists(keys.lease(stream_id))
        answers = zip(stream_ids, pipeline.execute(), strict=True)
        return [stream_id for stream_id, held in answers if not held]

    def renew(self, stream_id: str, epoch: int) -> bool:
        """Keep the camera for another while; False when it isn't ours any more."""
        return stream_id in self.renew_all({stream_id: epoch})

    def renew_all(self, epochs: Mapping[str, int]) -> set[str]:
        """Keep these cameras for another while; returns those that are still ours."""
        pipeline = self._redis.pipeline(transaction=False)
        for stream_id, epoch in epochs.items():
            self._renew(
                _list_keys(stream_id), [self._worker, epoch, self._lease_ms], client=pipeline
            )
        answers = zip(epochs, pipeline.execute(), strict=True)
        return {stream_id for stream_id, renewed in answers if renewed}

    def release(self, stream_id: str, epoch: int) -> None:
        """Let another worker have the camera now."""
        self.release_all({stream_id: epoch})

    def release_all(self, epochs: Mapping[str, int]) -> None:
        """Let other workers have these cameras now."""
        pipeline = self._redis.pipeline(transaction=False)
        for stream_id, epoch in epochs.items():
            names = [*_list_keys(stream_id), keys.registration(stream_id)]
            self._release(names, [self._worker, epoch], client=pipeline)
        pipeline.execute()


def _list_keys(stream_id: str) -> list[str]:
    return [keys.lease(stream_id), keys.epoch(stream_id)]


def _parse_status(text: bytes) -> StreamStatus | None:
    if not text:
        return None
    try:
        return StreamStatus.model_validate_json(text)
    except ValidationError:
        log.warning("the last owner's status is of no use")
        return None
