"""What follows from measured values: distributions, whether a load is held, what limits it."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.bench.figures import (
    AloneFigures,
    LoadFigures,
    LoadRun,
    Stage,
    ages,
    camera_rates,
    spread,
)
from service.bench.load import Scored, Span, increase

VALUES = st.lists(st.floats(0.0, 1e6), min_size=1)
ROW = LoadFigures(
    cameras=2,
    offered_fps=20.0,
    seconds=10.0,
    frames=200,
    fps=20.0,
    fps_per_core=40.0,
    camera_fps=camera_rates([100, 100], 10.0),
    age=ages([0.1] * 200),
    dropped={},
    alone=AloneFigures("torch-fp32", fps=50.0, cpu_ms=20.0, network_share=0.8),
    stages=dict.fromkeys(Stage, 0.1),
    processes={"worker": 0.5},
    beside={"others": 0.0},
    cores=2,
    busy_share=0.3,
    peak_memory_mb=100.0,
)


@given(values=VALUES)
def test_quartiles_and_percentiles_are_in_order(values: list[float]) -> None:
    made, old = spread(values), ages(values)
    assert old is not None
    assert min(values) <= made.q1 <= made.median <= made.q3 <= max(values)
    assert old.p50_s <= old.p95_s <= old.p99_s <= old.most_s == max(values)
    assert made.count == len(values)


def test_where_nothing_was_measured_nothing_is_told() -> None:
    assert ages([]) is None
    with pytest.raises(ValueError, match="needs a value"):
        spread([])
    assert replace(ROW, alone=None).efficiency is None
    assert replace(ROW, age=None).holds is None
    assert replace(ROW, offered_fps=None).served_share is None


def test_efficiency_is_told_only_of_loads_that_fill_the_detector() -> None:
    assert ROW.efficiency is None
    assert replace(ROW, offered_fps=100.0, fps=45.0).efficiency == pytest.approx(0.9)
    assert replace(ROW, offered_fps=None, fps=45.0).efficiency == pytest.approx(0.9)


def test_a_load_is_held_by_frames_and_by_age() -> None:
    assert ROW.holds
    assert not replace(ROW, fps=19.0).holds
    assert not replace(ROW, age=ages([1.1] * 10)).holds
    run = LoadRun("b", [ROW, replace(ROW, cameras=4), replace(ROW, cameras=8, fps=1.0)], "memory")
    assert run.held == 4
    assert LoadRun("b", [replace(ROW, fps=1.0)], "memory").held is None


def test_what_limits_a_load_is_named() -> None:
    assert ROW.limit.startswith("every camera was served")
    short = replace(ROW, fps=10.0)
    assert short.limit.startswith("what limits it isn't known")
    busy = replace(short, busy_share=0.97, stages={**ROW.stages, Stage.DECODE: 0.6})
    assert busy.limit.startswith("limited by the cores, 60% of our time in decode")
    assert "25% with what isn't ours" in replace(busy, beside={"others": 0.5}).limit
    assert "scoring thread" in replace(short, scoring_thread=0.95).limit


def test_only_what_was_scored_in_the_span_counts() -> None:
    scored = [Scored(camera, 0.0, at) for camera in (0, 1) for at in (0.5, 1.0, 1.9, 2.0)]
    span = Span(1.0, 2.0)
    assert [each.scored_at for each in span.of(scored)] == [1.0, 1.9, 1.0, 1.9]
    assert span.counts(span.of(scored), 3) == [2, 2, 0]
    rates = camera_rates([2, 2, 0], 2.0)
    assert (rates.least, rates.median, rates.most) == (0.0, 1.0, 1.0)


def test_counters_that_stood_still_are_left_out() -> None:
    assert increase({"a": 3, "b": 1}, {"a": 3, "b": 4, "c": 2}) == {"b": 3, "c": 2}
