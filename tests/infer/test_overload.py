"""More frames than can be scored: shares follow weights, scores mean what they always do."""

from __future__ import annotations

import threading
from collections import Counter, deque
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from model.bundles import bundle as bundles
from model.detect.detector import Detector
from model.detect.observation import CameraOptions
from model.frames import fit
from model.network.network_config import NetConfig
from model.network.update_rules import UPDATE_RULES
from model.scene.features import extract
from service.capture.camera_capture import CaptureState
from service.infer.frame_sources import SourceFrame, SourceStatus
from service.infer.source_opening import OpenSource
from service.messages import DropReason, StreamState
from service.tools.bench.in_memory_cameras import Feed
from tests.infer.conftest import Bus
from tests.support.bundles import small_bundle
from tests.support.cameras import SHAPE, numbered_folder
from tests.support.footage import drawn_picture, jpeg
from tests.support.servers import wait_for

FRAMES = [fit(drawn_picture(step), SHAPE) for step in range(32)]
PREVIEW = jpeg(drawn_picture(0))


@dataclass
class Day:
    """A time that passes only while frames are scored: each takes so long, on any machine."""

    frame_s: float
    ends_s: float
    now_s: float = 0.0
    looks_s: list[float] = field(default_factory=list)
    """When a camera was asked for more pictures."""
    lock: threading.Lock = field(default_factory=threading.Lock)

    def time(self) -> float:
        """Seconds since it began."""
        return self.now_s

    def score_one(self) -> None:
        """Let the time pass that a frame takes in the network."""
        with self.lock:
            self.now_s += self.frame_s

    def skip_to(self, time_s: float) -> None:
        """Let the time pass until then."""
        with self.lock:
            self.now_s = max(self.now_s, time_s)


class DayCamera:
    """Frames at an even rate for as long as the day lasts."""

    def __init__(
        self, day: Day, fps: float, *, cut_at: int | None = None, alone: bool = False
    ) -> None:
        """Args: alone: there is no other camera, so that time may pass while nothing waits."""
        self._day = day
        self._fps = fps
        self._cut_at = cut_at
        self._alone = alone
        self._come = 0
        self._frames: deque[SourceFrame] = deque()

    def _arrive(self) -> None:
        while (at := self._come / self._fps) <= min(self._day.now_s, self._day.ends_s):
            number, self._come = self._come, self._come + 1
            cut = number in (0, self._cut_at)
            preview = PREVIEW if number % 10 == 1 else None
            self._frames.append(SourceFrame(number, at, FRAMES[number % 32], cut, preview))

    def count_waiting(self) -> int:
        """Count the frames that have come by now."""
        self._arrive()
        if self._alone and not self._frames:
            self._day.skip_to(min(self._come / self._fps, self._day.ends_s))
            self._arrive()
        return len(self._frames)

    def look_closely(self) -> None:
        """Note when it was asked."""
        self._day.looks_s.append(self._day.now_s)

    def pop_if(self, fits: object) -> None: ...

    def pop_stale(self, before: float) -> list[SourceFrame]:
        """Take the old frames, as a capture does."""
        self._arrive()
        stale = []
        while len(self._frames) > 1 and self._frames[0].captured_at < before:
            stale.append(self._frames.popleft())
        return stale

    def pop(self) -> SourceFrame | None:
        """Take one, which lets the day go on."""
        if not self._frames:
            return None
        self._day.score_one()
        return self._frames.popleft()

    def status(self) -> SourceStatus:
        """Return a status that ends with the day."""
        over = self._day.now_s >= self._day.ends_s and not self._frames
        state = CaptureState.ENDED if over else CaptureState.PLAYING
        return SourceStatus(state, "", self._come, Counter())

    def stop(self) -> None:
        """Do nothing."""

    def close(self) -> None:
        """Do nothing."""


def _make_opener(day: Day, *, cut_at: int | None = None, alone: bool = False) -> OpenSource:
    return lambda request, on_frame: DayCamera(day, 10.0, cut_at=cut_at, alone=alone)


