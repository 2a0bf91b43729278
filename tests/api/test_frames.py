"""Uploading pictures and videos, and the newest picture."""

from __future__ import annotations

import re
import socket
import struct
import time
from collections.abc import Iterator
from pathlib import Path

import cv2
import httpx
import numpy as np
import psutil
import pytest
from redis import Redis

from model.footage.picture_sizes import read_declared_size
from service.bus.registry import Preview, Registry
from service.bus.uploads import QueuedFrame, Uploads
from service.settings import Settings
from service.store.database import Database
from service.store.tables import CursorRow
from tests.support.clips import encoded, picture, video
from tests.support.front_end import client
from tests.support.servers import wait_for


@pytest.fixture(scope="module")
def api(module_settings: Settings) -> Iterator[httpx.Client]:
    """One front end for all of these."""
    with client(module_settings) as made:
        yield made


@pytest.fixture
def settings(module_settings: Settings) -> Settings:
    """The shared front end's."""
    return module_settings


def _queued(redis: Redis, stream_id: str) -> list[QueuedFrame]:
    return Uploads(redis).wait({stream_id: "0-0"}, 100, block_ms=1).get(stream_id, [])


def _files(*images: bytes) -> list[tuple[str, tuple[str, bytes, str]]]:
    return [("file", (f"{i}.jpg", image, "image/jpeg")) for i, image in enumerate(images)]


def test_pictures_are_queued_in_order_as_they_are(
    api: httpx.Client, redis: Redis, stream_id: str
) -> None:
    images = [encoded(suffix, number=i) for i, suffix in enumerate((".jpg", ".png", ".webp"))]
    times = ["2026-11-24T08:00:00Z", "1795507201.5", "2026-11-24T10:00:02+02:00"]
    answer = api.post(
        f"/streams/{stream_id}/frames", files=_files(*images), data={"captured_at": times}
    )
    assert answer.status_code == 202, answer.text
    assert answer.json() == {
        "frames": {"first": 0, "last": 2, "count": 3},
        "lost": 0,
        "lost_reason": "",
    }
    queued = _queued(redis, stream_id)
    assert [frame.image for frame in queued] == images
    assert [frame.meta.frame for frame in queued] == [0, 1, 2]
    assert [frame.meta.captured_at for frame in queued] == [
        1795507200.0,
        1795507201.5,
        1795507202.0,
    ]


def test_a_raw_picture_is_accepted(api: httpx.Client, redis: Redis, stream_id: str) -> None:
    answer = api.post(
        f"/streams/{stream_id}/frames?captured_at=100.25",
        content=encoded(".bmp"),
        headers={"Content-Type": "image/bmp"},
    )
    assert answer.json()["frames"] == {"first": 0, "last": 0, "count": 1}
    assert _queued(redis, stream_id)[0].meta.captured_at == 100.25


def test_numbers_go_on_from_what_is_recorded(
    api: httpx.Client, redis: Redis, rows: Database, stream_id: str
) -> None:
    with rows.write() as session:
        session.add(CursorRow(stream_id=stream_id, last_frame=41))
    redis.flushall()  # and the stream is published again before the frame is queued
    answer = api.post(f"/streams/{stream_id}/frames", files=_files(encoded()))
    assert answer.json()["frames"]["first"] == 42


@pytest.mark.parametrize("raw", [True, False])
def test_a_video_becomes_pictures(
    api: httpx.Client, redis: Redis, stream_id: str, raw: bool
) -> None:
    clip = video(8, fps=10, width=1280, height=64)
    path = f"/streams/{stream_id}/frames"
    if raw:
        answer = api.post(
            path,
            params={"captured_at": "100"},
            content=clip,
            headers={"Content-Type": "video/mp4"},
        )
    else:
        answer = api.post(path, files={"file": ("clip", clip)}, data={"captured_at": "100"})
    assert answer.status_code == 202, answer.text
    assert answer.json()["frames"] == {"first": 0, "last": 7, "count": 8}
    queued = _queued(redis, stream_id)
    assert [frame.meta.cut for frame in queued] == [True] + [False] * 7
    assert [frame.meta.captured_at for frame in queued] == pytest.approx(
        [100 + i / 10 for i in range(8)]
    )
    shapes = {
        cv2.imdecode(np.frombuffer(frame.image, np.uint8), cv2.IMREAD_COLOR).shape
        for frame in queued
    }
    assert shapes == {(51, 1024, 3)}


def test_a_video_is_sampled_at_the_streams_rate(
    api: httpx.Client, redis: Redis, stream_id: str
) -> None:
    api.patch(f"/streams/{stream_id}", json={"fps": 5})
    answer = api.post(f"/streams/{stream_id}/frames", files={"file": ("a.mp4", video(12))})
    assert answer.json()["frames"]["count"] == 6


