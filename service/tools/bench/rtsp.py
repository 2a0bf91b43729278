"""Runs GStreamer's RTSP server in a process of its own, as cameras for benchmark and tests."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from service.tether import tether_command

SYSTEM_PYTHON = Path("/usr/bin/python3")
"""GStreamer's bindings are Debian's, and for Debian's Python."""
PACKAGES = (
    "python3-gi",
    "gir1.2-gst-rtsp-server-1.0",
    "gstreamer1.0-plugins-base",
    "gstreamer1.0-plugins-good",
    "gstreamer1.0-plugins-bad",
)
_SCRIPT = Path(__file__).parent / "rtsp_server.py"
_NEEDS = 'import gi; gi.require_version("GstRtspServer", "1.0")'


def is_installed() -> bool:
    """Return whether the server's packages are installed."""
    if not SYSTEM_PYTHON.exists():
        return False
    command = [str(SYSTEM_PYTHON), "-c", _NEEDS]
    return subprocess.run(command, stderr=subprocess.DEVNULL, check=False).returncode == 0


@dataclass
class RtspServer:
    """Plays each video from its start to each client that connects, at the video's own pace."""

    mounts: Mapping[str, Path | Sequence[Path]]
    """Videos (H.264 in MP4) by path in the URL; several become one stream's tracks."""
    user: str | None = None
    password: str | None = None
    port: int = 0
    """Port; 0 takes a free one, and keeps it over restarts."""
    process: subprocess.Popen[str] | None = None

    @property
    def base(self) -> str:
        """URL without path and credentials; known once it has started."""
        return f"rtsp://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Start it and wait until it listens. Raises: ChildProcessError: it doesn't."""
        self.process = subprocess.Popen(
            tether_command([str(SYSTEM_PYTHON), str(_SCRIPT)]),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        settings = {
            "port": self.port,
            "user": self.user,
            "password": self.password,
            "mounts": {
                mount: [str(path)] if isinstance(path, Path) else list(map(str, path))
                for mount, path in self.mounts.items()
            },
        }
        port = ""
        if self.process.stdin is not None and self.process.stdout is not None:
            self.process.stdin.write(json.dumps(settings) + "\n")
            self.process.stdin.flush()
            port = self.process.stdout.readline().strip()
        if not port:
            raise ChildProcessError("the RTSP server did not start; see its output above")
        self.port = int(port)

    def kill(self) -> None:
        """Kill the server, as if the camera lost its power."""
        if self.process is None:
            return
        self.process.kill()
        self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout):
            if pipe is not None:
                pipe.close()
        self.process = None
