"""The whole way: a drawn camera, a worker, a front end, and a clip that is asked for by HTTP."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import cv2
import httpx
import numpy as np
import pytest
import torch
from redis import Redis
from sqlalchemy import update

from service.bus.connection import connect
from service.infer.worker import Worker
from service.media.clip import read_clip_length
from service.settings import Settings
from service.store.database import Database
from service.store.tables import EventMediaRow
from tests.media.shots import play_clip
from tests.support.cameras import numbered_picture
from tests.support.footage import Picture, drawn_picture, write_video
from tests.support.front_end import client, make_settings
from tests.support.servers import RedisServer, wait_for

FPS = 10
NEVER, ALWAYS = 1.0, 0.0


@pytest.fixture
def settings(
    tmp_path: Path, valkey_server: RedisServer, redis: Redis, models_dir: Path
) -> Settings:
    """A front end and a worker with short clips."""
    redis.ping()
    return make_settings(
        tmp_path / "data",
        valkey_server.url,
        models_dir,
        media_dirs=(tmp_path,),
        # A busy machine loses no frame.
        max_frame_age_s=600.0,
        capture_ring_frames=1000,
        torch_threads=1,
        event_quiet_s=0.2,
        event_silence_s=2.0,
        clip_before_s=1.0,
        clip_after_s=1.0,
        clip_max_s=10.0,
        clip_fps=float(FPS),
    )


def _drawn_camera(path: Path, frames: int) -> Path:
    """A still scene, with a stripe that tells each picture's number."""

    def picture(number: int) -> Picture:
        made = drawn_picture(0)
        made[44:52] = numbered_picture(number)[44:52]
        return made

    return write_video(path, (picture(number) for number in range(frames)), FPS)


@contextmanager
def _worker(settings: Settings) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    redis, stop = connect(str(settings.redis_url)), threading.Event()
    thread = threading.Thread(target=Worker(settings, redis).run, args=(stop,))
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join(30)
        assert not thread.is_alive()
        redis.close()
        torch.set_num_threads(before)


def _created(api: httpx.Client, source: str, threshold: float) -> str:
    body = {"name": "yard", "source": source, "model": "small", "fps": FPS}
    answer = api.post("/streams", json=body | {"threshold": threshold})
    assert answer.status_code == 201, answer.text
    return str(answer.json()["id"])


def _event(api: httpx.Client, stream_id: str) -> dict[str, Any] | None:
    items = api.get("/events", params={"stream_id": stream_id}).json()["items"]
    found: dict[str, Any] | None = items[0] if items else None
    return found


def _with(api: httpx.Client, stream_id: str, *media: str) -> dict[str, Any]:
    """The stream's event, once there is this of it."""

    def is_there() -> bool:
        event = _event(api, stream_id)
        return event is not None and {*media} <= {*event["media"]}

    wait_for(is_there, f"{media}", 30)
    event = _event(api, stream_id)
    assert event is not None
    return event


def _set_threshold(api: httpx.Client, stream_id: str, threshold: float) -> None:
    answer = api.patch(f"/streams/{stream_id}", json={"threshold": threshold})
    assert answer.status_code == 200, answer.text


def _scored(api: httpx.Client, stream_id: str) -> int:
    status = api.get(f"/streams/{stream_id}").json()["status"]
    return int(status["scored"]) if status else 0


def test_events_can_be_looked_at(settings: Settings, tmp_path: Path) -> None:
    video = _drawn_camera(tmp_path / "camera.mp4", 250)
    with client(settings) as api, _worker(settings):
        uploads = _created(api, "upload", ALWAYS)
        _upload(api, uploads, _drawn_camera(tmp_path / "upload.mp4", 60))
        camera = _created(api, str(video), NEVER)
        wait_for(lambda: _scored(api, camera) >= 20, "some quiet seconds", 30)
        _set_threshold(api, camera, ALWAYS)
        event = _with(api, camera)
        assert api.get(f"/events/{event['id']}/clip.mp4").status_code == 404
        _with(api, camera, "peak", "heat")
        _set_threshold(api, camera, NEVER)
        event = _with(api, camera, "clip")
        assert event["media"] == ["peak", "heat", "clip"]
        _check_clip(api, event, tmp_path)
        _check_peak(api, event)
        uploaded = _with(api, uploads, "clip")
        (tmp_path / "uploaded.mp4").write_bytes(
            api.get(f"/events/{uploaded['id']}/clip.mp4").content
        )
        numbers, _ = play_clip(tmp_path / "uploaded.mp4")
        assert numbers == sorted(set(numbers)) and len(numbers) > 20
        _check_elsewhere(api, settings, event)
        text = api.get("/metrics").text
        assert 'normwatch_event_media_total{kind="clip",outcome="written"} 2.0' in text


