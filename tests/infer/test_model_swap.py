"""A running stream gets another model: no frame is missed, and none is scored twice."""

from __future__ import annotations

import os
import shutil
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from redis import Redis

from model.bundles.bundle import load, save
from model.bundles.catalog import DOCUMENT, WEIGHTS, BundleError
from model.detect.detector import Detector
from model.frames import Frame, FrameShape, fit
from model.scene.features import extract
from service import keys
from service.bus.log_entries import Notes
from service.infer.model_pool import ModelPool
from service.infer.snapshots import Snapshot, compute_identity
from service.messages import FrameScore, NoteKind, StreamState, StreamStatus
from tests.infer.conftest import Bus
from tests.infer.fleet import worker_process
from tests.support.bundles import SMALL, save_small_bundle, small_bundle
from tests.support.footage import draw_clip, drawn_picture, write_video
from tests.support.rtsp import rtsp_server
from tests.support.servers import wait_for

SMALL_AT, OTHER_AT, WIDE_AT = 0.5, 0.6, 0.7
"""The models' thresholds: a score's says which model gave it."""
LOADING = "model 'other' is loading; 'small' goes on meanwhile"
PICTURES = 400


@pytest.fixture
def bus(redis: Redis, valkey_server: object, tmp_path: Path) -> Bus:
    """An empty bus, with three models: `other` differs in weights, `wide` in shape."""
    folder = tmp_path / "models"
    save_small_bundle(folder)
    save(small_bundle("other", threshold=OTHER_AT, seed=1), folder / "other")
    wide = replace(SMALL, height=96, width=96)
    save(small_bundle("wide", wide, threshold=WIDE_AT), folder / "wide")
    return Bus(redis, getattr(valkey_server, "url", ""), folder)


class HeldModel:
    """A bundle whose weights can't be read to the end before they are released."""

    def __init__(self, path: Path) -> None:
        self.path = path / WEIGHTS
        self._weights = self.path.read_bytes()
        self.path.unlink()
        os.mkfifo(self.path)

    def release(self) -> None:
        """Let whoever reads them go on."""
        self.path.write_bytes(self._weights)
        self.restore()

    def restore(self) -> None:
        """Put the file in its place."""
        self.path.unlink()
        self.path.write_bytes(self._weights)


def draw_folder(folder: Path) -> str:
    """Draw a folder of pictures, enough for a slow machine; returns it as a source."""
    draw_clip(folder / "pictures", 0, PICTURES)
    return str(folder / "pictures")


def drawn_frame(step: int) -> Frame:
    """Return the frame that a worker makes of a picture of `draw_folder`."""
    picture = cv2.cvtColor(drawn_picture(step), cv2.COLOR_BGR2GRAY)
    return fit(np.asarray(picture, np.uint8), FrameShape(SMALL.height, SMALL.width, 1))


def list_thresholds(scores: list[FrameScore]) -> list[float]:
    """List the thresholds of the scores that have one, without repetitions."""
    found = [score.threshold for score in scores if score.threshold is not None]
    return [each for i, each in enumerate(found) if i == 0 or found[i - 1] != each]


def wait_scored_by(bus: Bus, threshold: float, count: int) -> list[FrameScore]:
    """Wait for so many scores of the model with this threshold; returns all scores."""

    def is_enough() -> bool:
        return sum(s.threshold == threshold for s in bus.read_published("one")) >= count

    wait_for(is_enough, f"{count} scores of the model with threshold {threshold}", 60)
    return bus.read_published("one")


def read_model_notes(bus: Bus) -> list[str]:
    notes = Notes(bus.redis).read(["one"], 99).get("one", ())
    return [each.note.reason for each in notes if each.note.kind is NoteKind.MODEL_CHANGED]


def is_replaced(status: StreamStatus) -> bool:
    return status.model == "other" and status.reason == ""


