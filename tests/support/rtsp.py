"""Real RTSP servers (Debian's GStreamer) in processes of their own, to kill and start again."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from service.tether import tether_command
from service.tools.bench.rtsp import SYSTEM_PYTHON, RtspServer, is_installed

_LIVE = Path(__file__).parent / "live_server.py"


def require_gstreamer() -> None:
    """Skip, visibly, where the server's parts aren't installed."""
    if not is_installed():
        pytest.skip("GStreamer's RTSP server is missing on this machine")


@contextmanager
def rtsp_server(
    mounts: Mapping[str, Path | Sequence[Path]],
    user: str | None = None,
    password: str | None = None,
) -> Iterator[str]:
    """Serve the videos (H.264 in MP4) at these paths, or several as tracks of one; yields
    `rtsp://host:port`."""
    require_gstreamer()
    server = RtspServer(mounts, user, password)
    server.start()
    try:
        yield server.base
    finally:
        server.kill()


@dataclass
class LiveCamera:
    """A camera with a live picture, which changes its ways on command."""

    encoding: str = "h264"
    """`h264`, or `jpeg`, where each picture stands for itself."""
    port: int = 0
    settings: dict[str, object] = field(default_factory=dict)
    _process: subprocess.Popen[str] | None = None

    @property
    def url(self) -> str:
        """Where it is, once it has been started."""
        return f"rtsp://127.0.0.1:{self.port}/live"

    def start(self) -> None:
        """Start it and wait until it listens; its settings are those that it had."""
        self._process = subprocess.Popen(
            tether_command([str(SYSTEM_PYTHON), str(_LIVE)]),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        usual = {"fps": 10, "size": [160, 120], "frozen": False, "still": False, "loop_s": 0}
        self.tell(**{**usual, **self.settings, "port": self.port, "encoding": self.encoding})
        assert self._process.stdout is not None
        self.port = int(self._process.stdout.readline())

    def tell(self, **settings: object) -> None:
        """Change some: `fps`, `size` (width, height), `frozen` (the same picture from now on),
        `still` (timestamps stand still), `loop_s` (timestamps start again so often)."""
        self.settings.update(settings)
        assert self._process is not None and self._process.stdin is not None
        self._process.stdin.write(json.dumps(settings) + "\n")
        self._process.stdin.flush()

    def kill(self) -> None:
        """End it as a camera does whose plug is pulled."""
        if self._process is None:
            return
        self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                pipe.close()
        self._process = None


@contextmanager
def live_camera(encoding: str = "h264", **settings: object) -> Iterator[LiveCamera]:
    """A live camera, started and at the end killed."""
    require_gstreamer()
    camera = LiveCamera(encoding, settings=dict(settings))
    camera.start()
    try:
        yield camera
    finally:
        camera.kill()
