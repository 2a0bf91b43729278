"""Pooling, running ranges and the score of one camera."""

from __future__ import annotations

import math
from dataclasses import fields, replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from model.scoring.measures import Measures
from model.scoring.normal_range import Interval, NormalRange
from model.scoring.prediction_error import error_map, frame_error, pool_cells, pool_top
from model.scoring.score_config import (
    JUDGED,
    LIVE,
    PAPER,
    SCORES,
    ErrorKind,
    ErrorStep,
    Normalisation,
    NormalisationKind,
    PsnrPeak,
    ScoreConfig,
    list_scores,
    rescale,
)
from model.scoring.scorer import LEAST_SPAN, Scorer
from tests.model import reference

PSNR, POOLED = PAPER.error.key, LIVE.error.key
NORMAL = NormalRange(
    Interval(0.1, 0.2), {PSNR: Interval(-40.0, -30.0), POOLED: Interval(0.02, 0.04)}
)
DECAYED = replace(LIVE, normalisation=Normalisation(NormalisationKind.DECAYED))
BAD = pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])


def _make_measures(psnr: float = 35.0, distance: float = 0.15, pooled: float = 0.03) -> Measures:
    return Measures(psnr, distance, 0.001, {PSNR: -psnr, POOLED: pooled})


@given(st.lists(st.tuples(st.floats(0, 60), st.floats(0, 1)), min_size=1, max_size=30))
def test_the_papers_score_is_the_papers(rows: list[tuple[float, float]]) -> None:
    scorer = Scorer(PAPER, NORMAL)
    scores = [scorer.score(_make_measures(psnr, distance)) for psnr, distance in rows]
    minus = [-psnr for psnr, _ in rows]
    errors = reference.running_min_max(minus, -40.0, -30.0, LEAST_SPAN["psnr"])
    distances = reference.running_min_max(
        [distance for _, distance in rows], 0.1, 0.2, LEAST_SPAN["distance"]
    )
    expected = [0.6 * p + 0.4 * d for p, d in zip(errors, distances, strict=True)]
    assert scores == pytest.approx(expected, rel=1e-9, abs=1e-12)


def test_the_weight_may_be_overridden() -> None:
    rows = _make_measures(psnr=30.0, distance=0.1)  # the worst P and the best D that are normal
    assert Scorer(PAPER, NORMAL).score(rows) == pytest.approx(0.6)
    assert Scorer(PAPER, NORMAL).score(rows, 1.0) == pytest.approx(1.0)
    assert Scorer(PAPER, NORMAL).score(rows, 0.0) == pytest.approx(0.0)


def test_headroom_puts_the_worst_normal_frame_below_1() -> None:
    config = replace(LIVE, smoothing=1.0)
    assert Scorer(config, NORMAL).score(_make_measures(pooled=0.04)) == pytest.approx(0.5)


def test_smoothing_averages_until_a_cut() -> None:
    config = replace(LIVE, normalisation=PAPER.normalisation, smoothing=0.5)
    scorer = Scorer(config, NORMAL)
    assert scorer.score(_make_measures(pooled=0.02)) == pytest.approx(0.0)
    assert scorer.score(_make_measures(pooled=0.04)) == pytest.approx(0.5)
    assert scorer.score(_make_measures(pooled=0.04)) == pytest.approx(0.75)
    scorer.cut()
    assert scorer.score(_make_measures(pooled=0.04)) == pytest.approx(1.0)


@pytest.mark.parametrize("steps", [0.4, 1.0, 2.0, 5.0])
def test_smoothing_takes_as_long_at_each_rate(steps: float) -> None:
    """A value that jumps by 1 has come 1 - 0.5^n of the way when n frames' time has passed."""
    config = replace(LIVE, normalisation=PAPER.normalisation, smoothing=0.5)
    scorer = Scorer(config, NORMAL)
    scorer.score(_make_measures(pooled=0.02))
    for count in range(1, 6):
        score = scorer.score(_make_measures(pooled=0.04), steps=steps)
        assert score == pytest.approx(1.0 - 0.5 ** (steps * count))


@pytest.mark.parametrize("config", [LIVE, DECAYED], ids=["live", "decayed"])
def test_a_frame_that_stands_for_four_moves_the_range_as_far_as_four(config: ScoreConfig) -> None:
    config = replace(config, smoothing=1.0)
    slow, quick = Scorer(config, NORMAL), Scorer(config, NORMAL)
    for pooled in (0.9, 0.03, 0.03):
        slow.score(_make_measures(pooled=pooled), steps=4.0)
        for _ in range(4):
            quick.score(_make_measures(pooled=pooled))
    assert slow.to_numbers() == pytest.approx(quick.to_numbers())
    assert slow.to_numbers() != Scorer(config, NORMAL).to_numbers()


