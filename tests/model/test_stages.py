"""CPU time by stage: every second counts once, in whichever thread it was spent."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from itertools import count

import numpy as np
import pytest

from model.detect.detector import Detector
from model.engines.names import EngineName
from model.stages import Stage, StageTimes, ThreadClock
from tests.support.bundles import small_bundle


def _spend(seconds: float) -> None:
    until = time.thread_time() + seconds
    while time.thread_time() < until:
        pass


def _spent(times: StageTimes) -> dict[Stage, float]:
    return {stage: seconds for stage, seconds in times.seconds().items() if seconds}


def _ticking() -> Callable[[], float]:
    ticks = count()
    return lambda: float(next(ticks))


def test_a_thread_is_in_one_stage_at_a_time() -> None:
    times = StageTimes(_ticking())
    assert times.enter(Stage.LOOP) is None  # at 0
    with times.spend_on(Stage.SCORING):  # 1
        with times.spend_on(Stage.SCENE):  # 2, 3
            pass
        with times.spend_on(Stage.NETWORK):  # 4, 5
            pass
    # 6
    assert times.enter(None) is Stage.LOOP  # 7
    assert times.enter(Stage.LOOP) is None  # 8: what passed meanwhile isn't counted
    assert _spent(times) == {
        Stage.LOOP: 2.0,
        Stage.SCORING: 3.0,
        Stage.SCENE: 1.0,
        Stage.NETWORK: 1.0,
    }


def test_a_block_that_fails_ends_its_stage() -> None:
    times = StageTimes(_ticking())
    times.enter(Stage.LOOP)
    with pytest.raises(KeyError), times.spend_on(Stage.SCORING):
        raise KeyError
    assert times.enter(None) is Stage.LOOP


def test_threads_that_are_followed_count_beyond_their_end() -> None:
    times = StageTimes()
    followed = threading.Event()

    def work() -> None:
        times.follow(Stage.SENDING)
        followed.set()
        _spend(0.02)

    thread = threading.Thread(target=work)
    thread.start()
    followed.wait()
    times.add(Stage.SENDING, 1.0)
    while thread.is_alive():
        last = times.seconds()[Stage.SENDING]
    thread.join()
    assert last >= 1.0
    assert times.seconds()[Stage.SENDING] >= last
    assert _spent(times).keys() == {Stage.SENDING}


def test_a_thread_is_not_charged_for_what_others_do() -> None:
    clocks: list[ThreadClock] = []
    thread = threading.Thread(target=lambda: clocks.append(ThreadClock()))
    thread.start()
    thread.join()
    before = clocks[0].seconds
    _spend(0.02)
    assert clocks[0].seconds == before


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("engine", [EngineName.TORCH_FP32, EngineName.OPENVINO_FP32])
def test_a_detector_counts_scene_network_and_scoring(engine: EngineName, threads: int) -> None:
    times = StageTimes()
    bundle = small_bundle()
    detector = Detector(bundle, engine=engine, threads=threads, times=times)
    cameras = [detector.start() for _ in range(3)]
    frame = np.zeros(bundle.frame_shape.array_shape, np.uint8)
    began = time.process_time()
    times.enter(Stage.LOOP)
    for _ in range(bundle.config.context + 5):
        with times.spend_on(Stage.SCORING):
            detector.observe(cameras, [frame] * len(cameras))
    times.enter(None)
    spent = _spent(times)
    assert spent.keys() == {Stage.NETWORK, Stage.SCENE, Stage.SCORING, Stage.LOOP}
    assert sum(spent.values()) <= time.process_time() - began


def test_threads_of_the_engine_are_the_networks() -> None:
    bundle = small_bundle()
    frame = np.zeros(bundle.frame_shape.array_shape, np.uint8)
    times = StageTimes(lambda: 0.0)  # only what other threads spent is left
    detector = Detector(bundle, engine=EngineName.OPENVINO_FP32, threads=2, times=times)
    cameras = [detector.start() for _ in range(2)]
    for _ in range(bundle.config.context + 1):
        detector.observe(cameras, [frame] * 2)
    assert _spent(times).keys() == {Stage.NETWORK}
