"""One camera of a worker: what it tells of its life and of its scene, and what it inherits."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from model.looks import SceneChange
from model.observation import Observation
from service.bus.notes import Notes
from service.infer.camera import Camera
from service.infer.outbox import Outbox
from service.infer.ownership import Owned
from service.infer.pictures import Pictures
from service.infer.reel import Reel
from service.infer.sources import FrameSource, SourceFrame
from service.messages import NoteKind, StreamConfig, StreamState, StreamStatus
from tests.infer.conftest import Bus
from tests.support.servers import wait_for

CONFIG = StreamConfig(id="one", revision=1, source="rtsp://camera/1", model="small")
FRAME = SourceFrame(7, 1000.0, np.zeros((64, 64), np.uint8), False)


def _closed(source: FrameSource) -> None:
    raise AssertionError("no source was opened")


def camera(told: StreamStatus | None = None) -> Camera:
    owned = Owned(CONFIG, 3, 0, None, 1, told)
    outbox = Outbox("one", 3)
    pictures = Pictures(Reel(before_s=5.0, fps=5.0), preview_every_s=1.0)
    return Camera(
        owned,
        outbox,
        worker_id="w",
        memory_rule="paper",
        pictures=pictures,
        close_source=_closed,
    )


def test_a_change_of_light_is_noted_and_its_frame_has_no_score() -> None:
    made = camera()
    made.put(FRAME, Observation(warming=True, scene=SceneChange("the lights went on")), 1000.5)
    (note,) = made.outbox.notes
    assert (note.kind, note.reason) == (NoteKind.SCENE_CHANGED, "the lights went on")
    assert (note.at, note.worker, note.epoch) == (1000.5, "w", 3)
    (sent,) = made.outbox.take(9)
    assert (sent.score.state, sent.score.score) == (StreamState.WARMING, None)


def test_a_frame_that_does_not_fit_the_scene_says_so() -> None:
    made = camera()
    made.put(FRAME, Observation(warming=True, obscured="all of it is dark"), 1000.5)
    (sent,) = made.outbox.take(9)
    assert (sent.score.state, sent.score.score) == (StreamState.OBSCURED, None)


@pytest.mark.parametrize("state", [StreamState.DOWN, StreamState.FAILED, StreamState.FROZEN])
def test_a_take_over_is_no_news_of_a_camera_that_is_away(state: StreamState) -> None:
    told = StreamStatus(state=state, reason="no answer", since=5.0, worker="v", epoch=2)
    made = camera(told)
    made.advance(1000.0)
    status = made.status(1000.0, 0.0)
    assert (status.state, status.reason, status.since) == (state, "no answer", 5.0)
    assert (status.worker, status.epoch) == ("w", 3)
    assert not made.outbox.notes


def test_a_live_camera_s_log_tells_of_the_take_over() -> None:
    made = camera(StreamStatus(state=StreamState.LIVE, since=5.0, worker="v"))
    made.advance(1000.0)
    (note,) = made.outbox.notes
    assert (note.kind, note.state, note.at) == (NoteKind.STATE, StreamState.CONNECTING, 1000.0)


def test_the_states_of_a_stream_are_noted_in_order(bus: Bus, tmp_path: Path) -> None:
    bus.add("one", source=str(tmp_path / "none.mp4"), fps=20.0)
    with bus.worker(worker_id="w"):
        bus.wait_status("one", lambda told: told.state in (StreamState.DOWN, StreamState.FAILED))
        bus.add("one", revision=2)
        bus.upload("one", 8)
        bus.wait_state("one", StreamState.LIVE)
        bus.add("one", revision=3, paused=True)
        last = bus.wait_state("one", StreamState.PAUSED)
        notes = Notes(bus.redis)
        wait_for(
            lambda: notes.read(["one"], 99)["one"][-1].note.state is StreamState.PAUSED, "the log"
        )
        told = [each.note for each in notes.read(["one"], 99)["one"]]
    states = [note.state for note in told if note.state is not StreamState.CONNECTING]
    assert states[0] in (StreamState.DOWN, StreamState.FAILED)
    assert states[1:] in (
        [StreamState.WARMING, StreamState.LIVE, StreamState.PAUSED],
        [StreamState.LIVE, StreamState.PAUSED],
    )
    assert told[0].reason or told[1].reason
    assert {note.worker for note in told} == {"w"}
    assert [note.at for note in told] == sorted(note.at for note in told)
    assert told[-1].at == last.since