def test_a_long_time_without_scores_moves_a_range_by_little() -> None:
    scorer, start = Scorer(LIVE, NORMAL), Scorer(LIVE, NORMAL).to_numbers()
    scorer.score(_make_measures(pooled=0.9), steps=1e9)
    moved = scorer.to_numbers()[f"high.{POOLED}"] - start[f"high.{POOLED}"]
    assert 0.0 < moved < 0.01 * (start[f"high.{POOLED}"] - start[f"low.{POOLED}"])


def test_a_rescaled_score_gives_at_its_rate_what_the_model_s_gives_by_steps() -> None:
    by_steps, rescaled = Scorer(LIVE, NORMAL), Scorer(rescale(LIVE, 2.5), NORMAL)
    for pooled in (0.02, 0.04, 0.2, 0.03, 0.05):
        row = _make_measures(pooled=pooled)
        assert rescaled.score(row) == pytest.approx(by_steps.score(row, steps=2.5))
    for score in SCORES.values():
        assert rescale(score, 1.0) == score


@BAD
@pytest.mark.parametrize("config", [PAPER, LIVE, DECAYED], ids=["paper", "live", "decayed"])
@pytest.mark.parametrize("field", [PSNR, "distance", POOLED])
def test_a_bad_measure_changes_nothing(field: str, config: ScoreConfig, bad: float) -> None:
    scorer = Scorer(config, NORMAL)
    scorer.score(_make_measures())
    before = scorer.to_numbers()
    row = _make_measures(psnr=20.0, distance=0.9, pooled=0.9)
    if field == "distance":
        row = replace(row, distance=bad)
    else:
        row = replace(row, errors={**row.errors, field: bad})
    if field in {config.error.key, "distance"}:
        with pytest.raises(ValueError, match="finite"):
            scorer.score(row)
        assert scorer.to_numbers() == before
    else:
        assert math.isfinite(scorer.score(row))


@given(st.lists(st.tuples(st.floats(0, 60), st.floats(0, 1)), min_size=2, max_size=12))
def test_a_restored_scorer_goes_on_to_the_bit(rows: list[tuple[float, float]]) -> None:
    for config in (PAPER, LIVE, DECAYED):
        first = Scorer(config, NORMAL)
        middle = len(rows) // 2
        for psnr, value in rows[:middle]:
            first.score(_make_measures(psnr, value, value))
        second = Scorer(config, NORMAL)
        second.restore(first.to_numbers())
        for psnr, value in rows[middle:]:
            row = _make_measures(psnr, value, value)
            assert first.score(row) == second.score(row)


@pytest.mark.parametrize(
    "damage",
    [{f"low.{POOLED}": math.nan}, {f"low.{POOLED}": 1e9}, {f"average.{POOLED}": math.inf}],
)
def test_damaged_numbers_are_refused_and_change_nothing(damage: dict[str, float]) -> None:
    scorer = Scorer(LIVE, NORMAL)
    scorer.score(_make_measures())
    before = scorer.to_numbers()
    with pytest.raises(ValueError, match=r"finite|range"):
        scorer.restore(before | damage)
    with pytest.raises(ValueError, match=r"low\.distance"):
        scorer.restore({k: v for k, v in before.items() if k != "low.distance"})
    assert scorer.to_numbers() == before


def test_cells_are_means_of_overlapping_squares() -> None:
    config = ErrorStep(cell=4, stride=2, blur_cells=0.0)
    error_map = torch.rand(2, 8, 10, generator=torch.Generator().manual_seed(0))
    cells = pool_cells(error_map, config)
    assert cells.shape == (2, 3, 4)
    for row in range(3):
        for column in range(4):
            square = error_map[:, 2 * row : 2 * row + 4, 2 * column : 2 * column + 4]
            torch.testing.assert_close(cells[:, row, column], square.mean(dim=(1, 2)))


def test_blur_keeps_a_constant_map_and_spreads_a_spot_evenly() -> None:
    config = ErrorStep(cell=1, stride=1, blur_cells=1.0)
    torch.testing.assert_close(
        pool_cells(torch.full((1, 9, 9), 0.3), config), torch.full((1, 9, 9), 0.3)
    )
    spot = torch.zeros(1, 21, 21)
    spot[0, 10, 10] = 1.0
    spread = pool_cells(spot, config)[0].numpy()
    assert spread.sum() == pytest.approx(1.0, rel=1e-5)
    np.testing.assert_allclose(spread, spread.T, atol=1e-7)
    assert spread[10, 11] / spread[10, 10] == pytest.approx(math.exp(-0.5), rel=1e-5)


def test_a_cell_larger_than_the_map_is_refused() -> None:
    with pytest.raises(ValueError, match="cell of 8"):
        pool_cells(torch.zeros(1, 7, 30), ErrorStep(cell=8))


