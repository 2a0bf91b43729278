"""Notices that Redis was restarted, perhaps without its data."""

from __future__ import annotations

from redis import Redis

from service.timers import Clock, Deadline

RESTART_GRACE_S = 10.0
"""After Redis was restarted without its data, streams may be missing for so long."""


class RestartWatch:
    """Compares the id that a server has from its start to its end."""

    def __init__(self, redis: Redis, clock: Clock) -> None:
        self._redis = redis
        self._clock = clock
        self._run_id: str | None = None
        self._grace: Deadline | None = None

    def check(self) -> None:
        """Ask the server for its id. Raises: RedisError: Redis is away."""
        run_id = str(self._redis.info("server").get("run_id", ""))
        if self._run_id not in (None, run_id):
            self._grace = Deadline(RESTART_GRACE_S, self._clock)
        self._run_id = run_id

    @property
    def is_recent(self) -> bool:
        """Return whether the server was restarted a moment ago."""
        return self._grace is not None and not self._grace.is_over
