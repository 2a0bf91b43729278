"""Plots contain the data that they are drawn from; a replayed moment equals the first pass."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from model.bundles.bundle import Bundle
from model.bundles.calibration_config import Calibration
from model.detect.detector import Detector
from model.detect.observation import CameraOptions
from model.evaluation import camera_pass
from model.evaluation.accuracy import Accuracy, Scores
from model.evaluation.heat_maps import open_heat_maps
from model.evaluation.protocol import Evaluation, ScoredClip
from model.evaluation.replay import find_highest_frame, replay
from model.evaluation.score_plots import plot_evaluation, plot_moment
from model.scoring.score_config import LIVE
from model.training.bundle_calibration import calibrate
from tests.model.drawn import NET, clip
from tests.support.bundles import small_bundle

OPTIONS = CameraOptions(gamma=9.0)


@pytest.fixture(scope="module")
def bundle() -> Bundle:
    """Untrained, calibrated on a drawn clip."""
    fresh = replace(small_bundle(net=NET), calibration=Calibration())
    return calibrate(fresh, [clip("n", 40)])


def _evaluate(scores: Scores) -> Evaluation:
    labels = np.arange(len(scores)) >= 5
    accuracy = Accuracy(90.0, 80.0, 70.0, 10.0)
    clips = (ScoredClip("a", labels, scores, scores),)
    return Evaluation(LIVE, clips, accuracy, accuracy)


def _read_png(path: Path) -> np.ndarray:
    picture = cv2.imread(str(path))
    assert picture is not None
    return np.asarray(picture)


def test_a_baseline_adds_a_curve(tmp_path: Path) -> None:
    found = _evaluate(np.linspace(0.0, 1.0, 20))
    plot_evaluation(found, 0.5, "t", tmp_path / "alone.png")
    other = {"frame difference": _evaluate(np.linspace(1.0, 0.0, 20))}
    plot_evaluation(found, 0.5, "t", tmp_path / "both.png", other)
    alone, both = _read_png(tmp_path / "alone.png"), _read_png(tmp_path / "both.png")
    assert alone.shape == both.shape
    assert (alone != both).any()


def test_a_replayed_frame_equals_the_first_pass(bundle: Bundle, tmp_path: Path) -> None:
    clips = [clip("a", 20), clip("b", 20, seed=3, abnormal=range(10, 14))]
    with open_heat_maps() as maps:
        seen = camera_pass.run_pass(
            Detector(bundle), clips, OPTIONS, heat=maps, keep=frozenset({"b"})
        )
        heat = maps.clips()[1][12]
    assert seen.updated == seen.scored == 32
    scored = ScoredClip("b", np.arange(20) >= 10, np.zeros(20), np.zeros(20))
    moment = replay(Detector(bundle), seen.starts["b"], clips[1], scored, 12, options=OPTIONS)
    assert np.array_equal(moment.frame, clips[1].frames[12])
    assert moment.predicted.shape == moment.frame.shape
    # The items that updates left are part of it: to the bit, but for the half floats on disk.
    assert np.array_equal(moment.heat.astype(np.float16), heat)
    plot_moment(moment, 0.5, "t", tmp_path / "moment.png")
    assert _read_png(tmp_path / "moment.png").std() > 1.0


def test_a_frame_without_a_score_is_refused(bundle: Bundle) -> None:
    test = clip("a", 20)
    seen = camera_pass.run_pass(Detector(bundle), [test], keep=frozenset({"a"}))
    scored = ScoredClip("a", np.zeros(20, bool), np.zeros(20), np.zeros(20))
    for index in (NET.context - 1, 20):
        with pytest.raises(ValueError, match=f"clip a has frames 4 to 19.*not {index}"):
            replay(Detector(bundle), seen.starts["a"], test, scored, index)


def test_the_telling_frame_is_the_abnormal_one_that_scores_highest() -> None:
    scores = np.array([np.nan, 0.9, 0.5, 0.6, 0.2])
    assert find_highest_frame(scores, np.array([True, False, True, True, True])) == 3
    assert find_highest_frame(scores, np.zeros(5, bool)) == 1
    with pytest.raises(ValueError, match="no frame of the clip has a score"):
        find_highest_frame(np.full(3, np.nan), np.zeros(3, bool))
