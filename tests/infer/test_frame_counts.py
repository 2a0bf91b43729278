"""What a camera's status says of its frames, and what is sent of one."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from model.detect.observation import Observation, Withheld
from service.infer.batch_scorer import MAX_FAULTS, FaultLimit
from service.infer.frame_counts import DEGRADED_S, FrameCounts
from service.infer.frame_scores import build_frame_score
from service.infer.frame_sources import SourceFrame
from service.messages import FrameScore, StreamState

FRAME = SourceFrame(7, 1000.0, np.zeros((8, 8), np.uint8), False)
SEEN = Observation(
    None, psnr=30.0, distance=0.1, gate_error=0.2, score=0.4, threshold=0.5, memory_updated=True
)


def test_scored_frames_are_counted_with_their_rate_and_ages() -> None:
    counts = FrameCounts()
    assert (counts.newest_age_s, counts.compute_ages(1000.0), counts.compute_fps(1000.0)) == (
        None,
        None,
        0.0,
    )
    counts.add_scored(FRAME, replace(SEEN, still=True, computed=0.0), 1000.5)
    counts.add_scored(replace(FRAME, captured_at=1000.2), replace(SEEN, computed=0.25), 1000.6)
    assert (counts.still, counts.computed) == (1, 0.25)
    assert counts.newest_age_s == pytest.approx(0.4)
    assert counts.compute_fps(1000.6) == pytest.approx(2 / 5.0)
    ages = counts.compute_ages(1000.6)
    assert ages is not None and ages.p99 == pytest.approx(0.5)


def test_a_camera_is_degraded_for_a_while_after_an_unscored_frame() -> None:
    counts = FrameCounts()
    assert not counts.is_degraded(1000.0)
    counts.add_unscored(1000.0)
    counts.add_fault()
    assert (counts.unscored, counts.faults) == (1, 1)
    assert counts.is_degraded(1000.0 + DEGRADED_S - 0.1)
    assert not counts.is_degraded(1000.0 + DEGRADED_S)


def test_a_score_holds_the_measures_once_the_camera_is_warm() -> None:
    live = build_frame_score(FRAME, SEEN, epoch=3, cut=True, scored_at=1000.5)
    assert (live.frame, live.epoch, live.captured_at, live.scored_at) == (7, 3, 1000.0, 1000.5)
    assert (live.state, live.cut, live.memory_updated) == (StreamState.LIVE, True, True)
    assert (live.psnr, live.distance, live.gate_error, live.score) == (30.0, 0.1, 0.2, 0.4)

    few = Observation(Withheld.FEW_FRAMES, psnr=30.0)
    warming = build_frame_score(FRAME, few, epoch=3, cut=False, scored_at=1000.5)
    assert warming == FrameScore(
        frame=7, epoch=3, captured_at=1000.0, scored_at=1000.5, state=StreamState.WARMING
    )
    unfit = Observation(Withheld.UNFIT, obscured="all of it is dark")
    obscured = build_frame_score(FRAME, unfit, epoch=3, cut=False, scored_at=1000.5)
    assert obscured.state is StreamState.OBSCURED


def test_too_many_faults_in_a_row_end_the_worker() -> None:
    faults = FaultLimit()
    for number in range(MAX_FAULTS - 1):
        faults.add("one", number, ValueError("no"))
    faults.reset()
    for number in range(MAX_FAULTS - 1):
        faults.add("one", number, ValueError("no"))
    with pytest.raises(RuntimeError, match="200 frames in a row can't be scored"):
        faults.add("one", 0, ValueError("no"))
