"""Real groups of Redis servers for tests: a cluster of three, and a master watched by Sentinels."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from redis import Redis
from redis.exceptions import RedisError

from tests.support.servers import free_port, wait_for

PASSWORD = "ge:heim@/#"
QUOTED = "ge%3Aheim%40%2F%23"
SLOTS = 16384
HIGHEST_PORT = 55_000
"""A node of a cluster listens 10,000 ports above its own, too."""


def _ports(count: int) -> list[int]:
    ports: set[int] = set()
    while len(ports) < count:
        port = free_port()
        if port < HIGHEST_PORT:
            ports.add(port)
    return sorted(ports)


def _program() -> str:
    program = shutil.which("redis-server")
    if program is None:
        raise FileNotFoundError("redis-server")
    return program


@dataclass
class Node:
    """One server, which can be killed and started again."""

    port: int
    command: list[str]
    folder: Path
    password: str | None = PASSWORD
    process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it, and wait until it answers."""
        self.folder.mkdir(parents=True, exist_ok=True)
        self.process = subprocess.Popen(self.command, cwd=self.folder, stdout=subprocess.DEVNULL)
        wait_for(lambda: self.says("PING") is not None, f"Redis at {self.port}")

    def says(self, *words: str | int) -> str | None:
        """Its answer to a command as text; None where it doesn't answer."""
        client = Redis(port=self.port, password=self.password, protocol=2, decode_responses=True)
        try:
            return str(client.execute_command(*words))
        except RedisError:
            return None
        finally:
            client.close()

    def kill(self) -> None:
        """kill -9."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()


def _server(folder: Path, port: int, *options: str | int) -> Node:
    words = ["--port", port, "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]
    words += ["--requirepass", PASSWORD, "--masterauth", PASSWORD, *options]
    own = folder / str(port)
    return Node(port, [_program(), *map(str, words)], own)


@contextmanager
def cluster(folder: Path) -> Iterator[tuple[str, list[Node]]]:
    """Three masters that share the slots; yields the URL and the nodes."""
    options = ("--cluster-enabled", "yes", "--cluster-node-timeout", 2000)
    nodes = [_server(folder, port, *options) for port in _ports(3)]
    try:
        for place, node in enumerate(nodes):
            node.start()
            first, behind = place * SLOTS // 3, (place + 1) * SLOTS // 3
            node.says("CLUSTER", "ADDSLOTSRANGE", first, behind - 1)
            node.says("CLUSTER", "MEET", "127.0.0.1", nodes[0].port)
        for node in nodes:
            wait_for(lambda node=node: _is_whole(node), "the cluster")
        hosts = ",".join(f"127.0.0.1:{node.port}" for node in nodes)
        yield f"redis+cluster://:{QUOTED}@{hosts}", nodes
    finally:
        for node in nodes:
            node.kill()


def _is_whole(node: Node) -> bool:
    info = node.says("CLUSTER", "INFO") or ""
    return "cluster_state:ok" in info and "cluster_known_nodes:3" in info


@dataclass(frozen=True)
class Watched:
    """A master, its replica, and the URL of the Sentinels that watch them."""

    url: str
    master: Node
    replica: Node


@contextmanager
def sentinel(folder: Path) -> Iterator[Watched]:
    """A master and a replica, and two Sentinels that fail over within seconds."""
    ports = _ports(4)
    master = _server(folder, ports[0])
    replica = _server(folder, ports[1], "--replicaof", f"127.0.0.1 {ports[0]}")
    watchers = [_watcher(folder, port, ports[0]) for port in ports[2:]]
    servers = [master, replica, *watchers]
    try:
        for server in servers:
            server.start()
        wait_for(
            lambda: "master_link_status:up" in _info(replica, "replication"), "the replica's link"
        )
        for watcher in watchers:
            wait_for(lambda watcher=watcher: _sees_all(watcher), "the Sentinels")
        hosts = ",".join(f"127.0.0.1:{watcher.port}" for watcher in watchers)
        yield Watched(f"redis+sentinel://:{QUOTED}@{hosts}/cameras/0", master, replica)
    finally:
        for server in servers:
            server.kill()


def _watcher(folder: Path, port: int, master: int) -> Node:
    own = folder / f"sentinel-{port}"
    own.mkdir(parents=True)
    config = own / "sentinel.conf"
    config.write_text(
        f"port {port}\nbind 127.0.0.1\nsentinel monitor cameras 127.0.0.1 {master} 2\n"
        f'sentinel auth-pass cameras "{PASSWORD}"\n'
        "sentinel down-after-milliseconds cameras 1000\n"
        "sentinel failover-timeout cameras 5000\n"
    )
    return Node(port, [_program(), str(config), "--sentinel"], own, password=None)


def _info(node: Node, section: str) -> str:
    client = Redis(port=node.port, password=node.password)
    try:
        return "".join(f"{key}:{value}\n" for key, value in client.info(section).items())
    except RedisError:
        return ""
    finally:
        client.close()


def _sees_all(watcher: Node) -> bool:
    """It knows the replica and the other Sentinel: only then it can fail over."""
    found = watcher.says("SENTINEL", "MASTER", "cameras") or ""
    return "'num-slaves', '1'" in found and "'num-other-sentinels', '1'" in found
