"""Ped2's test clips 01 and 04 through the whole service: over RTSP, and as uploads."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pytest_httpserver import HTTPServer
from standardwebhooks import Webhook
from werkzeug import Request, Response

from tests.support.footage import folder_pictures, jpeg, write_video
from tests.support.rtsp import rtsp_server
from tests.support.servers import wait_for
from tests.support.service import Service, running_service

MODEL = "ped2-judged"
ONSETS = {"01": 60, "04": 30}
FRAMES = 180
RATE = 10
BURSTS = ("01", "04", "07", "10", "13")
BURST_FRAMES = 24
MOST_LOST = 9
"""Of a live camera, on a busy machine."""
FRAMES_A_REQUEST = 20


@dataclass
class Receiver:
    """A webhook receiver that verifies each message."""

    server: HTTPServer
    secret: str = ""
    messages: list[dict[str, Any]] = field(default_factory=list)
    ids: list[str] = field(default_factory=list)

    def __call__(self, request: Request) -> Response:
        Webhook(self.secret).verify(request.get_data(), dict(request.headers))
        self.ids.append(request.headers["webhook-id"])
        self.messages.append(json.loads(request.get_data()))
        return Response(status=204)

    def of(self, stream_id: str) -> list[str]:
        """Types of the messages about a stream, in the order of their arrival."""
        return [m["type"] for m in self.messages if m["data"]["stream_id"] == stream_id]


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory, ped2: Path) -> Iterator[Service]:
    """One service for the module."""
    with running_service(
        tmp_path_factory.mktemp("data"),
        NORMWATCH_ALLOW_PRIVATE_RECEIVERS="true",
        NORMWATCH_EVENT_SILENCE_S="3",
    ) as running:
        yield running


@pytest.fixture
def receiver(service: Service, httpserver: HTTPServer) -> Receiver:
    """A registered receiver."""
    made = Receiver(httpserver)
    httpserver.expect_request("/hook", method="POST").respond_with_handler(made)
    made.secret = service.create("/webhooks", url=httpserver.url_for("/hook"))["secret"]
    return made


@pytest.mark.timeout(240)
def test_clips_played_by_a_camera_over_rtsp(
    service: Service, receiver: Receiver, ped2: Path, tmp_path: Path
) -> None:
    videos = {
        f"/{clip}": write_video(
            tmp_path / f"{clip}.mp4", folder_pictures(ped2 / "testing" / "frames" / clip), RATE
        )
        for clip in ONSETS
    }
    with rtsp_server(videos) as base:
        # One after the other: two cores hold one camera of this size in real time, not two.
        for clip, onset in ONSETS.items():
            stream = service.create(
                "/streams", name=f"camera {clip}", source=f"{base}/{clip}", model=MODEL
            )
            _wait_for_scores(service, stream["id"])
            # The server plays the clip anew for the next connection.
            service.client.patch(f"/streams/{stream['id']}", json={"paused": True})
            _check(service, receiver, stream["id"], onset, MOST_LOST)


@pytest.mark.timeout(240)
def test_clips_as_uploads(service: Service, receiver: Receiver, ped2: Path) -> None:
    streams: dict[str, str] = {}
    for clip in ONSETS:
        stream_id = service.create(
            "/streams", name=f"uploads {clip}", source="upload", model=MODEL
        )["id"]
        images = [jpeg(p) for p in folder_pictures(ped2 / "testing" / "frames" / clip)]
        for start in range(0, FRAMES, FRAMES_A_REQUEST):
            files = [
                ("file", (f"{i}.jpg", image, "image/jpeg"))
                for i, image in enumerate(images[start : start + FRAMES_A_REQUEST])
            ]
            answer = service.client.post(f"/streams/{stream_id}/frames", files=files)
            assert answer.status_code == 202, answer.text
            assert answer.json()["frames"]["first"] == start
        streams[clip] = stream_id
    for clip, stream_id in streams.items():
        _wait_for_scores(service, stream_id)
        _check(service, receiver, stream_id, ONSETS[clip])


@pytest.mark.timeout(240)
def test_bursts_of_ordinary_pictures_an_hour_apart_are_no_events(
    service: Service, ped2: Path
) -> None:
    stream_id = service.create("/streams", name="bursts", source="upload", model=MODEL)["id"]
    for hour, clip in enumerate(BURSTS):
        pictures = islice(folder_pictures(ped2 / "training" / "frames" / clip), BURST_FRAMES)
        files = [
            ("file", (f"{i}.jpg", jpeg(each), "image/jpeg")) for i, each in enumerate(pictures)
        ]
        started_at = 1_795_500_000 + 3600 * hour
        times = [str(started_at + place / RATE) for place in range(len(files))]
        answer = service.client.post(
            f"/streams/{stream_id}/frames", files=files, data={"captured_at": times}
        )
        assert answer.status_code == 202, answer.text
    count = len(BURSTS) * BURST_FRAMES
    wait_for(lambda: len(service.scores(stream_id)) >= count, "scores", 120)
    items = service.scores(stream_id)
    unscored = [item["frame"] for item in items if item["score"] is None]
    starts = range(0, count, BURST_FRAMES)
    assert set(unscored) >= {first + place for first in starts for place in range(4)}
    assert len(unscored) < count / 2
    events = service.client.get("/events", params={"stream_id": stream_id}).json()["items"]
    assert events == []


def _wait_for_scores(service: Service, stream_id: str) -> None:
    wait_for(lambda: len(service.scores(stream_id)) >= FRAMES, "scores", 120)


def _check(
    service: Service, receiver: Receiver, stream_id: str, onset: int, most_lost: int = 0
) -> None:
    wait_for(lambda: len(receiver.of(stream_id)) >= 2, "webhooks", 60)
    items = [item for item in service.scores(stream_id) if item["frame"] < FRAMES]
    lost = _count_lost(service, stream_id, [item["frame"] for item in items])
    assert lost <= most_lost
    frames = np.array([item["frame"] for item in items])
    scores = np.array([np.nan if item["score"] is None else item["score"] for item in items])
    assert np.isnan(scores[:4]).all()
    assert np.isnan(scores[4:]).sum() <= 4 * lost
    before, after = (frames >= 4) & (frames < onset), frames >= onset + 20
    assert np.nanmedian(scores[after]) > 1.5 * np.nanmedian(scores[before])
    assert receiver.of(stream_id) == ["event.started", "event.ended"]
    assert len(set(receiver.ids)) == len(receiver.ids)
    events = service.client.get("/events", params={"stream_id": stream_id}).json()["items"]
    assert len(events) == 1
    # The onset is where the label begins: a wheel at the picture's edge.
    assert onset - 2 <= events[0]["first_frame"] <= onset + 60


def _count_lost(service: Service, stream_id: str, frames: list[int]) -> int:
    """Frames without a score; each must be counted as dropped."""
    assert frames == sorted(set(frames))
    lost = FRAMES - len(frames)
    dropped = service.client.get(f"/streams/{stream_id}").json()["status"]["dropped"]
    assert lost <= sum(dropped.values()), dropped
    return lost