def test_shares_follow_weights_and_ages_stay_bounded(bus: Bus) -> None:
    day = Day(frame_s=1 / 20, ends_s=20.0)
    weights = {"a": 1.0, "b": 1.0, "c": 2.0, "d": 8.0}
    for name, weight in weights.items():
        bus.add(name, source=f"/cameras/{name}", weight=weight)
    with bus.worker(clock=day.time, open_source=_make_opener(day), max_frame_age_s=0.5):
        last = {name: bus.wait_state(name, StreamState.ENDED) for name in weights}
        scores = {name: bus.read_published(name) for name in weights}
        assert all(bus.registry.preview(name) for name in weights)
    # 20 frames/s in all: d needs 10 of them, less than its part; the others share what is left.
    expected = {"a": 50, "b": 50, "c": 100, "d": 200}
    for name, count in expected.items():
        assert len(scores[name]) == pytest.approx(count, abs=12)
        ages = [score.scored_at - score.captured_at for score in scores[name]]
        assert max(ages) <= 0.5 + 4 * day.frame_s + 1e-6
        assert last[name].dropped.get(DropReason.OVERLOAD, 0) == 201 - len(scores[name])
        assert all(score.score is not None for score in scores[name] if score.frame >= 8)
    status = last["a"]
    assert (status.weight, status.target_fps, status.degraded) == (1.0, 10.0, True)
    assert status.frame_age_p50_s is not None and status.frame_age_p99_s is not None
    assert status.frame_age_p50_s <= status.frame_age_p99_s <= 0.7
    assert sum(status.share for status in last.values()) == pytest.approx(1.0, abs=0.1)


@pytest.mark.parametrize(("frame_s", "is_busy"), [(1 / 50, False), (1 / 5, True)])
def test_an_overloaded_worker_asks_for_no_more_pictures(
    bus: Bus, frame_s: float, is_busy: bool
) -> None:
    day = Day(frame_s=frame_s, ends_s=20.0)
    bus.add("one", source="/cameras/one", threshold=0.0)
    alone = _make_opener(day, alone=True)
    with bus.worker(clock=day.time, open_source=alone, max_frame_age_s=0.5):
        bus.wait_state("one", StreamState.ENDED)
    assert any(at > 2.0 for at in day.looks_s) is not is_busy


def test_a_camera_that_is_given_up_on_now_and_then_says_so_while_it_lasts(bus: Bus) -> None:
    day = Day(frame_s=1 / 5, ends_s=1e9)
    bus.add("one", source="/cameras/one")
    alone = _make_opener(day, alone=True)
    with bus.worker(clock=day.time, open_source=alone, max_frame_age_s=0.5):
        status = bus.wait_status("one", lambda status: status.degraded and status.fps > 4.0)
        assert status.state is StreamState.LIVE
        assert "overloaded" in status.reason and "of 10 frames a second" in status.reason
        day.frame_s = 1 / 50  # another 40 frames/s are to spare from now on
        status = bus.wait_status("one", lambda status: not status.degraded and status.fps > 9.0)
        assert (status.state, status.reason) == (StreamState.LIVE, "")


@pytest.mark.parametrize("steps", [2, 3, 7])
def test_frames_without_a_score_leave_the_others_what_they_were(steps: int) -> None:
    detector = Detector(small_bundle())
    options = [CameraOptions(update=UPDATE_RULES["frozen"])]
    whole, spared = detector.start(), detector.start()
    for number, frame in enumerate(FRAMES):
        (seen,) = detector.observe([whole], [frame], options)
        if number % steps:
            spared.append_unscored(frame, extract(frame))
            continue
        (too,) = detector.observe([spared], [frame], options)
        assert (too.psnr, too.distance, too.gate_error) == (
            seen.psnr,
            seen.distance,
            seen.gate_error,
        )


