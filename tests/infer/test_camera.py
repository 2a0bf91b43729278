"""One camera of a worker: what it logs of its life and of its scene, and what it inherits."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from model.detect.observation import Observation, Withheld
from model.scene.scene_phases import SceneChange
from service.bus.log_entries import Notes
from service.infer.camera_outbox import CameraOutbox
from service.infer.camera_pictures import CameraPictures
from service.infer.frame_sources import FrameSource, SourceFrame
from service.infer.owned_cameras import OwnedCamera
from service.infer.reel import Reel
from service.infer.reporter import build_stream_status
from service.infer.upload_source import UploadSource
from service.infer.worker_camera import Camera
from service.messages import NoteKind, StreamConfig, StreamState, StreamStatus
from tests.infer.conftest import Bus
from tests.support.servers import wait_for

CONFIG = StreamConfig(id="one", revision=1, source="rtsp://camera/1", model="small")
FRAME = SourceFrame(7, 1000.0, np.zeros((64, 64), np.uint8), False)


def _refuse_to_close(source: FrameSource) -> None:
    raise AssertionError("no source was opened")


class OneFrame(UploadSource):
    """A source that gives one frame."""

    def __init__(self, frame: SourceFrame) -> None:
        super().__init__("one", 0, lambda _: None)
        self.frame = frame

    def pop(self) -> SourceFrame | None:
        """Return that frame."""
        return self.frame


def make_camera(last_status: StreamStatus | None = None) -> Camera:
    owned = OwnedCamera(CONFIG, 3, 0, None, 1, last_status)
    outbox = CameraOutbox("one", 3)
    pictures = CameraPictures(Reel(before_s=5.0, fps=5.0), preview_every_s=1.0)
    return Camera(
        owned,
        outbox,
        worker_id="w",
        memory_rule="paper",
        snapshot_every_s=10.0,
        pictures=pictures,
        close_source=_refuse_to_close,
    )


def test_a_change_of_light_is_noted_and_its_frame_has_no_score() -> None:
    made = make_camera()
    made.put(FRAME, Observation(Withheld.CHANGED, scene=SceneChange("the lights went on")), 1000.5)
    (note,) = made.outbox.notes
    assert (note.kind, note.reason) == (NoteKind.SCENE_CHANGED, "the lights went on")
    assert (note.at, note.worker, note.epoch) == (1000.5, "w", 3)
    (sent,) = made.outbox.take(9)
    assert (sent.score.state, sent.score.score) == (StreamState.WARMING, None)


def test_a_frame_that_does_not_fit_the_scene_says_so() -> None:
    made = make_camera()
    made.put(FRAME, Observation(Withheld.UNFIT, obscured="all of it is dark"), 1000.5)
    (sent,) = made.outbox.take(9)
    assert (sent.score.state, sent.score.score) == (StreamState.OBSCURED, None)


def test_a_cut_goes_with_the_next_score_that_is_sent() -> None:
    made = make_camera()
    seen = Observation(Withheld.FEW_FRAMES)
    made.put(FRAME, seen, 1000.5)
    made.put(replace(FRAME, frame=8), seen, 1000.6)
    # The first frame of a run can't be scored: the next one says so.
    made.source.open(OneFrame(replace(FRAME, frame=9, cut=True)))
    popped = made.pop()
    assert popped is not None
    made.drop(popped)
    made.put(replace(FRAME, frame=10), seen, 1000.8)
    made.put(replace(FRAME, frame=11), seen, 1000.9)
    sent = [(out.score.frame, out.score.cut) for out in made.outbox.take(9)]
    assert sent == [(7, True), (8, False), (10, True), (11, False)]


def test_a_camera_that_nothing_has_been_done_for_says_so() -> None:
    status = build_stream_status(make_camera(), 1000.0, 0.0)
    assert (status.state, status.reason) == (StreamState.PENDING, "no worker has taken it yet")


@pytest.mark.parametrize("state", [StreamState.DOWN, StreamState.FAILED, StreamState.FROZEN])
def test_a_take_over_is_no_news_of_a_camera_that_is_away(state: StreamState) -> None:
    last = StreamStatus(state=state, reason="no answer", since=5.0, worker="v", epoch=2)
    made = make_camera(last)
    made.advance(1000.0)
    status = build_stream_status(made, 1000.0, 0.0)
    assert (status.state, status.reason, status.since) == (state, "no answer", 5.0)
    assert (status.worker, status.epoch) == ("w", 3)
    assert not made.outbox.notes


def test_a_take_over_of_a_live_camera_is_logged() -> None:
    made = make_camera(StreamStatus(state=StreamState.LIVE, since=5.0, worker="v"))
    made.advance(1000.0)
    (note,) = made.outbox.notes
    assert (note.kind, note.state, note.at) == (NoteKind.STATE, StreamState.CONNECTING, 1000.0)


def test_the_states_of_a_stream_are_noted_in_order(bus: Bus, tmp_path: Path) -> None:
    bus.add("one", source=str(tmp_path / "none.mp4"), fps=20.0)
    with bus.worker(worker_id="w"):
        bus.wait_status(
            "one", lambda status: status.state in (StreamState.DOWN, StreamState.FAILED)
        )
        bus.add("one", revision=2)
        bus.upload("one", 8)
        bus.wait_state("one", StreamState.LIVE)
        bus.add("one", revision=3, paused=True)
        last = bus.wait_state("one", StreamState.PAUSED)
        notes = Notes(bus.redis)
        wait_for(
            lambda: notes.read(["one"], 99)["one"][-1].note.state is StreamState.PAUSED, "the log"
        )
        logged = [each.note for each in notes.read(["one"], 99)["one"]]
    states = [note.state for note in logged if note.state is not StreamState.CONNECTING]
    assert states[0] in (StreamState.DOWN, StreamState.FAILED)
    assert states[1:] in (
        [StreamState.WARMING, StreamState.LIVE, StreamState.PAUSED],
        [StreamState.LIVE, StreamState.PAUSED],
    )
    assert logged[0].reason or logged[1].reason
    assert {note.worker for note in logged} == {"w"}
    assert [note.at for note in logged] == sorted(note.at for note in logged)
    assert logged[-1].at == last.since
