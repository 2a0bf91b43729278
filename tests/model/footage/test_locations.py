"""Tests how a location is parsed, converted for FFmpeg, and redacted."""

from __future__ import annotations

import pytest

from model.footage.locations import Location, LocationKind, redact_url
from model.footage.video_source import FILE_FORMATS


@pytest.mark.parametrize(
    ("given", "expected"),
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
        ("rtsp://admin:1234/5@cam.lan/one", "rtsp://admin:1234%2F5@cam.lan/one"),
        (
            "rtsp://admin:12/34@x#y?z@127.0.0.1:9/c",
            "rtsp://admin:12%2F34%40x%23y%3Fz@127.0.0.1:9/c",
        ),
        ("http://cam.lan:80/one@2.5", "http://cam.lan:80/one@2.5"),
        ("rtsp://user:pw@host/stream@2", "rtsp://user:pw@host/stream@2"),
        ("/media/door: 1.mp4", "file:/media/door: 1.mp4"),
    ],
)
def test_credentials_are_encoded_and_nothing_else(given: str, expected: str) -> None:
    assert Location.parse(given).ffmpeg_url == expected


@pytest.mark.parametrize("password", ["plain", "p@ss#w!rd/x", "a?b:c", "p@ss/word", "x/y@z"])
def test_no_part_of_a_password_is_displayed(password: str) -> None:
    assert redact_url(f"rtsp://user:{password}@cam.lan:554/one") == ("rtsp://***@cam.lan:554/one")


@pytest.mark.parametrize("name", ["loginpas", "p", "u", "usr", "api-key", "X-Amz-Signature"])
def test_no_parameter_that_may_hold_a_secret_is_displayed(name: str) -> None:
    shown = redact_url(f"http://cam/s.jpg?channel=1&{name}=hunter2&subtype=0")
    assert shown == f"http://cam/s.jpg?channel=1&{name}=***&subtype=0"


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("http://cam/s?channel=12&q=hunter2&pin=1234", "http://cam/s?channel=12&q=***&pin=***"),
        ("https://x/?a=1;b=two#c=three", "https://x/?a=1;b=***#c=***"),
        (
            "https://hooks.slack.com/services/T0AB/B0CD/aB3dE6fG9hI2kL5mN8pQ1rS4",
            "https://hooks.slack.com/services/T0AB/B0CD/***",
        ),
        ("https://api.telegram.org/bot123:Ab-c/send", "https://api.telegram.org/***/send"),
        ("mqtt://h/nw?discovery=homeassistant", "mqtt://h/nw?discovery=homeassistant"),
        ("rtsp://cam/Streaming/Channels/101", "rtsp://cam/Streaming/Channels/101"),
    ],
)
def test_queries_and_tokens_in_paths_are_not_displayed(url: str, shown: str) -> None:
    assert redact_url(url) == shown


def test_what_comes_from_the_network_never_opens_a_file() -> None:
    for scheme in ("rtsp", "rtsps", "rtmp", "http", "https", "HTTP"):
        protocols = Location.parse(f"{scheme}://host/x").protocols
        assert protocols and "file" not in protocols.split(",")


def test_a_file_opens_files_only_and_no_playlists() -> None:
    assert Location.parse("/media/one.mp4").protocols == "file"
    assert not {"hls", "concat", "dash"} & set(FILE_FORMATS.split(","))


@pytest.mark.parametrize("location", ["ftp://host/x", "file:///etc/passwd", "concat://x"])
def test_other_schemes_are_not_opened(location: str) -> None:
    assert Location.parse(location).protocols is None


def test_a_missing_path_is_a_file(tmp_path: object) -> None:
    assert Location.parse(str(tmp_path)).kind is LocationKind.FOLDER
    assert Location.parse(f"{tmp_path}/none").kind is LocationKind.FILE
