"""How a location is told to ffmpeg."""

from __future__ import annotations

import pytest

from model.footage import hide_credentials
from service.capture.locations import FILE_FORMATS, Kind, for_ffmpeg, kind_of, protocols


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ("rtsp://host/one", "rtsp://host/one"),
        ("RTSP://host:554/one?a=b", "rtsp://host:554/one?a=b"),
        ("rtsp://user:plain@host/one", "rtsp://user:plain@host/one"),
        ("rtsp://user:p@ss#w!rd/x@host/one", "rtsp://user:p%40ss%23w%21rd%2Fx@host/one"),
        ("rtsp://user:a?b:c@host:8554/one", "rtsp://user:a%3Fb%3Ac@host:8554/one"),
        ("rtsp://user:a%40b@host/one", "rtsp://user:a%40b@host/one"),
        ("rtsp://user:50%@host/one", "rtsp://user:50%25@host/one"),
        ("rtsp://user:ß @[::1]:554/one", "rtsp://user:%C3%9F%20@[::1]:554/one"),
        ("rtsp://user:p@ss/word@10.0.0.1/x", "rtsp://user:p%40ss%2Fword@10.0.0.1/x"),
        ("http://host:80/@cafe/live", "http://host:80/@cafe/live"),
        ("http://host/@cafe/live", "http://host/@cafe/live"),
        ("rtsp://user:pw@host/stream@2", "rtsp://user:pw@host/stream@2"),
        ("/media/door: 1.mp4", "file:/media/door: 1.mp4"),
    ],
)
def test_credentials_are_encoded_and_nothing_else(given: str, told: str) -> None:
    assert for_ffmpeg(given) == told


@pytest.mark.parametrize("password", ["plain", "p@ss#w!rd/x", "a?b:c", "p@ss/word", "x/y@z"])
def test_no_part_of_a_password_is_shown(password: str) -> None:
    assert hide_credentials(f"rtsp://user:{password}@cam.lan:554/one") == (
        "rtsp://***@cam.lan:554/one"
    )


def test_what_comes_from_the_network_never_opens_a_file() -> None:
    for scheme in ("rtsp", "rtsps", "rtmp", "http", "https", "HTTP"):
        assert "file" not in (protocols(f"{scheme}://host/x") or "file").split(",")


def test_a_file_opens_files_only_and_no_playlists() -> None:
    assert protocols("/media/one.mp4") == "file"
    assert not {"hls", "concat", "dash"} & set(FILE_FORMATS.split(","))


@pytest.mark.parametrize("location", ["ftp://host/x", "file:///etc/passwd", "concat://x"])
def test_other_schemes_are_not_opened(location: str) -> None:
    assert protocols(location) is None


def test_a_missing_path_is_a_file(tmp_path: object) -> None:
    assert kind_of(str(tmp_path)) is Kind.FOLDER
    assert kind_of(f"{tmp_path}/none") is Kind.FILE
