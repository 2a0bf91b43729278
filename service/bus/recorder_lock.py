"""The lock that lets one front end record at a time: a key with a time to live."""

from __future__ import annotations

from redis import Redis

from service import keys

_HOLD = """
local owner = redis.call('GET', KEYS[1])
if owner and owner ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return 1
"""

_RELEASE = """
if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end
return 0
"""


class RecorderLock:
    """A courtesy that saves work; what makes two recorders safe is the cursor's version."""

    def __init__(self, redis: Redis, owner: str, hold_s: float = 5.0) -> None:
        self._redis = redis
        self._owner = owner
        self._hold_ms = int(1000 * hold_s)
        self._hold = redis.register_script(_HOLD)
        self._release = redis.register_script(_RELEASE)

    def hold(self) -> bool:
        """Take or keep the lock; False while another front end has it."""
        return bool(self._hold([keys.RECORDER], [self._owner, self._hold_ms]))

    def is_held(self) -> bool:
        """Return whether this front end has the lock; it isn't kept for any longer by asking."""
        return self._redis.get(keys.RECORDER) == self._owner.encode()

    def release(self) -> None:
        """Let another front end record now."""
        self._release([keys.RECORDER], [self._owner])