def test_a_video_of_unknown_time_ends_now(api: httpx.Client, redis: Redis, stream_id: str) -> None:
    before = time.time()
    api.post(f"/streams/{stream_id}/frames", files={"file": ("a.mp4", video(8, fps=10))})
    times = [frame.meta.captured_at for frame in _queued(redis, stream_id)]
    assert before <= times[-1] <= time.time()
    assert times[-1] - times[0] == pytest.approx(0.7)


def test_a_full_backlog_takes_nothing_and_says_when_to_come_back(
    api: httpx.Client, redis: Redis, stream_id: str
) -> None:
    path = f"/streams/{stream_id}/frames"
    accepted, refused = _counted(api, "uploaded"), _counted(api, "refused")
    assert api.post(path, files=_files(*[encoded()] * 15)).status_code == 202
    answer = api.post(path, files=_files(*[encoded()] * 6))
    assert answer.status_code == 429
    assert int(answer.headers["Retry-After"]) >= 1
    assert answer.json()["error"]["code"] == "backlog_full"
    assert len(_queued(redis, stream_id)) == 15
    assert api.post(path, files=_files(*[encoded()] * 5)).status_code == 202
    assert _counted(api, "uploaded") - accepted == 20
    assert _counted(api, "refused") - refused == 6


def _counted(api: httpx.Client, what: str) -> float:
    found = re.search(rf"^normwatch_{what}_frames_total (\S+)$", api.get("/metrics").text, re.M)
    assert found is not None
    return float(found.group(1))


def _png(width: int, height: int) -> bytes:
    """A small file that declares a large picture."""
    return encoded(".png")[:16] + struct.pack(">II", width, height) + encoded(".png")[24:]


@pytest.mark.parametrize(
    ("files", "status", "field", "reason"),
    [
        (_files(b"no picture at all"), 422, "file[0]", "is not a JPEG"),
        (_files(encoded(), b"GIF89a"), 422, "file[1]", "is not a JPEG"),
        (_files(encoded()[:40]), 422, "file[0]", "is not a JPEG"),
        (_files(encoded(".png")[:60]), 422, "file[0]", "can't be decoded"),
        (_files(_png(30_000, 30_000)), 413, "file[0]", "30000x30000"),
        (_files(encoded(width=400, height=300)), 413, "file[0]", "400x300"),
        (_files(encoded() + b"\0" * 70_000), 413, "file[0]", "larger than 65536 bytes"),
        (_files(*[encoded()] * 21), 413, "file", "more than 20"),
        ({"file": ("a.mp4", video(21))}, 413, "file[0]", "more than 20 frames"),
        ({"file": ("a.mp4", b"\0" * 2_200_000)}, 413, "file[0]", "larger than 2097152 bytes"),
        ({"file": ("a.mp4", b"hardly a video")}, 422, "file[0]", "not a video"),
        ({"file": ("a.mp4", video(5)[:300])}, 422, "file[0]", "not a video"),
        ({"file": ("a.m3u8", b"#EXTM3U\n#EXTINF:1,\n/etc/passwd\n")}, 422, "file[0]", "not a vid"),
        ({"other": ("a.jpg", encoded())}, 422, "other", "not known"),
    ],
)
def test_what_cannot_be_used_is_refused(
    api: httpx.Client,
    redis: Redis,
    stream_id: str,
    files: object,
    status: int,
    field: str,
    reason: str,
) -> None:
    answer = api.post(f"/streams/{stream_id}/frames", files=files)
    assert answer.status_code == status, answer.text
    (found,) = answer.json()["error"]["fields"]
    assert found["field"] == field
    assert reason in found["reason"]
    assert _queued(redis, stream_id) == []


@pytest.mark.parametrize("time", ["NaN", "inf", "soon", "-1", "1e300"])
def test_times_must_be_times(api: httpx.Client, stream_id: str, time: str) -> None:
    answer = api.post(
        f"/streams/{stream_id}/frames", files=_files(encoded()), data={"captured_at": time}
    )
    assert answer.status_code == 422
    (found,) = answer.json()["error"]["fields"]
    assert (found["field"], found["value"]) == ("captured_at[0]", time)


def test_there_must_be_a_time_for_each_picture_or_none(api: httpx.Client, stream_id: str) -> None:
    answer = api.post(
        f"/streams/{stream_id}/frames",
        files=_files(encoded(), encoded()),
        data={"captured_at": "5"},
    )
    assert answer.status_code == 422
    assert answer.json()["error"]["fields"][0]["field"] == "captured_at"


@pytest.mark.parametrize(
    ("content_type", "status"),
    [("text/plain", 415), ("", 415), ("multipart/form-data", 400), ("image/jpeg", 422)],
)
def test_the_content_type_must_fit(
    api: httpx.Client, stream_id: str, content_type: str, status: int
) -> None:
    answer = api.post(
        f"/streams/{stream_id}/frames",
        content=b"nothing",
        headers={"Content-Type": content_type},
    )
    assert answer.status_code == status
    assert answer.json()["error"]["message"]


