"""What follows from measured values: distributions, whether a load is held, what limits it."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from model.stages import Stage
from service.tools.bench.bench_figures import (
    BenchDetectorFigures,
    LoadFigures,
    LoadRun,
    compute_ages,
    compute_camera_rates,
    compute_spread,
    fit_trend,
)
from service.tools.bench.load import (
    BUSY,
    QUIET,
    LoadMeasurement,
    TimedFrame,
    TimeSpan,
    compute_abnormal_share,
    count_increases,
    split_groups,
)
from service.tools.bench.process_usage import Usage

VALUES = st.lists(st.floats(0.0, 1e6), min_size=1)
ROW = LoadFigures(
    cameras=2,
    offered_fps=20.0,
    seconds=10.0,
    frames=200,
    fps=20.0,
    fps_per_core=40.0,
    camera_fps=compute_camera_rates([100, 100], 10.0),
    age=compute_ages([0.1] * 200),
    dropped={},
    alone=BenchDetectorFigures("torch-fp32", fps=50.0, cpu_ms=20.0, engine_cpu_ms=15.0),
    stages=dict.fromkeys(Stage, 0.1),
    processes={"worker": 0.5},
    foreign={"others": 0.0},
    cores=2,
    busy_share=0.3,
    peak_memory_mb=100.0,
)


@given(values=VALUES)
def test_quartiles_and_percentiles_are_in_order(values: list[float]) -> None:
    made, old = compute_spread(values), compute_ages(values)
    assert old is not None
    assert min(values) <= made.q1 <= made.median <= made.q3 <= max(values)
    assert old.p50_s <= old.p95_s <= old.p99_s <= old.most_s == max(values)
    assert made.count == len(values)


def test_where_nothing_was_measured_nothing_is_told() -> None:
    assert compute_ages([]) is None
    with pytest.raises(ValueError, match="needs a value"):
        compute_spread([])
    assert replace(ROW, alone=None).efficiency is None
    assert replace(ROW, age=None).holds is None
    assert replace(ROW, offered_fps=None).served_share is None


def test_efficiency_is_told_only_of_loads_that_fill_the_detector() -> None:
    assert ROW.efficiency is None
    assert replace(ROW, offered_fps=100.0, fps=45.0).efficiency == pytest.approx(0.9)
    assert replace(ROW, offered_fps=None, fps=45.0).efficiency == pytest.approx(0.9)


def test_the_service_is_compared_to_its_engine_by_processor_time() -> None:
    # 15 ms a frame are 66.7 frames a CPU second.
    assert ROW.engine_share == pytest.approx(0.6)
    assert replace(ROW, alone=None).engine_share is None
    assert replace(ROW, fps_per_core=None).engine_share is None


def test_a_load_is_held_by_frames_and_by_age() -> None:
    assert ROW.holds
    assert not replace(ROW, fps=19.0).holds
    assert not replace(ROW, age=compute_ages([1.1] * 10)).holds
    run = LoadRun("b", [ROW, replace(ROW, cameras=4), replace(ROW, cameras=8, fps=1.0)], "memory")
    assert run.held == 4
    assert LoadRun("b", [replace(ROW, fps=1.0)], "memory").held is None


def test_what_limits_a_load_is_named() -> None:
    assert ROW.limit.startswith("every camera was served")
    short = replace(ROW, fps=10.0)
    assert short.limit.startswith("what limits it isn't known")
    busy = replace(short, busy_share=0.97, stages={**ROW.stages, Stage.CAPTURE: 1.1})
    assert busy.limit.startswith("limited by the cores, 50% of our time in capture")
    assert "25% outside the service" in replace(busy, foreign={"others": 0.5}).limit
    assert "scoring thread" in replace(short, scoring_thread=0.95).limit


def test_only_what_was_scored_in_the_span_counts() -> None:
    scored = [TimedFrame(camera, 0.0, at) for camera in (0, 1) for at in (0.5, 1.0, 1.9, 2.0)]
    span = TimeSpan(1.0, 2.0)
    assert [each.scored_at for each in span.select(scored)] == [1.0, 1.9, 1.0, 1.9]
    assert span.count_by_camera(span.select(scored), 3) == [2, 2, 0]
    rates = compute_camera_rates([2, 2, 0], 2.0)
    assert (rates.least, rates.median, rates.most) == (0.0, 1.0, 1.0)


def test_counters_that_stood_still_are_left_out() -> None:
    assert count_increases({"a": 3, "b": 1}, {"a": 3, "b": 4, "c": 2}) == {"b": 3, "c": 2}


def test_only_scores_with_a_threshold_can_be_abnormal() -> None:
    scored = [TimedFrame(0, 0.0, 1.0, each) for each in (True, False, False, None, False)]
    assert compute_abnormal_share(scored) == 0.25
    assert compute_abnormal_share([TimedFrame(0, 0.0, 1.0)]) is None


def test_quiet_cameras_are_the_last_ones_and_stand_apart_from_the_busy() -> None:
    scored = [TimedFrame(0, 0.0, 0.5, abnormal=True)] * 4 + [
        TimedFrame(2, 0.0, 0.1, abnormal=False)
    ] * 6
    usage = Usage(2.0, {}, 0.5, 100.0, [])
    measured = LoadMeasurement(TimeSpan(0.0, 2.0), scored, {}, usage, None)
    groups = split_groups(measured, 3, 2, offered_fps=10.0)
    busy, quiet = groups[BUSY], groups[QUIET]
    assert (busy.cameras, busy.offered_fps, busy.fps, busy.abnormal_share) == (1, 10.0, 2.0, 1.0)
    assert (quiet.cameras, quiet.offered_fps, quiet.fps, quiet.abnormal_share) == (2, 20.0, 3.0, 0)
    assert busy.age is not None and quiet.age is not None
    assert busy.age.p99_s == 0.5 and quiet.age.p99_s == 0.1
    assert split_groups(measured, 3, 0, offered_fps=10.0) == {}
    assert list(split_groups(measured, 3, 3, offered_fps=10.0)) == [QUIET]


def test_growth_is_a_line_over_the_second_half_of_a_run() -> None:
    # Start-up grows by 50 MB; after that a megabyte comes in each of 5 minutes.
    samples = [(second, min(second, 50.0) + second / 60.0) for second in range(601)]
    trend = fit_trend(samples, 600.0)
    assert trend is not None
    assert trend.mb_an_hour == pytest.approx(60.0)
    assert trend.error_mb_an_hour == pytest.approx(0.0, abs=1e-6)
    uneven = [(second, 100.0 + (second % 2)) for second in range(601)]
    noisy = fit_trend(uneven, 600.0)
    assert noisy is not None
    assert abs(noisy.mb_an_hour) < 2.0 * noisy.error_mb_an_hour


def test_a_short_run_says_nothing_about_growth() -> None:
    assert fit_trend([(second, 1.0) for second in range(101)], 100.0) is None
    assert fit_trend([(0.0, 1.0), (300.0, 1.0), (600.0, 1.0)], 600.0) is None
    assert fit_trend([], 600.0) is None
