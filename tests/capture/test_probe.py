"""What a look at a location says."""

from __future__ import annotations

import socket
import wave
from pathlib import Path

import cv2
import numpy as np
import pytest
from pytest_httpserver import HTTPServer

from service.capture.probe import Probe, ProbeVerdict, probe
from tests.support.cameras import numbered_video
from tests.support.rtsp import rtsp_server
from tests.support.servers import free_port

TIMEOUT_S = 5.0


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A short video."""
    return numbered_video(tmp_path_factory.mktemp("video") / "one.mp4", 20)


def look(location: str | Path, timeout_s: float = TIMEOUT_S) -> tuple[ProbeVerdict, str]:
    found = probe(str(location), timeout_s)
    return found.verdict, found.reason


def test_a_file_and_a_url_that_are_video(video: Path, httpserver: HTTPServer) -> None:
    httpserver.expect_request("/one.mp4").respond_with_data(
        video.read_bytes(), content_type="video/mp4"
    )
    seen = Probe(ProbeVerdict.VIDEO, fps=10.0, has_colour=False, is_live=False)
    assert probe(str(video), TIMEOUT_S) == seen
    assert probe(httpserver.url_for("/one.mp4"), TIMEOUT_S) == seen


def test_rtsp_with_right_wrong_and_missing_credentials(video: Path) -> None:
    with rtsp_server({"/one": video}, "user", "p@ss/word") as base:
        host = base.removeprefix("rtsp://")
        assert look(f"rtsp://user:p@ss/word@{host}/one")[0] is ProbeVerdict.VIDEO
        refused = (ProbeVerdict.UNREACHABLE, "wrong user name or password (401)")
        assert look(f"rtsp://user:bad@{host}/one") == refused
        assert look(f"rtsp://{host}/one") == refused


def test_what_answers_and_is_no_video(tmp_path: Path, httpserver: HTTPServer) -> None:
    httpserver.expect_request("/page").respond_with_data("<html>hello</html>" * 100)
    text = tmp_path / "notes.mp4"
    text.write_text("these are notes\n" * 100)
    sound = tmp_path / "sound.wav"
    with wave.open(str(sound), "wb") as file:
        file.setparams((1, 2, 8000, 0, "NONE", ""))
        file.writeframes(bytes(16000))
    assert look(httpserver.url_for("/page")) == (ProbeVerdict.NOT_VIDEO, "the content is no video")
    assert look(text) == (ProbeVerdict.NOT_VIDEO, "the content is no video")
    assert look(sound) == (ProbeVerdict.NOT_VIDEO, "it holds no video")
    assert look("gopher://host/x")[0] is ProbeVerdict.NOT_VIDEO


@pytest.mark.parametrize(
    ("status", "words"), [(401, "password"), (403, "forbidden"), (404, "404"), (503, "5xx")]
)
def test_what_refuses_is_unreachable(httpserver: HTTPServer, status: int, words: str) -> None:
    httpserver.expect_request("/live").respond_with_data("no", status=status)
    verdict, reason = look(httpserver.url_for("/live"))
    assert verdict is ProbeVerdict.UNREACHABLE
    assert words in reason


def test_what_does_not_answer_is_unreachable() -> None:
    assert look(f"rtsp://127.0.0.1:{free_port()}/x") == (
        ProbeVerdict.UNREACHABLE,
        "the connection is refused",
    )
    assert look("rtsp://camera.invalid/x")[0] is ProbeVerdict.UNREACHABLE
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        found = look(f"rtsp://user:hidden@127.0.0.1:{port}/x", 1.0)
    assert found == (ProbeVerdict.UNREACHABLE, "no answer in time")


def test_a_playlist_reaches_no_file_and_a_file_no_network(
    tmp_path: Path, video: Path, httpserver: HTTPServer
) -> None:
    playlist = "#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:2,\n{}\n#EXT-X-ENDLIST\n"
    httpserver.expect_request("/list.m3u8").respond_with_data(
        playlist.format(f"file://{video}"), content_type="application/vnd.apple.mpegurl"
    )
    httpserver.expect_request("/one.ts").respond_with_data(video.read_bytes())
    local = tmp_path / "list.m3u8"
    local.write_text(playlist.format(httpserver.url_for("/one.ts")))
    assert look(httpserver.url_for("/list.m3u8"))[0] is not ProbeVerdict.VIDEO
    assert look(local)[0] is not ProbeVerdict.VIDEO
    assert [request.path for request, _ in httpserver.log] == ["/list.m3u8"]


def test_pictures_that_no_camera_makes_are_refused(httpserver: HTTPServer) -> None:
    _, jpeg = cv2.imencode(".jpg", np.zeros((8000, 8000), np.uint8))
    httpserver.expect_request("/large.jpg").respond_with_data(
        jpeg.tobytes(), content_type="image/jpeg"
    )
    verdict, reason = look(httpserver.url_for("/large.jpg"))
    assert verdict is ProbeVerdict.NOT_VIDEO
    assert "more than 50000000 pixels" in reason