def test_only_running_upload_streams_take_frames(api: httpx.Client, stream_id: str) -> None:
    camera = api.post("/streams", json={"name": "c", "source": "rtsp://127.0.0.1:9/"}).json()["id"]
    assert api.post(f"/streams/{camera}/frames", files=_files(encoded())).status_code == 409
    api.patch(f"/streams/{stream_id}", json={"paused": True})
    answer = api.post(f"/streams/{stream_id}/frames", files=_files(encoded()))
    assert answer.status_code == 409
    assert "paused" in answer.json()["error"]["message"]


def test_the_newest_picture_comes_with_and_without_heat(
    api: httpx.Client, redis: Redis, stream_id: str
) -> None:
    path = f"/streams/{stream_id}/frame.jpg"
    assert api.get(path).status_code == 404
    heat = np.zeros((6, 8), np.uint8)
    heat[:, 4:] = 255
    plain = encoded(number=1)
    preview = Preview(plain, bytes(cv2.imencode(".png", heat)[1].tobytes()), 7, 1.5)
    Registry(redis).put_preview(stream_id, preview)
    answer = api.get(path)
    assert answer.content == plain
    assert answer.headers["Content-Type"] == "image/jpeg"
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.headers["X-Frame"] == "7"
    assert answer.headers["X-Captured-At"] == "1970-01-01T00:00:01.500000Z"
    hot = api.get(path, params={"heat": "true"})
    shown = cv2.imdecode(np.frombuffer(hot.content, np.uint8), cv2.IMREAD_COLOR).astype(float)
    change = np.abs(shown - picture(1)).mean(axis=(0, 2))
    assert change[:20].max() < 15, "cold half: as it was, but for JPEG"
    assert change[44:].min() > 30, "hot half: coloured"


def test_a_decoy_header_of_a_jpeg_is_not_believed(
    api: httpx.Client, stream_id: str, shared: Path
) -> None:
    data = (shared / "data" / "inputs" / "two-sizes.jpg").read_bytes()
    assert read_declared_size(data) == (20000, 20000)
    answer = api.post(f"/streams/{stream_id}/frames", files=_files(data))
    assert answer.status_code == 413
    assert "is 20000x20000, more than" in answer.text


@pytest.mark.parametrize("between", [b"", b"\xff", b"\xff\x00\x00\xd6", b"\xff\x01"])
def test_the_size_of_a_jpeg_is_found_as_its_decoder_finds_it(between: bytes) -> None:
    data = encoded()
    (height, width) = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR).shape[:2]
    assert read_declared_size(data[:2] + between + data[2:]) == (width, height)


def test_uploads_under_way_share_a_budget(settings: Settings, tmp_path: Path) -> None:
    values = settings.model_dump() | {"data_dir": tmp_path / "data"}
    values |= {"max_video_bytes": 2048, "max_upload_bytes": 2048, "max_image_bytes": 2048}
    with client(Settings(**(values | {"upload_budget_bytes": 1024**2 + 4096}))) as api:
        made = api.post("/streams", json={"name": "yard", "source": "upload", "model": "small"})
        ident = made.json()["id"]
        path = f"/streams/{ident}/frames"
        head = (
            f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: multipart/form-data; "
            "boundary=b\r\nContent-Length: 1048576\r\n\r\n--b\r\nContent-Disposition: form-data; "
            'name="file"; filename="a.jpg"\r\n\r\n'
        )
        address = ("127.0.0.1", api.base_url.port or 0)
        with socket.create_connection(address) as unfinished:
            unfinished.sendall(head.encode() + bytes(1_040_000))

            def is_held() -> bool:
                found = re.search(r"^normwatch_body_bytes (\S+)$", api.get("/metrics").text, re.M)
                return found is not None and float(found.group(1)) > 1_040_000

            def post() -> int:
                return api.post(path, files=_files(bytes(20_000))).status_code

            wait_for(is_held, "the first upload's bytes")
            assert post() == 429
            # What the others need is still answered.
            assert api.get("/streams").status_code == 200
        wait_for(lambda: post() != 429, "room")


def test_a_decoder_ends_when_its_client_leaves(api: httpx.Client, stream_id: str) -> None:
    clip = video(8)
    head = (
        f"POST /streams/{stream_id}/frames HTTP/1.1\r\nHost: localhost\r\n"
        f"Content-Type: video/mp4\r\nContent-Length: {len(clip)}\r\n\r\n"
    )
    own = psutil.Process()

    def list_decoders() -> list[psutil.Process]:
        return [c for c in own.children() if "service.api.video_decoder" in c.cmdline()]

    with socket.create_connection(("127.0.0.1", api.base_url.port or 0)) as leaving:
        leaving.sendall(head.encode() + clip)
        wait_for(list_decoders, "a decoder")
        list_decoders()[0].suspend()  # so it doesn't end by itself
    wait_for(lambda: not list_decoders(), "its end")