def test_the_old_model_goes_on_until_the_next_is_loaded(bus: Bus, tmp_path: Path) -> None:
    source = draw_folder(tmp_path)
    held = HeldModel(bus.models_dir / "other")
    bus.add("one", source=source, fps=20.0)
    with bus.worker():
        bus.wait_scores("one", 10)
        bus.add("one", source=source, fps=20.0, model="other", threshold=None, revision=2)
        status = bus.wait_status("one", lambda status: status.reason == LOADING)
        assert (status.state, status.model) == (StreamState.LIVE, "small")
        bus.wait_scores("one", len(bus.read_published("one")) + 8)
        held.release()
        scores = wait_scored_by(bus, OTHER_AT, 12)
        status = bus.wait_status("one", is_replaced)
        wait_for(lambda: read_model_notes(bus), "the log")
        notes = read_model_notes(bus)
    assert [score.frame for score in scores] == list(range(len(scores)))
    assert all(score.state is StreamState.LIVE for score in scores[4:]), "none without a score"
    assert sum(score.cut for score in scores) == 1
    assert list_thresholds(scores) == [SMALL_AT, OTHER_AT]
    assert notes == ["model 'other' scores from now on, 'small' did before"]
    assert (status.reconnects, status.dropped) == (0, {})
    # Its first scores are those of a new camera that has seen the last frames.
    first = next(score.frame for score in scores if score.threshold == OTHER_AT)
    detector = Detector(load(bus.models_dir / "other"))
    camera = detector.start()
    for number in range(first - 4, first):
        frame = drawn_frame(number)
        camera.append_unscored(frame, extract(frame, scores[number].captured_at))
    for score in scores[first : first + 12]:
        frame = drawn_frame(score.frame)
        (seen,) = detector.observe([camera], [frame], features=[extract(frame, score.captured_at)])
        assert score.score == pytest.approx(seen.score, rel=1e-5)


def test_a_live_camera_stays_connected_unless_the_frames_differ(bus: Bus, tmp_path: Path) -> None:
    video = write_video(tmp_path / "one.mp4", map(drawn_picture, range(1200)), fps=20)
    videos = {"/one": video}
    with rtsp_server(videos) as base, bus.worker():
        source = f"{base}/one"
        bus.add("one", source=source, fps=20.0)
        wait_scored_by(bus, SMALL_AT, 10)
        bus.add("one", source=source, fps=20.0, model="other", revision=2)
        wait_scored_by(bus, OTHER_AT, 10)
        status = bus.wait_status("one", is_replaced)
        assert (status.reconnects, status.dropped) == (0, {})
        scores = bus.read_published("one")
        assert [score.frame for score in scores] == list(range(len(scores)))
        assert all(score.score is not None for score in scores[4:])
        bus.add("one", source=source, fps=20.0, model="wide", revision=3)
        wait_scored_by(bus, WIDE_AT, 5)
        # And back, as if the new one were no good.
        bus.add("one", source=source, fps=20.0, model="other", revision=4)
        wait_for(lambda: len(read_model_notes(bus)) == 3, "the changes' log")
        notes = read_model_notes(bus)
        wait_for(lambda: list_thresholds(bus.read_published("one"))[3:], "scores after the last")
        scores = bus.read_published("one")
    frames = [score.frame for score in scores]
    assert frames == sorted(set(frames))
    assert list_thresholds(scores) == [SMALL_AT, OTHER_AT, WIDE_AT, OTHER_AT]
    assert "opened again" not in notes[0]
    assert notes[1].endswith("the source is opened again, because it takes frames of another shape")


def test_what_is_uploaded_after_a_change_is_scored_by_the_new_model(bus: Bus) -> None:
    held = HeldModel(bus.models_dir / "other")
    bus.add("one")
    with bus.worker():
        bus.upload("one", 10)
        bus.wait_scores("one", 10)
        bus.add("one", model="other", revision=2)
        bus.wait_status("one", lambda status: status.reason == LOADING)
        bus.upload("one", 10, 10)
        held.release()
        scores = bus.wait_scores("one", 20)
    assert [score.frame for score in scores] == list(range(20))
    assert {score.threshold for score in scores[4:10]} == {SMALL_AT}
    assert {score.threshold for score in scores[10:]} == {OTHER_AT}


