"""A worker on a real Redis: uploads become scores, cameras don't disturb each other."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from pydantic import ValidationError

from model.bundles.bundle import load, save
from model.bundles.calibration_config import Calibration
from model.bundles.catalog import read_document
from model.detect.detector import Detector
from model.frames import fit
from model.scene.features import extract
from model.stages import Stage
from service import keys
from service.bus.uploads import Picture
from service.infer.snapshots import Snapshot, compute_identity
from service.messages import DropReason, StreamState
from service.settings import Settings
from tests.infer.conftest import Bus, stack_measures
from tests.support.bundles import save_small_bundle, small_bundle
from tests.support.cameras import numbered_folder, numbered_video
from tests.support.footage import drawn_picture, jpeg
from tests.support.rtsp import rtsp_server
from tests.support.servers import wait_for


def test_uploads_are_scored_once_in_order_and_vanish(bus: Bus) -> None:
    bus.add("one")
    bus.upload("one", 20)
    with bus.worker():
        scores = bus.wait_scores("one", 20)
        bus.wait_state("one", StreamState.LIVE)
        status = bus.wait_status("one", lambda status: status.scored == 20)
        wait_for(lambda: bus.registry.preview("one"), "a preview")
        preview = bus.registry.preview("one")
    assert [score.frame for score in scores] == list(range(20))
    assert [score.captured_at for score in scores] == [1000.0 + i for i in range(20)]
    assert [score.state for score in scores[:5]] == [StreamState.WARMING] * 4 + [StreamState.LIVE]
    assert all(score.score is None for score in scores[:4])
    assert all(score.score is not None and score.threshold == 0.5 for score in scores[4:])
    assert bus.redis.xlen(keys.uploads("one")) == 0
    assert bus.redis.get(keys.upload_bytes("one")) in (None, b"0")
    assert (status.captured, status.dropped) == (20, {})
    assert preview is not None
    picture = cv2.imdecode(np.frombuffer(preview.jpeg, np.uint8), cv2.IMREAD_COLOR)
    assert picture is not None and picture.shape == (96, 96, 3)


def test_the_worker_gives_what_the_detector_gives(bus: Bus, models_dir: Path) -> None:
    bus.add("one")
    bus.upload("one", 12)
    with bus.worker():
        scores = bus.wait_scores("one", 12)
    bundle = load(models_dir / "small")
    detector = Detector(bundle)
    camera = detector.start()
    for score, step in zip(scores, range(12), strict=True):
        image = np.frombuffer(jpeg(drawn_picture(step)), np.uint8)
        picture = np.asarray(cv2.imdecode(image, cv2.IMREAD_COLOR), np.uint8)
        frame = fit(picture, bundle.frame_shape)
        (seen,) = detector.observe([camera], [frame], features=[extract(frame, 1000.0 + step)])
        if seen.warming:
            assert score.score is None
        else:
            assert score.score == pytest.approx(seen.score, rel=1e-5)
            assert score.psnr == pytest.approx(seen.psnr, rel=1e-5)
            assert score.memory_updated == seen.memory_updated


def test_four_cameras_at_once_give_what_each_gives_alone(bus: Bus) -> None:
    cameras = {"a": 0, "b": 7, "c": 100, "d": 31}
    alone = {}
    for name, start in cameras.items():
        bus.add(f"alone-{name}")
        bus.upload(f"alone-{name}", 15, start)
        with bus.worker():
            alone[name] = stack_measures(bus.wait_scores(f"alone-{name}", 15))
        bus.registry.remove(f"alone-{name}")
    for name, start in cameras.items():
        bus.add(name)
        bus.upload(name, 15, start)
    with bus.worker() as worker:
        for name in cameras:
            together = stack_measures(bus.wait_scores(name, 15))
            np.testing.assert_allclose(together, alone[name], rtol=1e-5, atol=1e-7)
        beats = bus.registry.workers(time.time())
        wait_for(lambda: any(w.batches for w in bus.registry.workers(time.time())), "the heartbeat")
    assert [beat.id for beat in beats] == [worker.id]
    assert not np.allclose(alone["a"][4:], alone["c"][4:], rtol=1e-3)


def test_an_unreadable_upload_is_dropped_and_counted(bus: Bus) -> None:
    bus.add("one")
    good = jpeg(drawn_picture(0))
    pictures = [Picture(1.0, good), Picture(2.0, b"no picture"), Picture(3.0, good)]
    bus.uploads.enqueue("one", pictures, first_frame=5, max_frames=9, max_bytes=10**9)
    with bus.worker():
        scores = bus.wait_scores("one", 2)
        wait_for(lambda: bus.redis.xlen(keys.uploads("one")) == 0, "the empty queue")
        bus.wait_status("one", lambda status: status.dropped == {DropReason.UNREADABLE: 1})
    assert [score.frame for score in scores] == [5, 7]


def test_a_cut_in_uploads_warms_up_again(bus: Bus) -> None:
    bus.add("one")
    images = [jpeg(drawn_picture(step)) for step in range(12)]
    pictures = [Picture(float(i), image, cut=i == 6) for i, image in enumerate(images)]
    bus.uploads.enqueue("one", pictures, first_frame=0, max_frames=99, max_bytes=10**9)
    with bus.worker():
        scores = bus.wait_scores("one", 12)
    warming = [score.frame for score in scores if score.state is StreamState.WARMING]
    assert warming == [0, 1, 2, 3, 6, 7, 8, 9]


def test_uploads_of_another_time_begin_a_new_run(bus: Bus) -> None:
    bus.add("one")
    images = [jpeg(drawn_picture(step)) for step in range(18)]
    times = [3600.0 * (step // 6) + 0.1 * step for step in range(18)]
    pictures = [Picture(at, image) for at, image in zip(times, images, strict=True)]
    bus.uploads.enqueue("one", pictures, first_frame=0, max_frames=99, max_bytes=10**9)
    with bus.worker():
        scores = bus.wait_scores("one", 18)
    assert [score.frame for score in scores if score.cut] == [0, 6, 12]
    warming = [score.frame for score in scores if score.state is StreamState.WARMING]
    assert warming == [0, 1, 2, 3, 6, 7, 8, 9, 12, 13, 14, 15]


def test_the_next_owner_begins_a_new_run_with_what_it_finds(bus: Bus) -> None:
    bus.add("one")
    bus.upload("one", 6)
    with bus.worker():
        bus.wait_scores("one", 6)
    bus.upload("one", 6, 6)
    with bus.worker():
        scores = bus.wait_scores("one", 12)
    assert [score.frame for score in scores if score.cut] == [0, 6]
    assert [score.frame for score in scores if score.score is None] == [0, 1, 2, 3, 6, 7, 8, 9]


def test_numbers_go_on_where_the_database_is(bus: Bus, tmp_path: Path) -> None:
    folder = numbered_folder(tmp_path / "pictures", 6)
    bus.add("one", source=str(folder), fps=50.0, last_frame=41)
    with bus.worker():
        scores = bus.wait_scores("one", 6)
        bus.wait_state("one", StreamState.ENDED)
    assert [score.frame for score in scores] == list(range(42, 48))
    with bus.worker():
        bus.wait_state("one", StreamState.ENDED)
        assert len(bus.read_published("one")) == 6


def test_a_broken_model_fails_and_others_live(bus: Bus, models_dir: Path) -> None:
    bus.add("bad", model="none")
    bus.add("good")
    bus.upload("good", 6)
    with bus.worker():
        status = bus.wait_state("bad", StreamState.FAILED)
        assert "no bundle 'none'" in status.reason
        bus.wait_scores("good", 6)
        bus.add("bad", model="small", revision=2)
        bus.upload("bad", 6)
        bus.wait_scores("bad", 6)
        assert bus.wait_state("bad", StreamState.LIVE).reason == ""


def test_a_stream_without_scores_says_what_is_missing(bus: Bus, tmp_path: Path) -> None:
    bus.add("one")
    bus.add("never", model="rangeless")
    save_small_bundle(tmp_path)
    rangeless = replace(small_bundle("rangeless"), calibration=Calibration())
    save(rangeless, tmp_path / "rangeless")
    with bus.worker(models_dir=tmp_path):
        reason = bus.wait_state("one", StreamState.WARMING).reason
        assert reason == "0 of 4 frames seen before the next score"
        bus.upload("one", 3)
        reason = "3 of 4 frames seen before the next score"
        bus.wait_status("one", lambda status: status.reason == reason)
        bus.upload("one", 2, 3)
        assert bus.wait_state("one", StreamState.LIVE).reason == ""
        bus.upload("never", 6)
        bus.wait_scores("never", 6)
        last = bus.wait_status("never", lambda status: "normal range" in status.reason)
        assert (last.state, last.scored) == (StreamState.WARMING, 6)
        bus.add("one", revision=2, paused=True)
        assert "paused" in bus.wait_state("one", StreamState.PAUSED).reason


def test_a_paused_camera_waits_and_keeps_its_memory(bus: Bus) -> None:
    bus.add("one")
    with bus.worker():
        bus.upload("one", 6)
        bus.wait_scores("one", 6)
        bus.add("one", paused=True, revision=2)
        bus.wait_state("one", StreamState.PAUSED)
        bus.upload("one", 6, 6)
        wait_for(lambda: bus.redis.get(keys.snapshot("one")), "a snapshot")
        assert len(bus.read_published("one")) == 6
        bus.add("one", revision=3)
        scores = bus.wait_scores("one", 12)
    assert [score.frame for score in scores] == list(range(12))
    warming = [score.frame for score in scores if score.state is StreamState.WARMING]
    assert warming == [0, 1, 2, 3, 6, 7, 8, 9]


def test_thresholds_and_gamma_change_while_it_runs(bus: Bus) -> None:
    bus.add("one")
    with bus.worker():
        bus.upload("one", 8)
        before = bus.wait_scores("one", 8)[-1]
        bus.add("one", threshold=0.125, gamma=0.0, revision=2)
        wait_for(lambda: _has_applied(bus, "one"), "the new threshold")
        after = bus.read_published("one")[-1]
        previous = bus.read_published("one")[8]
    assert (before.threshold, before.memory_updated) == (0.5, True)
    assert (after.threshold, after.memory_updated) == (0.125, False)
    assert previous.state is StreamState.LIVE


def test_a_cameras_memory_learns_by_the_worker_s_rule_or_its_own(bus: Bus) -> None:
    trained = load(bus.models_dir / "small").items
    bus.add("default")
    bus.add("own", memory_rule="paper")
    bus.add("frozen", memory_rule="frozen")
    names = ("default", "own", "frozen")
    with bus.worker():
        for name in names:
            bus.upload(name, 12)
        last = {name: bus.wait_scores(name, 12)[-1] for name in names}
    assert [last[name].memory_updated for name in names] == [True, True, False]
    detector = Detector(load(bus.models_dir / "small"))
    moved: dict[str, float] = {}
    for name in names:
        snapshot = bus.redis.get(keys.snapshot(name))
        assert snapshot is not None
        items = detector.restore(Snapshot.unpack(snapshot).state).items
        moved[name] = float((items - trained).norm(dim=-1).max())
    assert moved["frozen"] == 0.0 < moved["default"] < 0.1 < moved["own"]


def test_an_unknown_rule_for_all_cameras_is_refused_at_start() -> None:
    with pytest.raises(ValidationError, match=r"(?s)memory_rule.*must be one of paper.*'fast'"):
        Settings(memory_rule="fast")


def test_a_rule_that_the_worker_does_not_know_fails_one_camera(bus: Bus) -> None:
    bus.add("one", memory_rule="of tomorrow")
    with bus.worker():
        status = bus.wait_state("one", StreamState.FAILED)
        assert "memory_rule" in status.reason and "'of tomorrow'" in status.reason
        bus.add("one", memory_rule="held", revision=2)
        bus.upload("one", 6)
        bus.wait_scores("one", 6)


def _has_applied(bus: Bus, stream_id: str) -> bool:
    done = len(bus.read_published(stream_id))
    bus.upload(stream_id, 1, done)
    bus.wait_scores(stream_id, done + 1)
    return bus.read_published(stream_id)[-1].threshold == 0.125


def test_one_bad_camera_does_not_stop_its_batch(bus: Bus) -> None:
    model = bus.models_dir / "small"
    detector = Detector(load(model))
    state = detector.start()
    # Finite, but the network's arithmetic overflows with them.
    state.items = torch.full_like(state.items, 3e38)
    owner = compute_identity("upload", read_document(model).weights_sha256)
    bus.redis.set(keys.snapshot("bad"), Snapshot(owner, state.save()).pack())
    for name in ("bad", "good"):
        bus.add(name)
        bus.upload(name, 12)
    with bus.worker():
        good = bus.wait_scores("good", 12)
        status = bus.wait_status("bad", lambda status: status.dropped == {DropReason.FAULT: 8})
        wait_for(lambda: bus.redis.xlen(keys.uploads("bad")) == 0, "the empty queue")
    assert all(score.score is not None for score in good[4:])
    assert [score.frame for score in bus.read_published("bad")] == [0, 1, 2, 3]
    assert status.captured == 12


def test_a_deleted_camera_is_left_at_once(bus: Bus) -> None:
    bus.add("one")
    bus.upload("one", 4)
    with bus.worker():
        bus.wait_scores("one", 4)
        bus.registry.remove("one")
        wait_for(lambda: bus.registry.workers(time.time())[0].streams == 0, "the end")
        wait_for(lambda: not bus.redis.exists(keys.lease("one")), "the end of its lease")
        assert bus.redis.ttl(keys.epoch("one")) != -1, "gone, or soon"


def test_a_file_is_captured_scored_and_displayed(bus: Bus, tmp_path: Path) -> None:
    video = numbered_video(tmp_path / "one.mp4", 20, fps=20)
    bus.add("one", source=str(video), fps=20.0)
    with bus.worker():
        scores = bus.wait_scores("one", 20)
        status = bus.wait_status("one", lambda status: status.scored == 20)
        assert bus.wait_state("one", StreamState.ENDED).reconnects == 0
        preview = bus.registry.preview("one")
    assert [score.frame for score in scores] == list(range(20))
    assert status.captured == status.scored == 20
    assert status.frame_age_s is not None and status.frame_age_s >= 0
    assert preview is not None
    gaps = np.diff([score.captured_at for score in scores])
    np.testing.assert_allclose(gaps[:4], 0.05, atol=1e-3)


def test_rtsp_cameras_are_scored_frame_by_frame_and_come_back(bus: Bus, tmp_path: Path) -> None:
    videos = {f"/{name}": numbered_video(tmp_path / f"{name}.mp4", 25) for name in ("a", "b")}
    with rtsp_server(videos) as base, bus.worker():
        for name in ("a", "b"):
            bus.add(name, source=f"{base}/{name}")
        for name in ("a", "b"):
            # The server ends after 25 frames, and plays again from the start at each connection.
            scores = bus.wait_scores(name, 32)
            assert [score.frame for score in scores[:32]] == list(range(32))
            warming = [s.frame for s in scores[:32] if s.state is StreamState.WARMING]
            assert warming == [0, 1, 2, 3, 25, 26, 27, 28]
            assert bus.wait_status(name, lambda status: status.reconnects > 0).dropped == {}


def test_a_heartbeat_holds_all_cpu_time_by_stage(bus: Bus) -> None:
    bus.add("one")
    bus.upload("one", 20)
    with bus.worker():
        bus.wait_scores("one", 20)

        def read_cpu_s() -> dict[str, float]:
            workers = bus.registry.workers(time.time())
            return workers[0].cpu_s if workers else {}

        wait_for(lambda: read_cpu_s().get(Stage.CLIPS, 0.0) > 0.0, "a heartbeat after scores")
        first = read_cpu_s()
        stages = {Stage.NETWORK, Stage.SCENE, Stage.SCORING, Stage.SENDING, Stage.LOOP}
        assert stages | {Stage.READING, Stage.REST} <= {Stage(name) for name in first}
        wait_for(lambda: read_cpu_s() != first, "another heartbeat")
        later = read_cpu_s()
    assert all(later[name] >= seconds for name, seconds in first.items())
    # No second counts twice: all stages together are what the process has used.
    assert sum(later.values()) <= time.process_time()
