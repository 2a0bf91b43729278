"""Where cameras may be: checked for addresses, names, redirects and playlists."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import ip_network
from pathlib import Path

import pytest

from model.footage.locations import Location
from model.footage.source_addresses import find_address_problem
from service.capture.probe import ProbeVerdict, probe
from tests.support.cameras import numbered_video

TIMEOUT_S = 5.0
FIRST = (ip_network("127.0.0.1/32"),)
"""The server is at 127.0.0.1 and at 127.0.0.2."""


class Camera(ThreadingHTTPServer):
    """Serves a video, redirects to it, and a playlist of it."""

    def __init__(self, video: bytes) -> None:
        super().__init__(("0.0.0.0", 0), _Handler)
        self.video = video
        self.asked: list[str] = []

    def url(self, path: str, host: str = "127.0.0.1") -> str:
        return f"http://{host}:{self.server_port}{path}"


class _Handler(BaseHTTPRequestHandler):
    server: Camera

    def do_GET(self) -> None:
        self.server.asked.append(self.path)
        elsewhere = self.server.url("/video.ts", "127.0.0.2")
        targets = {
            "/elsewhere": elsewhere,
            "/metadata": "http://169.254.169.254/latest/meta-data",
            "/file": "file:///etc/passwd",
            "/loop": "/loop",
            "/here": "/video.ts",
        }
        if self.path in targets:
            self.send_response(302)
            self.send_header("Location", targets[self.path])
            self.end_headers()
            return
        self.send_response(200)
        self.end_headers()
        segments = f"#EXTINF:2,\n{elsewhere}\n"
        playlist = f"#EXTM3U\n#EXT-X-VERSION:3\n#EXT-X-TARGETDURATION:2\n{segments * 3}"
        is_playlist = self.path.endswith(".m3u8")
        self.wfile.write(playlist.encode() if is_playlist else self.server.video)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture(scope="module")
def camera(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Camera]:
    video = numbered_video(tmp_path_factory.mktemp("video") / "one.ts", 20)
    with Camera(Path(video).read_bytes()) as made:
        threading.Thread(target=made.serve_forever, daemon=True).start()
        yield made
        made.shutdown()


@pytest.mark.parametrize(
    "host",
    [
        "169.254.169.254",
        "2852039166",
        "0xa9fea9fe",
        "0251.0376.0251.0376",
        "169.254.43518",
        "[fe80::1]",
        "[fe80::1%25eth0]",
        "[::ffff:169.254.169.254]",
        "[64:ff9b::a9fe:a9fe]",
        "[fd00:ec2::254]",
        "100.100.100.200",
    ],
)
def test_no_source_is_at_a_link_local_address(host: str) -> None:
    for scheme in ("rtsp", "http"):
        problem = find_address_problem(Location.parse(f"{scheme}://user:pass@{host}/x"))
        assert problem is not None
        assert "link-local" in problem


def test_cameras_are_at_any_other_address_unless_networks_are_named() -> None:
    networks = (ip_network("192.168.1.0/24"), ip_network("fd12::/16"))
    for host in ("192.168.1.20", "3232235796", "[fd12::3]"):
        assert find_address_problem(Location.parse(f"rtsp://{host}/"), networks) is None
    for host in ("192.168.2.20", "127.0.0.1", "[::1]", "8.8.8.8", "0"):
        location = Location.parse(f"rtsp://{host}/")
        assert find_address_problem(location) is None
        assert "NORMWATCH_SOURCE_NETWORKS" in str(find_address_problem(location, networks))
    # A name is looked up where it is connected to.
    named = Location.parse("rtsp://localhost/")
    assert find_address_problem(named, networks) is None
    assert find_address_problem(named, networks, looks_up=True) is not None


@pytest.mark.parametrize("path", ["/elsewhere", "/here", "/live.m3u8"])
def test_redirects_and_playlists_are_followed_where_they_may_lead(
    camera: Camera, path: str
) -> None:
    assert probe(camera.url(path), TIMEOUT_S).verdict is ProbeVerdict.VIDEO


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("/elsewhere", "NORMWATCH_SOURCE_NETWORKS"),
        ("/live.m3u8", "NORMWATCH_SOURCE_NETWORKS"),
        ("/metadata", "link-local"),
        ("/file", "another kind"),
        ("/loop", "too often"),
    ],
)
def test_neither_leads_where_no_camera_may_be(camera: Camera, path: str, reason: str) -> None:
    camera.asked.clear()
    found = probe(camera.url(path), TIMEOUT_S, FIRST)
    assert found.verdict is not ProbeVerdict.VIDEO
    assert reason in found.reason
    if path == "/elsewhere":
        assert "/video.ts" not in camera.asked