def test_the_top_is_the_mean_of_the_largest_cells() -> None:
    cells = torch.arange(12.0).view(1, 3, 4)
    assert pool_top(cells, 2).item() == 10.5
    assert pool_top(cells, 500).item() == 5.5
    assert pool_top(cells, 0).item() == 5.5


def test_each_form_of_error_is_the_references() -> None:
    predicted, actual = torch.rand(2, 2, 3, 12, 16, generator=torch.Generator().manual_seed(1))
    one, other = predicted.numpy(), actual.numpy()
    whole = ErrorStep(cell=1, stride=1, blur_cells=0.0, top_cells=0)
    absolute = [np.abs(a - b).mean() for a, b in zip(one, other, strict=True)]
    assert frame_error(whole, predicted, actual).tolist() == pytest.approx(absolute)
    squared = [((a - b) ** 2).mean() for a, b in zip(one, other, strict=True)]
    square = replace(whole, kind=ErrorKind.SQUARED)
    assert frame_error(square, predicted, actual).tolist() == pytest.approx(squared)
    minus = [-reference.psnr(a, b) for a, b in zip(one, other, strict=True)]
    assert frame_error(PAPER.error, predicted, actual).tolist() == pytest.approx(minus)
    unit = replace(PAPER.error, peak=PsnrPeak.UNIT)
    minus = [-reference.psnr(a, b, peak=1.0) for a, b in zip(one, other, strict=True)]
    assert frame_error(unit, predicted, actual).tolist() == pytest.approx(minus)


def test_a_pooled_error_is_the_top_of_the_maps_cells() -> None:
    predicted, actual = torch.rand(2, 1, 1, 32, 40, generator=torch.Generator().manual_seed(2))
    cells = pool_cells(error_map(ErrorKind.ABSOLUTE, predicted, actual), LIVE.error)
    largest = np.sort(cells.numpy().ravel())[-LIVE.error.top_cells :]
    assert frame_error(LIVE.error, predicted, actual).item() == pytest.approx(largest.mean())


@pytest.mark.parametrize("step", [PAPER.error, LIVE.error], ids=lambda step: step.key)
def test_an_error_that_is_not_finite_is_refused(step: ErrorStep) -> None:
    with pytest.raises(ValueError, match="finite"):
        frame_error(step, torch.full((1, 1, 16, 16), math.nan), torch.zeros(1, 1, 16, 16))


def test_the_judgement_is_pooled_as_any_map() -> None:
    frames = torch.zeros(1, 1, 16, 16)
    judged = torch.rand(1, 16, 16, generator=torch.Generator().manual_seed(4))
    step = ErrorStep(kind=ErrorKind.JUDGED, cell=1, stride=1, blur_cells=0.0, top_cells=10)
    largest = np.sort(judged.numpy().ravel())[-10:]
    assert frame_error(step, frames, frames, judged).item() == pytest.approx(largest.mean())
    with pytest.raises(ValueError, match="needs a network that judges"):
        frame_error(step, frames, frames)


@pytest.mark.parametrize("share", [0.0, 0.25, 1.0])
def test_the_judgement_has_its_share_of_the_score(share: float) -> None:
    plain = Normalisation(kind=NormalisationKind.MIN_MAX, headroom=1.0)
    score = replace(JUDGED, judgement_weight=share, normalisation=plain, smoothing=1.0)
    error, judgement = (step.key for step in score.steps)
    normal = NormalRange(
        Interval(0.0, 1.0), {error: Interval(0.0, 1.0), judgement: Interval(0.0, 0.5)}
    )
    row = Measures(30.0, 0.2, 0.0, {error: 0.6, judgement: 0.1})
    expected = (1.0 - share) * 0.6 + share * 0.2
    scorer = Scorer(score, normal)
    assert scorer.score(row) == pytest.approx(expected)
    mixed = (1.0 - share) * (0.5 * 0.6 + 0.5 * 0.2) + share * 0.2
    assert scorer.score(row, appearance_weight=0.5) == pytest.approx(mixed)
    assert {f"high.{judgement}", f"average.{judgement}"} <= set(scorer.to_numbers())


def test_a_judged_score_needs_the_judgements_range() -> None:
    normal = NormalRange(Interval(0.0, 1.0), {JUDGED.error.key: Interval(0.0, 1.0)})
    with pytest.raises(ValueError, match=r"absolute\.8\.4\.2\.30 and judged\.8\.4\.0\.100"):
        Scorer(JUDGED, normal)


def test_compositions_end_with_the_bundles_own() -> None:
    assert list(list_scores(LIVE)) == list(SCORES)
    names = list(list_scores(JUDGED))
    assert names == [*SCORES, "judgement", "judged"]
    assert list_scores(JUDGED)["judgement"].judgement_weight == 1.0
    own = replace(LIVE, name="mine", smoothing=0.1)
    assert list_scores(own)["mine"] == own


