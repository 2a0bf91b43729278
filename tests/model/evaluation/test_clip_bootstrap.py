"""AUCs of resampled clips against an independent count over all frames."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score

from model.evaluation.clip_bootstrap import (
    compute_aucs,
    compute_group_aucs,
    count_pairs,
    draw_counts,
    estimate_auc,
)

Clips = tuple[list[NDArray[np.bool_]], list[NDArray[np.float64]]]


def _make_clips(count: int, seed: int = 0, lead: float = 1.0) -> Clips:
    random = np.random.default_rng(seed)
    labels = [random.random(30) < 0.4 for _ in range(count)]
    scores = [np.round(random.normal(size=30) + lead * each, 1) for each in labels]
    for each in scores:
        each[:4] = np.nan
    return labels, scores


def _auc(labels: list[NDArray[np.bool_]], scores: list[NDArray[np.float64]]) -> float:
    flat, values = np.concatenate(labels), np.concatenate(scores)
    known = ~np.isnan(values)
    return 100.0 * float(roc_auc_score(flat[known], values[known]))


def test_a_resample_has_the_auc_of_its_clips_put_together() -> None:
    labels, scores = _make_clips(5)
    pairs = count_pairs(labels, scores)
    counts = draw_counts(["a"] * 5, 8, seed=3)
    expected = []
    for row in counts:
        drawn = [index for index, times in enumerate(row) for _ in range(int(times))]
        expected.append(_auc([labels[i] for i in drawn], [scores[i] for i in drawn]))
    np.testing.assert_allclose(compute_aucs(pairs, counts), expected)


def test_a_group_is_compared_with_the_normal_frames_of_all() -> None:
    labels, scores = _make_clips(4)
    groups = ["a", "a", "b", "b"]
    found = compute_group_aucs(count_pairs(labels, scores), np.ones((1, 4)), groups)
    only_a = [*labels[:2], *(each & False for each in labels[2:])]
    kept = [scores[0], scores[1], *(np.where(labels[i], np.nan, scores[i]) for i in (2, 3))]
    assert found["a"][0] == pytest.approx(_auc(only_a, kept))
    assert set(found) == {"a", "b"}


def test_groups_keep_their_sizes() -> None:
    counts = draw_counts(["a", "b", "a", "b", "b"], 50)
    assert (counts[:, [0, 2]].sum(axis=1) == 2).all()
    assert (counts[:, [1, 3, 4]].sum(axis=1) == 3).all()


def test_an_interval_holds_the_auc_and_narrows_with_more_clips() -> None:
    few, many = (estimate_auc(*_make_clips(count)) for count in (4, 60))
    assert few is not None
    assert many is not None
    assert few.low <= few.auc <= few.high
    assert many.auc == pytest.approx(_auc(*_make_clips(60)))
    assert many.high - many.low < few.high - few.low


def test_one_kind_of_frame_has_no_auc() -> None:
    labels, scores = _make_clips(3)
    assert estimate_auc([each & False for each in labels], scores) is None
