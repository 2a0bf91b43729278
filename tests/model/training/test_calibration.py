"""Calibration on held-out footage, and evaluation on labelled footage."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from model.bundles.bundle import Bundle
from model.bundles.calibration_config import Calibration
from model.detect.detector import Detector
from model.detect.observation import CameraOptions
from model.evaluation.accuracy import Labels, compute_accuracy
from model.evaluation.comparison import Comparison, Plan, compare
from model.evaluation.protocol import score_offline, smooth
from model.evaluation.truth import Truth
from model.footage.clips import Clip
from model.network.network_config import NetConfig
from model.network.update_rules import LIVE_UPDATE, UPDATE_RULES
from model.scoring.measures import Measures
from model.scoring.normal_range import Interval, NormalRange
from model.scoring.score_config import LIVE, PAPER, SCORES
from model.training import bundle_calibration as calibration
from model.training.bundle_calibration import (
    calibrate,
    compute_threshold,
    measure_clips,
    score_causally,
    split_clips,
)
from tests.model.drawn import NET, clip
from tests.support.bundles import small_bundle

PSNR, POOLED = PAPER.error.key, LIVE.error.key
NORMAL = NormalRange(
    Interval(0.1, 0.2), {PSNR: Interval(-40.0, -30.0), POOLED: Interval(0.02, 0.04)}
)


def _bundle() -> Bundle:
    return replace(small_bundle(net=NET), calibration=Calibration())


def _row(psnr: float, distance: float = 0.15, pooled: float = 0.03) -> Measures:
    return Measures(psnr, distance, 0.0, {PSNR: -psnr, POOLED: pooled})


def test_of_many_clips_whole_ones_are_held_out() -> None:
    clips = [clip(str(number), 10) for number in range(16)]
    training, held = split_clips(clips, 0.125, context=4)
    assert [c.name for c in held] == ["4", "12"]
    assert len(training) == 14
    assert all(len(c) == 10 for c in (*training, *held))


def test_of_few_clips_the_end_of_each_is_held_out() -> None:
    clips = [clip("a", 80), clip("b", 40, seed=3)]
    training, held = split_clips(clips, 0.25, context=4)
    assert [len(c) for c in training] == [60, 30]
    for whole, first, last in zip(clips, training, held, strict=True):
        assert np.array_equal(np.concatenate([first.frames, last.frames]), whole.frames)


def test_the_end_that_is_held_out_is_long_enough_to_be_measured() -> None:
    training, held = split_clips([clip("a", 20), clip("b", 7)], 0.125, context=4)
    assert [len(c) for c in held] == [6]  # 4 before the first score, and 2 to make a range
    assert [len(c) for c in training] == [14, 7]


@pytest.mark.parametrize(
    "clips",
    [[clip("a", 11)], [clip(str(i), 5) for i in range(20)], []],
    ids=["one", "many", "none"],
)
def test_footage_too_short_to_hold_any_out_is_refused(clips: list[Clip]) -> None:
    with pytest.raises(ValueError, match="too short: 6 frames"):
        split_clips(clips, 0.125, context=4)


@pytest.mark.parametrize("share", [0.0, -0.1, 0.6, math.nan])
def test_a_share_that_leaves_nothing_is_refused(share: float) -> None:
    with pytest.raises(ValueError, match=f"share.*{share}"):
        split_clips([clip("a", 50)], share)


@given(
    st.lists(st.integers(1, 60), min_size=1, max_size=12),
    st.floats(0.01, 0.5),
    st.integers(0, 6),
)
def test_no_frame_is_lost_or_in_both_parts(lengths: list[int], share: float, context: int) -> None:
    clips = [clip(str(i), length, seed=i) for i, length in enumerate(lengths)]
    try:
        training, held = split_clips(clips, share, context)
    except ValueError:
        return
    assert sum(map(len, training)) + sum(map(len, held)) == sum(lengths)
    assert max(map(len, held)) >= context + 2


def _compared(
    bundle: Bundle,
    clips: Sequence[Clip],
    labels: Sequence[Labels],
    *,
    rule: str = "paper",
    gamma: float | None = None,
    on_frame: Callable[[], None] = lambda: None,
) -> Comparison:
    plan = Plan(rules=(rule,), gamma=gamma, baselines=False)
    return compare(bundle, clips, Truth(tuple(labels)), plan, on_frame=on_frame)


def test_calibration_measures_gate_ranges_and_thresholds() -> None:
    held = [clip("a", 30), clip("b", 25, seed=4)]
    bundle = calibrate(_bundle(), held)
    found = bundle.calibration
    frozen = measure_clips(Detector(_bundle()), held, CameraOptions(update=UPDATE_RULES["held"]))
    errors = [row.gate_error for rows in frozen for row in rows if row]
    assert len(errors) == 26 + 21
    assert found.gamma == pytest.approx(np.quantile(errors, 0.99))
    live = CameraOptions(update=LIVE_UPDATE)  # ranges are those of a live camera
    rows = [
        row for clip_rows in measure_clips(Detector(bundle), held, live) for row in clip_rows if row
    ]
    assert found.normal is not None
    distances = [row.distance for row in rows]
    assert found.normal.distance == Interval(min(distances), max(distances))
    detector = Detector(bundle, scores=tuple(SCORES.values()))
    measured = [row for each in measure_clips(detector, held, live) for row in each if row]
    for score in SCORES.values():
        values = [row.errors[score.error.key] for row in measured]
        assert found.normal.errors[score.error.key] == Interval(min(values), max(values))
    assert set(found.thresholds) == set(SCORES)


def _still(count: int, net: NetConfig = NET) -> Clip:
    """An empty scene, with the noise of a sensor."""
    rng = np.random.default_rng(8)
    room = rng.integers(60, 190, (net.height, net.width))
    noise = rng.integers(-1, 2, (count, net.height, net.width))
    return Clip("still", (room + noise).astype(np.uint8))


def test_still_frames_are_skipped_where_scores_stay_what_they_are(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    held = [clip("a", 30), _still(60)]
    assert calibrate(_bundle(), held).calibration.skips_still
    # Skipping takes the noise out of the scores: no two are equal to the last digit.
    monkeypatch.setattr(calibration, "MOST_STILL_DIFFERENCE", 0.0)
    assert not calibrate(_bundle(), [_still(60)]).calibration.skips_still
    assert calibrate(_bundle(), held[:1]).calibration.skips_still, "nothing is still in it"


def test_footage_of_which_only_parts_would_be_computed_decides_too(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Something always moves in a corner, so that no frame is still."""
    bundle = replace(small_bundle(), calibration=Calibration())
    room = np.array(_still(60, bundle.config).frames)
    for number, frame in enumerate(room):
        frame[: frame.shape[0] // 8, : frame.shape[1] // 8] = 40 * (number % 5)
    monkeypatch.setattr(calibration, "MOST_STILL_DIFFERENCE", 0.0)
    assert not calibrate(bundle, [Clip("corner", room)]).calibration.skips_still


def test_no_score_of_the_held_out_footage_reaches_the_threshold() -> None:
    held = [clip("a", 30), clip("b", 25, seed=4)]
    bundle = calibrate(_bundle(), held)
    report = _compared(bundle, held, [np.zeros(len(c), bool) for c in held])
    for name, figures in report.rules["paper"].figures.items():
        evaluation = figures.evaluation
        scores = np.concatenate([c.causal for c in evaluation.clips])
        threshold = bundle.calibration.thresholds[name]
        if evaluation.score.normalisation.headroom > 1.0 or name == "paper":
            assert np.nanmax(scores) < threshold <= 1.0
        else:  # the highest of normal footage is 1, as is all that is higher
            assert threshold == 1.0


def test_the_threshold_can_be_reached_and_is_never_0() -> None:
    worst = [[_row(30.0, 0.2, 0.04)]]  # scores 1 under plain min-max without headroom
    assert compute_threshold(worst, PAPER, NORMAL) == 1.0
    assert compute_threshold([[_row(40.0, 0.1, 0.02)]], LIVE, NORMAL) == 0.1
    middle = [[_row(35.0, 0.15, 0.03)]]
    assert compute_threshold(middle, PAPER, NORMAL) == pytest.approx(1.15 * 0.5)


def test_footage_without_one_measure_is_refused() -> None:
    with pytest.raises(ValueError, match="too short"):
        calibrate(_bundle(), [clip("a", 4)])


ROWS = st.lists(
    st.builds(_row, st.floats(10, 60), st.floats(0, 1), st.floats(0, 1)), min_size=1, max_size=12
)


@given(ROWS, ROWS, st.sampled_from([PAPER, LIVE]))
def test_causal_scores_use_the_past_only(
    past: list[Measures], future: list[Measures], score: object
) -> None:
    config = PAPER if score is PAPER else LIVE
    whole = score_causally([past, past + future], config, NORMAL)
    cut_short = score_causally([past, past], config, NORMAL)
    assert whole[0] == cut_short[0]
    assert whole[1][: len(past)] == cut_short[1]


def test_causal_scores_of_a_recording_stay_when_its_future_is_cut_off() -> None:
    bundle = calibrate(_bundle(), [clip("n", 40)])
    test = clip("t", 24, seed=2, abnormal=range(16, 20))
    labels = np.zeros(24, bool)
    compared = (
        _compared(bundle, [test], [labels]),
        _compared(bundle, [Clip("t", test.frames[:14])], [labels[:14]]),
    )
    whole, half = (each.rules["paper"].figures for each in compared)
    for name in ("paper", "live"):
        full, part = (r[name].evaluation.clips[0] for r in (whole, half))
        assert np.array_equal(full.causal[:14], part.causal, equal_nan=True)
    offline = (r["paper"].evaluation.clips[0].offline for r in (whole, half))
    assert not np.array_equal(next(offline)[:14], next(offline), equal_nan=True)


def test_ranges_are_carried_from_clip_to_clip_and_averages_are_not() -> None:
    rows = [_row(10.0, 0.15, 0.5)]
    again = score_causally([rows, [_row(35.0)]], PAPER, NORMAL)[1][0]
    alone = score_causally([[_row(35.0)]], PAPER, NORMAL)[0][0]
    assert again is not None and alone is not None
    assert again < alone  # the extreme of the first clip squeezes
    smoothed = score_causally(
        [[_row(35.0, pooled=0.02)] * 3, [_row(35.0, pooled=0.04)]], LIVE, NORMAL
    )
    alone = score_causally([[_row(35.0, pooled=0.04)]], LIVE, NORMAL)[0][0]
    assert smoothed[1] == [pytest.approx(alone, abs=1e-3)]  # quantiles moved by a thousandth


def test_offline_scores_take_the_extremes_of_the_whole_clip() -> None:
    rows = [None, _row(40.0, 0.1), _row(30.0, 0.3), _row(35.0, 0.2)]
    scores = score_offline(rows, PAPER)
    assert np.isnan(scores[0])
    assert scores[1:] == pytest.approx([0.0, 1.0, 0.5])
    assert score_offline([_row(40.0)] * 3, PAPER) == pytest.approx([0.0] * 3)
    assert np.isnan(score_offline([None, None], LIVE)).all()


def test_a_collapsed_distance_is_no_noise_in_offline_scores() -> None:
    rows = [_row(40.0, 0.1 + 1e-12 * step) for step in range(5)]
    assert score_offline(rows, PAPER) == pytest.approx([0.0] * 5, abs=1e-3)


def test_smoothing_starts_at_the_first_value() -> None:
    values = np.array([np.nan, np.nan, 1.0, 3.0, 3.0])
    assert smooth(values, 0.5)[2:] == pytest.approx([1.0, 2.0, 2.5])
    assert np.isnan(smooth(values, 0.5)[:2]).all()


def test_figures_are_those_of_sklearn_and_leave_unscored_frames_out() -> None:
    labels = [np.array([0, 0, 1, 1, 0], bool), np.array([1, 0, 1], bool), np.array([0, 0], bool)]
    scores = [
        np.array([np.nan, 0.1, 0.9, 0.4, 0.5]),
        np.array([0.3, 0.2, 0.8]),
        np.array([0.95, 0.0]),
    ]
    figures = compute_accuracy(labels, scores)
    flat_labels = [0, 1, 1, 0, 1, 0, 1, 0, 0]
    flat_scores = [0.1, 0.9, 0.4, 0.5, 0.3, 0.2, 0.8, 0.95, 0.0]
    assert figures.micro == pytest.approx(100 * roc_auc_score(flat_labels, flat_scores))
    assert figures.micro == pytest.approx(100 * 14 / 20)  # pairs in order, counted by hand
    assert figures.macro == pytest.approx((100 * 3 / 4 + 100.0) / 2)
    assert figures.average_precision is not None and figures.equal_error_rate is not None


def test_labels_of_one_kind_have_no_figures() -> None:
    figures = compute_accuracy([np.zeros(3, bool)], [np.arange(3.0)])
    assert (figures.micro, figures.macro, figures.equal_error_rate) == (None, None, None)


def test_perfect_scores_have_no_equal_error() -> None:
    figures = compute_accuracy([np.array([0, 0, 1, 1], bool)], [np.array([0.1, 0.2, 0.8, 0.9])])
    assert (figures.micro, figures.equal_error_rate) == (100.0, 0.0)


def test_a_report_counts_frames_and_updates() -> None:
    bundle = calibrate(_bundle(), [clip("n", 40)])
    clips = [clip("a", 12), clip("b", 10, seed=3)]
    labels = [np.arange(12) >= 8, np.zeros(10, bool)]
    report = _compared(bundle, clips, labels, gamma=9.0)
    measured = report.rules["paper"]
    assert (report.frames, measured.scored, report.abnormal) == (22, 8 + 6, 4)
    assert measured.memory is not None
    assert (measured.memory.updated_share, measured.memory.gamma) == (1.0, 9.0)
    held = _compared(bundle, clips, labels, gamma=9.0, rule="held").rules["held"].memory
    assert held is not None
    assert held.updated_share == 0.0


def test_labels_that_do_not_fit_are_refused_before_any_frame_is_scored() -> None:
    bundle = calibrate(_bundle(), [clip("n", 40)])
    scored: list[int] = []
    with pytest.raises(ValueError, match="clip a has 12 frames but 11 labels"):
        _compared(bundle, [clip("a", 12)], [np.zeros(11, bool)], on_frame=lambda: scored.append(1))
    with pytest.raises(ValueError, match="no range of normal footage"):
        _compared(
            _bundle(), [clip("a", 12)], [np.zeros(12, bool)], on_frame=lambda: scored.append(1)
        )
    assert scored == []
