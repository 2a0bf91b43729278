"""A client of a Redis Cluster that behaves as a plain one does, for what `service.bus` sends.

It connects at its first command, raises redis.exceptions.ConnectionError when the cluster can't be
reached, and runs scripts within pipelines over many cameras, whose keys are on different nodes.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager

from redis.backoff import NoBackoff
from redis.cluster import ClusterNode, ClusterPipeline, RedisCluster
from redis.exceptions import ConnectionError as NotReached
from redis.exceptions import RedisClusterException
from redis.retry import Retry

# redis-py leaves these without types, or with types that no dictionary of options has.
_node: Callable[[str, int], ClusterNode] = ClusterNode
_make: Callable[..., RedisCluster] = RedisCluster

ATTEMPTS = 2
"""Attempts at a command whose node has moved or gone; each reads the cluster's layout again."""


class Cluster:
    """Has the commands of redis.Redis, one pipeline and scripts. Safe to use from many threads."""

    def __init__(self, nodes: Sequence[tuple[str, int]], options: Mapping[str, object]) -> None:
        self._nodes = nodes
        self._options = options
        self._lock = threading.Lock()
        self._made: RedisCluster | None = None

    def register_script(self, script: str) -> Script:
        """A Lua script that is called with keys of one hash tag, and arguments."""
        return Script(self, script)

    def pipeline(self, transaction: bool = False) -> Pipeline:
        """Commands for several nodes, sent to all of them at once; never a transaction.

        Raises: ValueError: a transaction was asked for.
        """
        if transaction:
            raise ValueError("a cluster has no transactions over several cameras")
        return Pipeline(self)

    def client(self) -> RedisCluster:
        """The client proper. Raises: redis.exceptions.ConnectionError: no node answers."""
        with self._lock:
            if self._made is None:
                with _as_plain_errors():
                    self._made = _make(
                        startup_nodes=[_node(host, port) for host, port in self._nodes],
                        retry=Retry(NoBackoff(), ATTEMPTS),
                        **self._options,
                    )
            return self._made

    def close(self) -> None:
        with self._lock:
            if self._made is not None:
                self._made.close()
                self._made = None

    def __getattr__(self, name: str) -> Callable[..., object]:
        if name.startswith("_"):
            raise AttributeError(name)

        def command(*args: object, **options: object) -> object:
            with _as_plain_errors():
                return getattr(self.client(), name)(*args, **options)

        return command


class Pipeline:
    """Commands of one round trip to each node that holds their keys; answers come in order."""

    def __init__(self, cluster: Cluster) -> None:
        make: Callable[..., ClusterPipeline] = cluster.client().pipeline
        self._pipeline = make(transaction=False)

    def execute(self) -> list[object]:
        """Send them. Raises: redis.exceptions.RedisError: one of them failed."""
        with _as_plain_errors():
            return list(self._pipeline.execute())

    def __getattr__(self, name: str) -> Callable[..., object]:
        command: Callable[..., object] = getattr(self._pipeline, name)
        return command


class Script:
    """A Lua script, sent as text each time: a pipeline doesn't know which nodes have it already."""

    def __init__(self, cluster: Cluster, text: str) -> None:
        self._cluster = cluster
        self._text = text

    def __call__(
        self,
        keys: Sequence[str],
        args: Sequence[object] = (),
        client: Cluster | Pipeline | None = None,
    ) -> object:
        """Run it, or add it to a pipeline."""
        target = self._cluster if client is None else client
        return target.execute_command("EVAL", self._text, len(keys), *keys, *args)


@contextmanager
def _as_plain_errors() -> Iterator[None]:
    try:
        yield
    except RedisClusterException as error:  # it is no RedisError
        raise NotReached(str(error)) from error
