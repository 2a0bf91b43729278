"""Connections to Redis, with limits on how long they wait."""

from __future__ import annotations

from redis import Redis
from redis.backoff import NoBackoff
from redis.retry import Retry

CONNECT_TIMEOUT_S = 2.0
ANSWER_TIMEOUT_S = 10.0


def connect(url: str) -> Redis:
    """A client of bytes, for one process; nothing is sent until the first command.

    A command fails at once when the server is away (redis.exceptions.ConnectionError or
    TimeoutError): whoever calls decides what to do meanwhile, and when to try again.
    """
    return Redis.from_url(
        url,
        socket_connect_timeout=CONNECT_TIMEOUT_S,
        socket_timeout=ANSWER_TIMEOUT_S,
        health_check_interval=15,
        # One immediate retry: the pool may hold a connection that a restarted server has closed.
        # Repeating a script whose answer was lost is harmless for scores and leases; an upload
        # may then stand twice, under two numbers: none is lost.
        retry=Retry(NoBackoff(), 1),
    )