def test_a_share_of_a_judgement_needs_the_judgement() -> None:
    with pytest.raises(ValueError, match="judgement must be given"):
        replace(LIVE, judgement_weight=0.5)
    with pytest.raises(ValueError, match=r"judgement\.kind must be judged, got .*absolute"):
        replace(LIVE, judgement=LIVE.error, judgement_weight=0.5)


def test_a_key_names_what_changes_the_error_and_nothing_else() -> None:
    step = ErrorStep()
    changes = {
        "kind": "squared", "cell": 4, "stride": 2, "blur_cells": 1.5, "top_cells": 3,
    }  # fmt: skip
    keys = {replace(step, **{name: value}).key for name, value in changes.items()}
    assert len(keys | {step.key}) == 6
    assert replace(step, peak=PsnrPeak.UNIT).key == step.key
    psnr = ErrorStep(ErrorKind.PSNR)
    assert replace(psnr, cell=3).key == psnr.key != replace(psnr, peak=PsnrPeak.UNIT).key


def test_the_ladder_goes_from_paper_to_live_one_step_a_rung() -> None:
    steps = [
        (score.error.kind, score.error.key, score.normalisation, score.appearance_weight,
         score.smoothing)
        for score in SCORES.values()
    ]  # fmt: skip
    scores = list(SCORES.values())
    assert (scores[0], scores[-1]) == (PAPER, LIVE)
    assert list(SCORES) == [score.name for score in scores]
    for before, after in pairwise(steps):
        changed = [index for index in range(5) if before[index] != after[index]]
        assert changed in ([3], [0, 1], [1], [2], [4])


def test_each_named_score_and_each_form_is_in_the_docs() -> None:
    docs = Path(__file__).parents[3] / "docs"
    text = "".join((docs / page).read_text() for page in ("scoring.md", "studies/ranges.md"))
    for name in (*SCORES, *ErrorKind, *NormalisationKind):
        assert f"`{name}`" in text or f"error.kind: {name}" in text, name
    for step in (ErrorStep, Normalisation, ScoreConfig):
        for field in fields(step):
            if field.name not in ("name", "kind"):
                assert field.name in text, field.name


def test_a_score_without_a_range_is_refused() -> None:
    with pytest.raises(ValueError, match=r"no range .* squared\.8\.4\.2\.30, of score other"):
        Scorer(ScoreConfig("other", ErrorStep(ErrorKind.SQUARED)), NORMAL)
    with pytest.raises(ValueError, match=r"finite, got absolute\.8\.4\.2\.30 nan"):
        Scorer(LIVE, NORMAL).score(replace(_make_measures(), errors={}))


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("appearance_weight", 1.5),
        ("appearance_weight", math.nan),
        ("judgement_weight", -0.1),
        ("judgement_weight", math.nan),
        ("cell", 0),
        ("stride", 0),
        ("blur_cells", math.inf),
        ("top_cells", -1),
        ("headroom", 0.5),
        ("headroom", math.nan),
        ("relax_frames", 0.0),
        ("window_frames", math.nan),
        ("tail", 0.5),
        ("tail", math.nan),
        ("abnormal_gain", -0.1),
        ("abnormal_gain", 1.1),
        ("relax_frames", math.inf),
        ("smoothing", 0.0),
        ("smoothing", math.nan),
    ],
)
def test_a_bad_score_configuration_names_field_and_value(field: str, value: float) -> None:
    with pytest.raises(ValueError, match=f"{field}.*{value}"):
        if field in ("appearance_weight", "judgement_weight", "smoothing"):
            replace(LIVE, **{field: value})
        elif hasattr(LIVE.error, field):
            replace(LIVE.error, **{field: value})
        else:
            replace(LIVE.normalisation, **{field: value})


@pytest.mark.parametrize("ends", [(1.0, 0.0), (math.nan, 1.0), (0.0, math.inf)])
def test_a_span_is_two_finite_numbers_in_order(ends: tuple[float, float]) -> None:
    with pytest.raises(ValueError, match="range"):
        Interval(*ends)


def test_a_score_that_reaches_the_threshold_teaches_the_ranges_less() -> None:
    def high(threshold: float | None) -> float:
        scorer = Scorer(LIVE, NORMAL)
        for _ in range(20):
            scorer.score(_make_measures(pooled=0.9), threshold=threshold)
        return scorer.to_numbers()[f"high.{LIVE.error.key}"]

    start = Scorer(LIVE, NORMAL).to_numbers()[f"high.{LIVE.error.key}"]
    freely = high(None) - start
    assert freely > 0.0
    assert high(0.5) - start == pytest.approx(0.1 * freely)
    assert high(1.1) - start == pytest.approx(freely)
