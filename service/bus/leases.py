"""Who owns a camera: leases with a time to live, and the epoch that fences a former owner off."""

from __future__ import annotations

from redis import Redis

from service import keys

_ACQUIRE = """
if redis.call('EXISTS', KEYS[1]) == 1 then return false end
-- At least the time in seconds: it goes on rising even when the server lost its data.
local epoch = math.max(tonumber(redis.call('GET', KEYS[2]) or '0') + 1,
                       tonumber(redis.call('TIME')[1]))
local text = string.format('%d', epoch)
redis.call('SET', KEYS[2], text)
redis.call('SET', KEYS[1], ARGV[1] .. ':' .. text, 'PX', ARGV[2])
return text
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
  return redis.call('DEL', KEYS[1])
end
return 0
"""


class Leases:
    """Leases on cameras, for one worker."""

    def __init__(self, redis: Redis, worker: str, lease_s: float) -> None:
        self._worker = worker
        self._lease_ms = int(1000 * lease_s)
        self._acquire = redis.register_script(_ACQUIRE)
        self._renew = redis.register_script(_RENEW)
        self._release = redis.register_script(_RELEASE)

    def acquire(self, stream_id: str) -> int | None:
        """The epoch of a new lease, or None where somebody holds the camera."""
        epoch = self._acquire(self._keys(stream_id), [self._worker, self._lease_ms])
        return None if epoch is None else int(epoch)

    def renew(self, stream_id: str, epoch: int) -> bool:
        """Keep the camera for another while; False when it isn't ours any more."""
        return bool(self._renew(self._keys(stream_id), [self._worker, epoch, self._lease_ms]))

    def release(self, stream_id: str, epoch: int) -> None:
        """Let another worker have the camera now."""
        self._release(self._keys(stream_id), [self._worker, epoch])

    @staticmethod
    def _keys(stream_id: str) -> list[str]:
        return [keys.lease(stream_id), keys.epoch(stream_id)]
