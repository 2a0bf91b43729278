"""Prints figures for people: tables of at most 100 columns, and lines below them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rich.table import Table

from model.stages import Stage
from service.tools.bench.bench_figures import (
    HELD_AGE_S,
    HELD_SHARE,
    EngineFigures,
    GroupFigures,
    LoadFigures,
    LoadRun,
    MemoryTrend,
    NetworkFigures,
    Spread,
)
from service.tools.console_tables import make_table

NOT_MEASURED = "n/a"
STAGE_COLUMNS = 5
"""Number of loads in one table of stages."""


def format_camera_count(count: int) -> str:
    """Format a number of cameras."""
    return "1 camera" if count == 1 else f"{count} cameras"


def make_network_table(figures: NetworkFigures) -> Table:
    """Make a table with a row for each engine, the reference form first."""
    threads = "1 thread" if figures.threads == 1 else f"{figures.threads} threads"
    cameras = format_camera_count(figures.batch)
    table = make_table(
        f"{figures.bundle}: network and scoring, frames from memory; {threads}, {cameras} a step",
        *("", "ms a\nframe", "\nquartiles", "frames/s\na core", "times the\nreference"),
        *("\nquartiles", "GFLOP/s\na core", "of fp32\npeak"),
    )
    table.add_row("reference form", *_format_engine(figures.reference))
    for name, each in figures.engines.items():
        table.add_row(name, *_format_engine(each), style="bold" if name == figures.engine else None)
    return table


def _format_engine(each: EngineFigures) -> tuple[str, ...]:
    ratio = each.ratio_per_core
    return (
        _format_number(each.frame_ms.median),
        _format_quartiles(each.frame_ms),
        _format_number(each.fps_per_core),
        "1" if ratio is None else _format_number(ratio.median),
        "" if ratio is None else _format_quartiles(ratio),
        _format_number(each.gflop_s),
        f"{each.peak_share:.0%}",
    )


def make_network_notes(figures: NetworkFigures) -> Iterator[str]:
    """Yield lines for what the table leaves out."""
    for ratio, what in (
        (figures.best.ratio_per_core, "frames/s a core"),
        (figures.best.ratio_wall, "frames/s by the clock"),
    ):
        if ratio is not None:
            yield (
                f"{figures.engine}: {ratio.median:.1f} times the reference's {what} "
                f"({ratio.q1:.1f} to {ratio.q3:.1f}, {ratio.count} pairs)"
            )
    yield (
        f"peak of a core: {figures.peak_gflop_s:.1f} GFLOP/s, of an fp32 matrix product in this run"
        f"; a frame has {figures.reference.gflop:.1f} GFLOP in the reference form and "
        f"{figures.best.gflop:.2f} here"
    )
    by_reason: dict[str, list[str]] = {}
    for name, reason in figures.refused.items():
        by_reason.setdefault(reason, []).append(name)
    for reason, names in by_reason.items():
        yield f"not measured: {', '.join(names)} ({reason})"


def make_load_table(run: LoadRun, what: str) -> Table:
    """Make a table with a row for each number of cameras."""
    table = make_table(
        f"{run.bundle}: {what}; {run.source}",
        *("\ncameras", "fps\noffered", "fps\nscored", "per CPU\nsecond"),
        *("least, median,\nmost a camera", "ms of age at\np50 p95 p99", "\ndropped"),
        *("detector\nalone", "effi-\nciency", "memory\nMB"),
    )
    for row in run.rows:
        rates, alone = row.camera_fps, row.alone
        table.add_row(
            str(row.cameras),
            "all" if row.offered_fps is None else _format_number(row.offered_fps),
            _format_number(row.fps),
            _format_number(row.fps_per_core),
            f"{rates.least:.1f} {rates.median:.1f} {rates.most:.1f}",
            _format_ages(row),
            str(sum(row.dropped.values())),
            _format_number(alone.fps if alone else None),
            _format_percent(row.efficiency),
            f"{row.peak_memory_mb:.0f}",
        )
    return table


def make_stage_tables(run: LoadRun) -> Iterator[Table]:
    """Yield tables of the service's CPU time by stage, a column for each load."""
    for start in range(0, len(run.rows), STAGE_COLUMNS):
        yield _make_stage_table(run.rows[start : start + STAGE_COLUMNS])