def test_a_model_that_cannot_be_loaded_leaves_the_old_one_at_work(bus: Bus) -> None:
    bus.add("one", gamma=0.3)
    with bus.worker():
        bus.upload("one", 8)
        bus.wait_scores("one", 8)
        bus.add("one", model="none", threshold=0.9, revision=2)
        status = bus.wait_status("one", lambda status: "no bundle 'none'" in status.reason)
        assert (status.state, status.model) == (StreamState.LIVE, "small")
        assert status.reason.endswith("; 'small' goes on")
        # Another setting may change meanwhile.
        bus.add("one", model="none", threshold=0.9, weight=2.0, revision=3)
        bus.wait_status("one", lambda status: status.weight == 2.0)
        bus.upload("one", 4, 8)
        bus.wait_scores("one", 12)
        wait_for(lambda: read_model_notes(bus), "the log")
        assert all("no bundle 'none'" in each for each in read_model_notes(bus))
        bus.add("one", model="other", revision=4)
        bus.wait_status("one", is_replaced)
        bus.upload("one", 4, 12)
        scores = bus.wait_scores("one", 16)
    assert {score.threshold for score in scores[4:12]} == {SMALL_AT}, "not the new model's 0.9"
    assert {score.threshold for score in scores[12:]} == {OTHER_AT}


def test_a_worker_killed_between_two_models_leaves_neither_to_the_other(
    bus: Bus, tmp_path: Path
) -> None:
    source = draw_folder(tmp_path)
    weights = {name: load_weights(bus, name) for name in ("small", "other")}

    def read_identity() -> str | None:
        data = bus.redis.get(keys.snapshot("one"))
        return Snapshot.unpack(data).identity if data else None

    held = HeldModel(bus.models_dir / "other")
    bus.add("one", source=source, fps=20.0, loop=True)
    with worker_process(bus) as first:
        bus.wait_scores("one", 10)
        bus.add("one", source=source, fps=20.0, loop=True, model="other", revision=2)
        bus.wait_status("one", lambda status: status.reason == LOADING)
        before = compute_identity(source, weights["small"])
        wait_for(lambda: read_identity() == before, "a snapshot of the old model")
        first.kill()
        first.wait()
    held.restore()
    with bus.worker() as second:
        scores = wait_scored_by(bus, OTHER_AT, 10)
        assert bus.wait_status("one", is_replaced).worker == second.id
        after = compute_identity(source, weights["other"])
        wait_for(lambda: read_identity() == after, "a snapshot of the new model")
    frames = [score.frame for score in scores]
    assert frames == sorted(set(frames))
    assert list_thresholds(scores) == [SMALL_AT, OTHER_AT]


def load_weights(bus: Bus, name: str) -> str:
    """Return the checksum of a model's weights."""
    pool = ModelPool([bus.models_dir], "cpu", engine="torch-fp32")
    wait_for(lambda: pool.get(name) is not None, "the model")
    model = pool.get(name)
    pool.close()
    assert model is not None
    return model.weights


def test_a_bundle_that_is_replaced_while_it_is_read_is_refused(bus: Bus) -> None:
    other = bus.models_dir / "other"
    held = HeldModel(other)
    pool = ModelPool([bus.models_dir], "cpu", engine="torch-fp32")
    assert pool.get("other") is None
    descriptor = os.open(held.path, os.O_WRONLY)  # once the loader has opened it, too
    # The same weights, calibrated in another way.
    save(small_bundle("other", threshold=0.99, seed=1), other.parent / "new")
    shutil.copy(other.parent / "new" / DOCUMENT, other / DOCUMENT)
    with os.fdopen(descriptor, "wb") as pipe:
        pipe.write((other.parent / "new" / WEIGHTS).read_bytes())

    def is_refused() -> bool:
        try:
            return pool.get("other") is not None
        except BundleError as error:
            return "replaced while it was read" in str(error)

    wait_for(is_refused, "the refusal")
    with pytest.raises(BundleError, match="replaced"):
        pool.get("other")
    pool.close()


def test_a_model_that_does_not_know_the_camera_is_replaced_and_forgotten(bus: Bus) -> None:
    bus.add("one", threshold=0.0)
    with bus.worker():
        bus.upload("one", 130)
        bus.wait_state("one", StreamState.MISFIT)
        bus.add("one", model="other", revision=2)
        bus.wait_status("one", lambda status: status.model == "other")
        bus.upload("one", 4, 130)
        scores = bus.wait_scores("one", 134)
        bus.wait_state("one", StreamState.LIVE)
    assert {score.state for score in scores[130:]} == {StreamState.LIVE}
