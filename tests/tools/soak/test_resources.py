"""What counts as growth, and what processes are seen to hold."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from service.tools.soak.resources import (
    HANDLES,
    MEMORY,
    THREADS,
    ResourceTrend,
    Sample,
    compute_trends,
    sample_processes,
)


def _trend(*megabytes: float, warm_up_s: float = 0.0) -> ResourceTrend:
    samples = [
        Sample(10.0 * index, {("worker", MEMORY): value}) for index, value in enumerate(megabytes)
    ]
    (found,) = compute_trends(samples, warm_up_s)
    return found


def test_growth_is_between_the_first_and_the_last_fifth() -> None:
    leak = _trend(*(200.0 + step for step in range(40)))
    assert (leak.first, leak.last, leak.most) == (203.5, 235.5, 239.0)
    assert leak.growth == 32.0 and leak.grows


def test_what_comes_before_the_warm_up_s_end_and_what_is_little_is_no_growth() -> None:
    rises = [float(step) for step in range(20)]
    assert not _trend(*rises, *[20.0] * 20, warm_up_s=200.0).grows
    assert _trend(*rises, *[40.0] * 20).grows
    assert not _trend(*[200.0] * 20, *[209.0] * 20).grows, "within 5 %"
    assert not _trend(*[10.0] * 20, *[14.0] * 20).grows, "within 5 MB"
    assert not _trend(*[50.0] * 10, 500.0, *[50.0] * 10).grows, "a peak"
    assert not _trend(*[50.0] * 10, *[20.0] * 10).grows


def test_what_was_not_there_all_along_has_no_trend() -> None:
    values = [{("worker", MEMORY): 1.0, ("capture", MEMORY): 1.0}, {("worker", MEMORY): 1.0}]
    samples = [Sample(float(index), each) for index, each in enumerate(values)]
    assert [each.part for each in compute_trends(samples, 0.0)] == ["worker"]
    with pytest.raises(ValueError, match="warm-up"):
        compute_trends(samples, 5.0)


def test_a_process_is_looked_at_and_one_that_has_ended_is_left_out(tmp_path: Path) -> None:
    gone = 2**22 - 1
    before = sample_processes({os.getpid(): "us", gone: "gone"}, lambda _: False)
    assert set(before) == {("us", kind) for kind in (MEMORY, HANDLES, THREADS)}
    assert before["us", MEMORY] > 10.0
    with (tmp_path / "file").open("w"):
        after = sample_processes({os.getpid(): "us"}, lambda _: False)
    assert after["us", HANDLES] == before["us", HANDLES] + 1