def _make_stage_table(rows: Sequence[LoadFigures]) -> Table:
    columns = (f"{format_camera_count(row.cameras)}\nshare, ms" for row in rows)
    table = make_table("The service's CPU time by stage", "", *columns)
    for stage in Stage:
        table.add_row(stage.value, *(_format_stage(row, stage) for row in rows))
    for name, used in (
        ("cores, service", [sum(row.processes.values()) for row in rows]),
        ("cores, others", [sum(row.foreign.values()) for row in rows]),
    ):
        cells = zip(used, rows, strict=True)
        table.add_row(name, *(f"{cores:.2f} of {row.cores}" for cores, row in cells))
    return table


def _format_stage(row: LoadFigures, stage: Stage) -> str:
    """Format a stage's share of the service's CPU time, and its milliseconds for a scored frame."""
    total, used = sum(row.stages.values()), row.stages[stage]
    if not total or not row.fps:
        return NOT_MEASURED
    return f"{used / total:.1%} {1000.0 * used / row.fps:5.2f}"


def make_load_notes(run: LoadRun) -> Iterator[str]:
    """Yield lines: what limits each load, how its memory grew, how many cameras are held."""
    for row in run.rows:
        yield f"{format_camera_count(row.cameras)}: {row.limit}"
        if row.dropped:
            reasons = ", ".join(f"{count} {reason}" for reason, count in row.dropped.items())
            yield f"  frames without a score: {reasons}"
        if row.abnormal_share is not None:
            yield f"  abnormal: {row.abnormal_share:.1%} of scores"
        for name, group in row.groups.items():
            yield f"  {_describe_group(name, group)}"
        yield f"  {_describe_growth(row)}"
        yield from (f"  {each}" for each in _describe_trends(row))
        if row.alone is not None and row.engine_share is not None:
            engine = _format_number(1000.0 / row.alone.engine_cpu_ms)
            yield (
                f"  {_format_number(row.fps_per_core)} frames a CPU second, "
                f"{_format_percent(row.engine_share)} of the engine alone ({engine})"
            )
    if any(row.efficiency is None for row in run.rows):
        yield "efficiency is n/a where fewer frames are offered than the detector alone can score"
    if all(row.offered_fps is not None for row in run.rows):
        rule = f"{HELD_SHARE:.0%} of the frames scored, p99 age below {HELD_AGE_S:g} s"
        held = "none of these loads" if run.held is None else format_camera_count(run.held)
        yield f"held ({rule}): {held}"


def _describe_growth(row: LoadFigures) -> str:
    if not row.memory:
        return "growth of memory: not known, the run was too short"
    most = max(row.memory, key=lambda each: each.growth_mb)
    return (
        f"memory grew most in the {most.part}: {most.growth_mb:+.1f} MB to {most.end_mb:.0f} MB "
        f"in the last three quarters of {row.seconds:.0f} s"
    )


def _describe_trends(row: LoadFigures) -> Iterator[str]:
    """Yield a line for the process of each part whose memory grew fastest in the second half."""
    known = [(each.rss_trend.mb_an_hour, each) for each in row.memory if each.rss_trend]
    fastest = {each.part: each for _, each in sorted(known, key=lambda pair: pair[0])}
    for part, each in fastest.items():
        rss, pss = _format_trend(each.rss_trend), _format_trend(each.pss_trend)
        yield f"{part}: {rss} MB of RSS and {pss} MB of PSS an hour (second half)"


def _format_trend(trend: MemoryTrend | None) -> str:
    if trend is None:
        return NOT_MEASURED
    return f"{trend.mb_an_hour:+.1f} ± {trend.error_mb_an_hour:.1f}"


def _describe_group(name: str, group: GroupFigures) -> str:
    age = "" if group.age is None else f", p99 age {1000.0 * group.age.p99_s:.0f} ms"
    abnormal = "" if group.abnormal_share is None else f", abnormal {group.abnormal_share:.1%}"
    fps, offered = _format_number(group.fps), _format_number(group.offered_fps)
    return f"{group.cameras} {name}: {fps} of {offered} frames/s scored{age}{abnormal}"


def _format_ages(row: LoadFigures) -> str:
    if row.age is None:
        return NOT_MEASURED
    return " ".join(
        f"{1000.0 * value:.0f}" for value in (row.age.p50_s, row.age.p95_s, row.age.p99_s)
    )


def _format_number(value: float | None) -> str:
    """Format a number with about three digits."""
    if value is None:
        return NOT_MEASURED
    return f"{value:.0f}" if value >= 100.0 else f"{value:.1f}" if value >= 10.0 else f"{value:.2f}"


def _format_quartiles(values: Spread) -> str:
    return f"{_format_number(values.q1)} to {_format_number(values.q3)}"


def _format_percent(share: float | None) -> str:
    return NOT_MEASURED if share is None else f"{share:.0%}"
