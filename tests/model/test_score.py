"""Pooling, running ranges and the score of one camera."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from model.config import LIVE, PAPER, ErrorStep, NormalRange, ScoreConfig, Span
from model.ranges import RunningRange
from model.score import LEAST_SPAN, Measures, Scorer, pool_cells, pool_top
from tests.model import reference

VALUES = st.floats(-1e3, 1e3)
PSNR, POOLED = PAPER.error.key, LIVE.error.key
NORMAL = NormalRange(Span(0.1, 0.2), {PSNR: Span(-40.0, -30.0), POOLED: Span(0.02, 0.04)})
BAD = pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])


def _measures(psnr: float = 35.0, distance: float = 0.15, pooled: float = 0.03) -> Measures:
    return Measures(psnr, distance, 0.001, {PSNR: -psnr, POOLED: pooled})


@given(VALUES, st.floats(0, 1e3), st.lists(VALUES, min_size=1), st.sampled_from([1e-6, 1.0]))
def test_plain_running_min_max_is_the_references(
    low: float, width: float, values: list[float], least: float
) -> None:
    running = RunningRange(Span(low, low + width), least_span=least)
    results = [running.normalise(value) for value in values]
    expected = reference.running_min_max(values, low, low + width, least)
    assert results == pytest.approx(expected, rel=1e-9)


@given(st.lists(VALUES, min_size=1), st.floats(0.0, 50.0))
def test_what_is_normalised_lies_between_0_and_1(values: list[float], relax: float) -> None:
    running = RunningRange(Span(0.0, 1.0), least_span=1e-6, relax_frames=relax)
    assert all(0.0 <= running.normalise(value) <= 1.0 for value in values)


@given(st.lists(VALUES), VALUES, VALUES)
def test_a_score_uses_the_past_only(past: list[float], one: float, other: float) -> None:
    scores = []
    for future in (one, other):
        running = RunningRange(Span(0.0, 1.0), least_span=1e-6, relax_frames=3.0)
        scores.append([running.normalise(value) for value in [*past, future]][: len(past)])
    assert scores[0] == scores[1]


def test_a_collapsed_measure_gives_0_not_noise() -> None:
    running = RunningRange(Span(0.1, 0.1), least_span=0.01)
    assert running.normalise(0.1) == 0.0
    assert running.normalise(0.1 + 1e-5) == pytest.approx(1e-3)


def test_what_widened_the_range_fades_with_the_half_life() -> None:
    running = RunningRange(Span(0.0, 1.0), least_span=1e-6, relax_frames=10.0)
    running.normalise(9.0)
    for _ in range(10):
        running.normalise(0.5)
    assert running.high == pytest.approx(1.0 + 8.0 / 2)
    for _ in range(1000):
        running.normalise(0.5)
    assert (running.low, running.high) == (0.0, pytest.approx(1.0))


def test_plain_ranges_keep_an_extreme_for_ever() -> None:
    running = RunningRange(Span(0.0, 1.0), least_span=1e-6)
    running.normalise(9.0)
    for _ in range(1000):
        running.normalise(0.5)
    assert running.high == 9.0


@BAD
def test_a_range_is_never_poisoned(bad: float) -> None:
    running = RunningRange(Span(0.0, 1.0), least_span=1e-6, relax_frames=10.0)
    running.normalise(3.0)
    before = (running.low, running.high)
    with pytest.raises(ValueError, match=str(bad)):
        running.normalise(bad)
    assert (running.low, running.high) == before


@given(st.lists(st.tuples(st.floats(0, 60), st.floats(0, 1)), min_size=1, max_size=30))
def test_the_papers_score_is_the_papers(rows: list[tuple[float, float]]) -> None:
    scorer = Scorer(PAPER, NORMAL)
    scores = [scorer.score(_measures(psnr, distance)) for psnr, distance in rows]
    minus = [-psnr for psnr, _ in rows]
    errors = reference.running_min_max(minus, -40.0, -30.0, LEAST_SPAN["psnr"])
    distances = reference.running_min_max(
        [distance for _, distance in rows], 0.1, 0.2, LEAST_SPAN["distance"]
    )
    expected = [0.6 * p + 0.4 * d for p, d in zip(errors, distances, strict=True)]
    assert scores == pytest.approx(expected, rel=1e-9, abs=1e-12)


def test_the_weight_may_be_overridden() -> None:
    rows = _measures(psnr=30.0, distance=0.1)  # the worst P and the best D that are normal
    assert Scorer(PAPER, NORMAL).score(rows) == pytest.approx(0.6)
    assert Scorer(PAPER, NORMAL).score(rows, 1.0) == pytest.approx(1.0)
    assert Scorer(PAPER, NORMAL).score(rows, 0.0) == pytest.approx(0.0)


def test_headroom_puts_the_worst_normal_frame_below_1() -> None:
    config = replace(LIVE, smoothing=1.0)
    assert Scorer(config, NORMAL).score(_measures(pooled=0.04)) == pytest.approx(0.5)


def test_smoothing_averages_until_a_cut() -> None:
    config = replace(LIVE, normalisation=PAPER.normalisation, smoothing=0.5)
    scorer = Scorer(config, NORMAL)
    assert scorer.score(_measures(pooled=0.02)) == pytest.approx(0.0)
    assert scorer.score(_measures(pooled=0.04)) == pytest.approx(0.5)
    assert scorer.score(_measures(pooled=0.04)) == pytest.approx(0.75)
    scorer.cut()
    assert scorer.score(_measures(pooled=0.04)) == pytest.approx(1.0)


@BAD
@pytest.mark.parametrize("config", [PAPER, LIVE], ids=lambda config: str(config.name))
@pytest.mark.parametrize("field", [PSNR, "distance", POOLED])
def test_a_bad_measure_changes_nothing(field: str, config: ScoreConfig, bad: float) -> None:
    scorer = Scorer(config, NORMAL)
    scorer.score(_measures())
    before = scorer.numbers()
    row = _measures(psnr=20.0, distance=0.9, pooled=0.9)
    if field == "distance":
        row = replace(row, distance=bad)
    else:
        row = replace(row, errors={**row.errors, field: bad})
    if field in {config.error.key, "distance"}:
        with pytest.raises(ValueError, match="finite"):
            scorer.score(row)
        assert scorer.numbers() == before
    else:
        assert math.isfinite(scorer.score(row))


@given(st.lists(st.tuples(st.floats(0, 60), st.floats(0, 1)), min_size=2, max_size=12))
def test_a_restored_scorer_goes_on_to_the_bit(rows: list[tuple[float, float]]) -> None:
    for config in (PAPER, LIVE):
        first = Scorer(config, NORMAL)
        middle = len(rows) // 2
        for psnr, value in rows[:middle]:
            first.score(_measures(psnr, value, value))
        second = Scorer(config, NORMAL)
        second.restore(first.numbers())
        for psnr, value in rows[middle:]:
            row = _measures(psnr, value, value)
            assert first.score(row) == second.score(row)


@pytest.mark.parametrize(
    "damage",
    [{f"low.{POOLED}": math.nan}, {f"low.{POOLED}": 1e9}, {f"average.{POOLED}": math.inf}],
)
def test_damaged_numbers_are_refused_and_change_nothing(damage: dict[str, float]) -> None:
    scorer = Scorer(LIVE, NORMAL)
    scorer.score(_measures())
    before = scorer.numbers()
    with pytest.raises(ValueError, match=r"finite|range"):
        scorer.restore(before | damage)
    with pytest.raises(ValueError, match=r"low\.distance"):
        scorer.restore({k: v for k, v in before.items() if k != "low.distance"})
    assert scorer.numbers() == before


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


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("appearance_weight", 1.5),
        ("appearance_weight", math.nan),
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
        ("relax_frames", math.inf),
        ("smoothing", 0.0),
        ("smoothing", math.nan),
    ],
)
def test_a_bad_score_configuration_names_field_and_value(field: str, value: float) -> None:
    with pytest.raises(ValueError, match=f"{field}.*{value}"):
        if field in ("appearance_weight", "smoothing"):
            replace(LIVE, **{field: value})
        elif hasattr(LIVE.error, field):
            replace(LIVE.error, **{field: value})
        else:
            replace(LIVE.normalisation, **{field: value})


@pytest.mark.parametrize("ends", [(1.0, 0.0), (math.nan, 1.0), (0.0, math.inf)])
def test_a_span_is_two_finite_numbers_in_order(ends: tuple[float, float]) -> None:
    with pytest.raises(ValueError, match="range"):
        Span(*ends)
