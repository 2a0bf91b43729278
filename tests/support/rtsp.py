"""A real RTSP server (Debian's GStreamer) in a process of its own, to kill and start again."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.support.servers import free_port

SYSTEM_PYTHON = Path("/usr/bin/python3")
SCRIPT = Path(__file__).parent / "rtsp_server.py"
_NEEDS = 'import gi; gi.require_version("GstRtspServer", "1.0")'


@dataclass
class RtspServer:
    """Plays each video from its start to each client that connects, at the video's own pace."""

    mounts: Mapping[str, Path]
    user: str | None = None
    password: str | None = None
    port: int = field(default_factory=free_port)
    process: subprocess.Popen[str] | None = None

    @property
    def base(self) -> str:
        """`rtsp://host:port`, without credentials."""
        return f"rtsp://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Start it and wait until it listens."""
        self.process = subprocess.Popen(
            [SYSTEM_PYTHON, SCRIPT], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        assert self.process.stdin is not None and self.process.stdout is not None
        settings = {
            "port": self.port,
            "user": self.user,
            "password": self.password,
            "mounts": {mount: str(path) for mount, path in self.mounts.items()},
        }
        self.process.stdin.write(json.dumps(settings) + "\n")
        self.process.stdin.flush()
        if not self.process.stdout.readline().strip():
            raise RuntimeError("the RTSP server did not start")

    def kill(self) -> None:
        """kill -9."""
        if self.process is None:
            return
        self.process.kill()
        self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout):
            if pipe is not None:
                pipe.close()
        self.process = None


def require_gstreamer() -> None:
    """Skip, visibly, where the server's parts aren't installed."""
    if (
        not SYSTEM_PYTHON.exists()
        or subprocess.run(
            [SYSTEM_PYTHON, "-c", _NEEDS], stderr=subprocess.DEVNULL, check=False
        ).returncode
    ):
        pytest.skip("GStreamer's RTSP server is missing on this machine")


@contextmanager
def rtsp_server(
    mounts: Mapping[str, Path], user: str | None = None, password: str | None = None
) -> Iterator[str]:
    """Serve the videos (H.264 in MP4) at these paths; yields `rtsp://host:port`."""
    require_gstreamer()
    server = RtspServer(mounts, user, password)
    server.start()
    try:
        yield server.base
    finally:
        server.kill()
