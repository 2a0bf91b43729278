"""Keys of many cameras in one command, where one server has them all; on a cluster, in one trip."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import cast

from redis import Redis

from service.bus.cluster import Cluster

Entry = tuple[bytes, dict[bytes, bytes]]
"""An entry of a Redis stream: its id, and its fields."""

Call = tuple[list[str], list[str | bytes | int]]
"""Keys of one camera and arguments, for a script that takes those of several cameras in turn."""


def call_each(
    redis: Redis, script: Callable[..., object], calls: Sequence[Call]
) -> Sequence[object]:
    """Run a script for several cameras; it answers with an array, with a value for each."""
    if not calls:
        return []
    if isinstance(redis, Cluster):
        pipeline = redis.pipeline(transaction=False)
        for names, values in calls:
            script(names, values, client=pipeline)
        answers = cast(list[list[object] | None], pipeline.execute())
        return [value for answer in answers for value in answer or ()]
    names = [name for names, _ in calls for name in names]
    values = [value for _, values in calls for value in values]
    return cast(Sequence[object], script(names, values) or ())


def read_queues(redis: Redis, names: Sequence[str], count: int) -> dict[str, list[Entry]]:
    """Read the oldest entries of each queue, up to `count` of each; empty queues are absent."""
    if not names:
        return {}
    if isinstance(redis, Cluster):
        pipeline = redis.pipeline(transaction=False)
        for name in names:
            pipeline.xrange(name, count=count)
        answers = zip(names, cast(list[list[Entry]], pipeline.execute()), strict=True)
        return {name: entries for name, entries in answers if entries}
    found = redis.xread(dict.fromkeys(names, "0-0"), count)
    return {
        name.decode(): entries
        for name, entries in cast(list[tuple[bytes, list[Entry]]], found or [])
    }


def read_values(redis: Redis, names: Sequence[str]) -> list[bytes | None]:
    """Read the strings at these keys; None where there is none."""
    if not names:
        return []
    if isinstance(redis, Cluster):
        pipeline = redis.pipeline(transaction=False)
        for name in names:
            pipeline.get(name)
        return cast(list[bytes | None], pipeline.execute())
    return cast(list[bytes | None], redis.mget(names))
