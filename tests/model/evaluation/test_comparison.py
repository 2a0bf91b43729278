"""The whole comparison on drawn clips."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from model.bundles.bundle import Bundle
from model.bundles.calibration_config import Calibration
from model.evaluation.accuracy import Labels
from model.evaluation.comparison import Comparison, Plan, compare, count_frames
from model.evaluation.evaluation_report import to_json
from model.evaluation.motion_kinds import MotionKind
from model.evaluation.truth import Truth, make_truth
from model.footage.clips import Clip
from model.scoring.score_config import JUDGED, LIVE, SCORES, ScoreConfig
from model.training.bundle_calibration import calibrate
from tests.model.drawn import NET, clip
from tests.support.bundles import small_bundle

LENGTH = 40
ABNORMAL = range(20, 32)


@pytest.fixture(scope="module")
def bundle() -> Bundle:
    """Untrained, calibrated on drawn clips."""
    fresh = replace(small_bundle(net=NET), calibration=Calibration())
    return calibrate(fresh, [clip("n", 40), clip("m", 40, seed=5)])


def _make_labels(length: int = LENGTH) -> Labels:
    labels = np.zeros(length, bool)
    labels[list(ABNORMAL)] = True
    return labels[:length]


def _make_clips() -> list[Clip]:
    return [clip("a", LENGTH, abnormal=ABNORMAL), clip("b", LENGTH, seed=2)]


def _make_truth(clips: Sequence[Clip]) -> Truth:
    labels = [_make_labels(), np.zeros(LENGTH, bool)]
    masks = np.zeros((LENGTH, 16, 24), bool)
    masks[list(ABNORMAL), :, 10:] = True
    return make_truth(clips, labels, [lambda: masks, lambda: np.zeros((LENGTH, 16, 24), bool)])


@pytest.fixture(scope="module")
def plan() -> Plan:
    """Two memory rules and both baselines."""
    return Plan(rules=("paper", "frozen"), gamma=9.0, keep=frozenset({"b"}))


@pytest.fixture(scope="module")
def comparison(bundle: Bundle, plan: Plan) -> Comparison:
    """Without normal footage."""
    clips = _make_clips()
    return compare(bundle, clips, _make_truth(clips), plan)


def test_scores_of_clips_at_another_rate_are_smoothed_over_the_same_time(
    bundle: Bundle, plan: Plan, comparison: Comparison
) -> None:
    clips = _make_clips()
    at_model_fps = replace(bundle, provenance=replace(bundle.provenance, frame_rate=25.0))
    plan = replace(plan, rules=("paper",), baselines=False)
    same = compare(at_model_fps, clips, _make_truth(clips), replace(plan, fps=25.0))
    slow = compare(at_model_fps, clips, _make_truth(clips), replace(plan, fps=5.0))
    (before, there, then) = (
        each.rules["paper"].figures[LIVE.name].evaluation for each in (comparison, same, slow)
    )
    assert there.score == LIVE
    assert then.score.smoothing == pytest.approx(1.0 - (1.0 - LIVE.smoothing) ** 5)
    assert then.score.normalisation.window_frames == LIVE.normalisation.window_frames / 5
    for one, other, slower in zip(before.clips, there.clips, then.clips, strict=True):
        np.testing.assert_array_equal(one.causal, other.causal)
        np.testing.assert_array_equal(one.offline, other.offline)
        assert not np.array_equal(one.causal, slower.causal, equal_nan=True)


def test_each_rule_and_baseline_has_figures_of_each_composition(comparison: Comparison) -> None:
    assert list(comparison.rules) == ["paper", "frozen"]
    assert list(comparison.baselines) == ["frame difference", "MOG2"]
    for judged in (*comparison.rules.values(), *comparison.baselines.values()):
        assert set(judged.figures) == set(SCORES)
        assert judged.scored == 2 * (LENGTH - NET.context)
        assert judged.regions is not None and judged.regions.rbdc is not None
        for figures in judged.figures.values():
            assert figures.evaluation.offline.micro is not None
            assert figures.evaluation.causal.micro is not None
            assert [at.recall for at in figures.recalls] == [0.90, 0.95, 1.0]
    assert comparison.frames == 2 * LENGTH
    assert comparison.abnormal == len(ABNORMAL)


def test_rules_differ_in_what_the_memory_did(comparison: Comparison) -> None:
    paper, frozen = (comparison.rules[name].memory for name in ("paper", "frozen"))
    assert paper is not None and frozen is not None
    assert paper.gamma == frozen.gamma == 9.0
    assert paper.updated_share == 1.0
    assert paper.drift_deg > 0.0
    assert frozen.updated_share == 0.0
    assert frozen.drift_deg == 0.0


def test_a_jump_that_fills_the_picture_is_found_by_frame_difference(
    comparison: Comparison,
) -> None:
    found = comparison.baselines["frame difference"].figures["live"].evaluation
    assert found.offline.micro is not None and found.offline.micro > 90.0


def test_first_frames_that_gave_a_baseline_its_range_have_no_causal_score(
    comparison: Comparison,
) -> None:
    judged = comparison.baselines["frame difference"]
    assert judged.start is not None and not judged.start.normal_footage
    clips = judged.figures["live"].evaluation.clips
    missing = sum(int(np.isnan(each.causal).sum()) for each in clips)
    assert missing == 2 * NET.context + judged.start.frames
    assert sum(int(np.isnan(each.offline).sum()) for each in clips) == 2 * NET.context
    assert judged.figures["live"].outcome is None  # and no threshold


def test_with_normal_footage_baselines_have_outcomes(bundle: Bundle) -> None:
    clips = _make_clips()
    seen: list[int] = []
    plan, normal = Plan(), [clip("n", 40), clip("m", 40, seed=5)]
    found = compare(
        bundle, clips, _make_truth(clips), plan, normal=normal, on_frame=lambda: seen.append(1)
    )
    for judged in found.baselines.values():
        figures = judged.figures["live"]
        assert figures.threshold is not None
        assert figures.outcome is not None and figures.outcome.labelled == 1
        assert np.isnan(figures.evaluation.clips[0].causal).sum() == NET.context
    assert len(seen) == count_frames(clips, normal, plan)


def test_no_detector_uses_the_future(bundle: Bundle) -> None:
    clips = _make_clips()
    changed = clips[0].frames.copy()
    changed[30:] = 255 - changed[30:]
    other = [Clip("a", changed), clips[1]]
    normal = [clip("n", 40)]
    one, two = (
        compare(bundle, footage, _make_truth(footage), Plan(), normal=normal)
        for footage in (clips, other)
    )
    for name in ("paper", "frame difference", "MOG2"):
        before, after = ({**each.rules, **each.baselines}[name] for each in (one, two))
        for score in SCORES:
            first, second = (
                judged.figures[score].evaluation.clips[0] for judged in (before, after)
            )
            assert np.array_equal(first.causal[:30], second.causal[:30], equal_nan=True)
            assert not np.array_equal(first.causal[30:], second.causal[30:])
    paper = one.rules["paper"].figures["paper"].evaluation.clips[0]
    changed_paper = two.rules["paper"].figures["paper"].evaluation.clips[0]
    # The offline protocol does: its ranges know the whole clip.
    assert not np.array_equal(paper.offline[:30], changed_paper.offline[:30], equal_nan=True)


def test_kinds_split_the_abnormal_frames(comparison: Comparison) -> None:
    figures = comparison.rules["paper"].figures["live"]
    assert set(figures.kinds) == set(MotionKind)
    known = [auc for auc in figures.kinds.values() if auc is not None]
    assert known and all(0.0 <= auc <= 100.0 for auc in known)


def test_without_masks_there_are_no_places_and_kinds(bundle: Bundle) -> None:
    clips = _make_clips()
    labels = [_make_labels(), np.zeros(LENGTH, bool)]
    found = compare(bundle, clips, make_truth(clips, labels, [None, None]), Plan(baselines=False))
    judged = found.rules["paper"]
    assert judged.regions is None
    assert judged.figures["live"].kinds == {}
    assert found.baselines == {}


@pytest.mark.parametrize("scores", [{**SCORES, "judged": JUDGED}, {"judged": JUDGED}])
def test_baselines_use_live_if_the_network_judges(
    scores: dict[str, ScoreConfig],
) -> None:
    fresh = small_bundle(net=replace(NET, judges=True))
    judging = calibrate(
        replace(fresh, calibration=Calibration(), score=JUDGED), [clip("n", 40), clip("m", 40)]
    )
    clips = _make_clips()
    found = compare(judging, clips, _make_truth(clips), Plan(scores=scores))
    network, baseline = found.rules["paper"], found.baselines["frame difference"]
    assert network.nearest_score("judged") == "judged"
    assert network.figures_for("judged").evaluation.causal.micro is not None
    assert baseline.nearest_score("judged") == "live"
    assert baseline.figures_for("judged") is baseline.figures["live"]
    assert "judged" not in baseline.figures


def test_json_has_all_figures_and_those_of_the_chosen_score_on_top(
    comparison: Comparison, plan: Plan
) -> None:
    found = json.loads(json.dumps(to_json(comparison, plan, bundle="b", score="live")))
    first = comparison.rules["paper"].figures["live"].evaluation
    assert found["auc"]["causal"] == {"micro": first.causal.micro, "macro": first.causal.macro}
    assert found["auc"] == found["scores"]["live"]["auc"]
    assert found["scores"] == found["memory_rules"]["paper"]["scores"]
    assert found["memory"]["updated_share"] == 1.0
    assert found["baselines"]["MOG2"]["ranges_from"]["normal_footage"] is False
    at = found["events"]["at_recall"][2]
    assert at["recall"] == 1.0
    assert at["outcome"]["found"] == at["outcome"]["labelled"] == 1


def test_labels_that_do_not_fit_are_refused(bundle: Bundle) -> None:
    clips = _make_clips()
    with pytest.raises(ValueError, match="clip b has 40 frames but 39 labels"):
        compare(bundle, clips, Truth((_make_labels(), np.zeros(39, bool))), Plan())
    with pytest.raises(ValueError, match="2 clips but labels of 1"):
        compare(bundle, clips, Truth((_make_labels(),)), Plan())
    without = replace(bundle, calibration=Calibration())
    with pytest.raises(ValueError, match="no range of normal footage"):
        compare(without, clips, _make_truth(clips), Plan())
