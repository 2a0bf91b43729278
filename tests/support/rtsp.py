"""A real RTSP server (Debian's GStreamer) in a process of its own, to kill and start again."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest

from service.bench.rtsp import RtspServer, is_installed


def require_gstreamer() -> None:
    """Skip, visibly, where the server's parts aren't installed."""
    if not is_installed():
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