@pytest.fixture
def slow_bus(bus: Bus, tmp_path: Path) -> Bus:
    """A bus with a model `slow`, a wide network of random weights, which takes some forty times as
    long as `small`. It is in a folder of its own: tests that name no model expect one in the
    shared folder."""
    folder = tmp_path / "models"
    wide = small_bundle("slow", net=NetConfig(base_width=32, height=128, width=128))
    bundles.save(wide, folder / "slow")
    return Bus(bus.redis, bus.url, folder)


def test_uploads_and_cameras_do_not_starve_each_other(slow_bus: Bus, tmp_path: Path) -> None:
    bus = slow_bus
    folder = numbered_folder(tmp_path / "pictures", 20)
    bus.add("camera", model="slow", source=str(folder), loop=True, fps=100.0)
    with bus.worker(max_frame_age_s=0.5):
        bus.wait_status("camera", lambda status: status.degraded)
        bus.add("uploads", model="slow")
        bus.upload("uploads", 40)
        uploads = bus.wait_scores("uploads", 40)
        status = bus.wait_status("uploads", lambda status: status.scored == 40)
        camera = bus.wait_status("camera", lambda status: status.degraded)
    assert [score.frame for score in uploads] == list(range(40))
    assert (status.dropped, status.degraded, status.target_fps) == ({}, False, None)
    meanwhile = [
        score
        for score in bus.read_published("camera")
        if uploads[0].scored_at <= score.scored_at <= uploads[-1].scored_at
    ]
    # Both always had frames, and the same weight.
    assert 27 <= len(meanwhile) <= 60
    assert camera.dropped[DropReason.OVERLOAD] > 0
    frames = [score.frame for score in bus.read_published("camera")]
    assert frames == sorted(set(frames))


def test_a_weight_changes_while_it_runs(bus: Bus) -> None:
    day = Day(frame_s=1 / 10, ends_s=1e9)
    for name in ("a", "b"):
        bus.add(name, source=f"/cameras/{name}")
    with bus.worker(clock=day.time, open_source=_make_opener(day), max_frame_age_s=0.5):
        bus.wait_status("a", lambda status: status.fps > 4.0)
        bus.add("a", source="/cameras/a", weight=4.0, revision=2)
        bus.wait_status("a", lambda status: status.weight == 4.0 and status.share > 0.75)
        status = bus.wait_status("b", lambda status: status.share < 0.25)
        assert status.fps > 0.0, "the light one goes on"
    epochs = {score.epoch for score in bus.read_published("a")}
    states = [score.state for score in bus.read_published("a")[8:]]
    assert (len(epochs), set(states)) == (1, {StreamState.LIVE}), "nothing was started again"


def test_a_break_in_the_footage_counts_for_what_is_scored_after_it(bus: Bus) -> None:
    day = Day(frame_s=1 / 5, ends_s=30.0)
    bus.add("one", source="/cameras/one")
    cut = _make_opener(day, cut_at=151)
    with bus.worker(clock=day.time, open_source=cut, max_frame_age_s=0.5):
        bus.wait_state("one", StreamState.ENDED)
        scores = bus.read_published("one")
    # Every other frame is scored; so are two of the four that the break is warmed up with.
    warming = [score.frame for score in scores if score.state is StreamState.WARMING]
    assert all(frame < 4 or 151 <= frame < 155 for frame in warming)
    assert any(frame >= 151 for frame in warming)
    assert len([score for score in scores if 100 < score.frame <= 200]) == pytest.approx(50, abs=6)


def test_a_camera_that_always_has_a_frame_is_still_tended(bus: Bus) -> None:
    feed = Feed(bus.settings, None, 1)
    bus.add("one", source="memory")
    # An engine that has two batches at a time.
    with bus.worker(open_source=feed.open, engine="openvino-fp32", torch_threads=2):
        bus.wait_state("one", StreamState.LIVE)
        bus.add("one", source="memory", threshold=0.75, revision=2)
        wait_for(lambda: bus.read_published("one")[-1].threshold == 0.75, "the change")