def _upload(api: httpx.Client, stream_id: str, video: Path) -> None:
    """A recording, which has times of its own."""
    headers = {"Content-Type": "video/mp4"}
    answer = api.post(f"/streams/{stream_id}/frames", content=video.read_bytes(), headers=headers)
    assert answer.status_code == 202, answer.text


def _check_clip(api: httpx.Client, event: dict[str, Any], folder: Path) -> None:
    """It shows the frames before and after the event's start, and comes in ranges."""
    path = f"/events/{event['id']}/clip.mp4"
    whole = api.get(path)
    assert (whole.status_code, whole.headers["content-type"]) == (200, "video/mp4")
    assert whole.headers["accept-ranges"] == "bytes"
    assert whole.headers["cache-control"] == "private, no-cache"
    assert {"etag", "last-modified"} <= {*whole.headers}
    (folder / "clip.mp4").write_bytes(whole.content)
    numbers, times = play_clip(folder / "clip.mp4")
    first, last = event["first_frame"], event["last_frame"]
    assert first - FPS <= numbers[0] < first - FPS // 2
    assert last + FPS // 2 < numbers[-1] <= last + FPS + 1
    # While it is unusual all of the camera's pictures are there: training takes such clips.
    assert numbers == sorted(set(numbers))
    during = [number for number in numbers if first + 3 <= number <= last]
    assert during == list(range(first + 3, last + 1))
    before = [number for number in numbers if number < first - 3]
    assert 0 < len(before) < 0.7 * (first - 3 - numbers[0])
    assert times[-1] == pytest.approx((numbers[-1] - numbers[0]) / FPS, abs=1.0)
    length = read_clip_length(folder / "clip.mp4")
    assert length is not None
    lasts_s = [(frame - numbers[0]) / FPS for frame in (first, last)]
    assert length.event_s == pytest.approx(lasts_s, abs=0.5)
    assert length.fps == pytest.approx(FPS, rel=0.2)
    again = api.get(path, headers={"If-None-Match": whole.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    assert api.get(path, headers={"If-None-Match": '"other"'}).status_code == 200
    part = api.get(path, headers={"Range": "bytes=10-29"})
    assert part.status_code == 206
    assert part.content == whole.content[10:30]
    assert part.headers["content-range"] == f"bytes 10-29/{len(whole.content)}"
    wrong = api.get(path, headers={"Range": f"bytes={len(whole.content)}-"})
    assert wrong.status_code == 416


def _check_peak(api: httpx.Client, event: dict[str, Any]) -> None:
    path = f"/events/{event['id']}/peak.jpg"
    plain, heated = api.get(path), api.get(path, params={"heat": True})
    assert plain.headers["content-type"] == heated.headers["content-type"] == "image/jpeg"
    assert plain.content != heated.content
    for answer in (plain, heated):
        picture = cv2.imdecode(np.frombuffer(answer.content, np.uint8), cv2.IMREAD_COLOR)
        assert picture is not None and picture.shape == (96, 96, 3)


def _check_elsewhere(api: httpx.Client, settings: Settings, event: dict[str, Any]) -> None:
    """What another machine recorded, or a hand has deleted, is said to be elsewhere."""
    database = Database(settings.database)
    with database.write() as session:
        session.execute(update(EventMediaRow).values(shelf="another"))
    database.close()
    answer = api.get(f"/events/{event['id']}/clip.mp4")
    assert answer.status_code == 404
    assert "not on this machine" in answer.json()["error"]["message"]


@pytest.mark.parametrize("name", ["clip.mp4", "peak.jpg"])
def test_what_is_not_there_is_said_so(settings: Settings, name: str) -> None:
    with client(settings) as api:
        for ident in ("evt_none", "..%2F..%2Fnormwatch.db", "a" * 99):
            answer = api.get(f"/events/{ident}/{name}")
            assert answer.status_code == 404
            assert answer.json()["error"]["code"] == "not_found"
