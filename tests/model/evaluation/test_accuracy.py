"""Frame-level figures against answers worked out by hand, by counting pairs."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from model.evaluation.accuracy import Labels, Scores, compute_accuracy


def _make_clip(labels: str, scores: list[float]) -> tuple[Labels, Scores]:
    return np.array([letter == "a" for letter in labels]), np.array(scores)


def _count_auc(labels: Labels, scores: Scores) -> float:
    """The share of pairs in which the abnormal frame scores higher, ties by half."""
    pairs = [
        1.0 if abnormal > normal else 0.5 if abnormal == normal else 0.0
        for abnormal in scores[labels]
        for normal in scores[~labels]
    ]
    return 100.0 * float(np.mean(pairs))


def test_micro_ranks_all_frames_together_and_macro_each_clip_alone() -> None:
    low, low_scores = _make_clip("nna", [0.1, 0.2, 0.3])
    high, high_scores = _make_clip("nan", [0.8, 0.9, 0.7])
    figures = compute_accuracy([low, high], [low_scores, high_scores])
    assert figures.macro == 100.0
    # The first clip's abnormal frame is below both normal frames of the second: 6 of 8 pairs.
    assert figures.micro == pytest.approx(75.0)


def test_a_clip_of_one_kind_counts_in_micro_only() -> None:
    mixed, mixed_scores = _make_clip("na", [0.6, 0.4])
    whole, whole_scores = _make_clip("aa", [0.9, 0.8])
    figures = compute_accuracy([mixed, whole], [mixed_scores, whole_scores])
    assert figures.macro == 0.0
    assert figures.micro == pytest.approx(100.0 * 2 / 3)


def test_frames_without_a_score_are_left_out() -> None:
    labels, scores = _make_clip("aanna", [np.nan, np.nan, 0.1, 0.2, 0.3])
    assert compute_accuracy([labels], [scores]).micro == 100.0
    without, nothing = _make_clip("nn", [np.nan, np.nan])
    assert compute_accuracy([labels, without], [scores, nothing]).micro == 100.0


def test_precision_and_equal_error_rate_of_a_ranking_known_by_hand() -> None:
    labels, scores = _make_clip("anan", [0.9, 0.8, 0.7, 0.6])
    figures = compute_accuracy([labels], [scores])
    # Precision at the two abnormal frames: 1 of 1 and 2 of 3, each half of the recall.
    assert figures.average_precision == pytest.approx(100.0 * (1.0 + 2.0 / 3.0) / 2.0)
    # At 0.8, one of two normal frames alarms and one of two abnormal ones is missed.
    assert figures.equal_error_rate == pytest.approx(50.0)


@given(
    st.lists(st.tuples(st.booleans(), st.integers(0, 5)), min_size=2, max_size=30).filter(
        lambda rows: len({abnormal for abnormal, _ in rows}) == 2
    )
)
def test_auc_is_the_share_of_pairs_in_order(rows: list[tuple[bool, int]]) -> None:
    labels = np.array([abnormal for abnormal, _ in rows])
    scores = np.array([float(score) for _, score in rows])
    figures = compute_accuracy([labels], [scores])
    assert figures.micro == pytest.approx(_count_auc(labels, scores))
    assert figures.macro == figures.micro


@pytest.mark.parametrize("labels", ["nnn", "aaa"])
def test_labels_of_one_kind_have_no_figures(labels: str) -> None:
    figures = compute_accuracy(
        [_make_clip(labels, [0.1, 0.2, 0.3])[0]], [np.array([0.1, 0.2, 0.3])]
    )
    assert figures.micro is None
    assert figures.macro is None
    assert figures.average_precision is None
    assert figures.equal_error_rate is None
