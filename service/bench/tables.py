"""Figures for people: tables of at most 100 columns, and a line for what they can't hold."""

from __future__ import annotations

from collections.abc import Iterator

from rich import box
from rich.table import Table

from service.bench.figures import (
    HELD_AGE_S,
    HELD_SHARE,
    EngineFigures,
    LoadFigures,
    LoadRun,
    NetworkFigures,
    Spread,
    Stage,
)

NOT_MEASURED = "n/a"


def cameras_text(count: int) -> str:
    """A number of them."""
    return "1 camera" if count == 1 else f"{count} cameras"


def _table(title: str, *columns: str) -> Table:
    table = Table(
        title=title,
        box=box.SIMPLE_HEAD,
        title_justify="left",
        padding=(0, 0, 0, 1),
        pad_edge=False,
    )
    for index, column in enumerate(columns):
        table.add_column(column, justify="right" if index else "left", no_wrap=True)
    return table


def network_table(figures: NetworkFigures) -> Table:
    """A row for each engine, the reference form first."""
    threads = "1 thread" if figures.threads == 1 else f"{figures.threads} threads"
    cameras = cameras_text(figures.batch)
    table = _table(
        f"{figures.bundle}: network and scoring, frames from memory; {threads}, {cameras} a step",
        "",
        "ms a\nframe",
        "\nquartiles",
        "frames/s\na core",
        "times the\nreference",
        "\nquartiles",
        "GFLOP/s\na core",
        "of fp32\npeak",
    )
    table.add_row("reference form", *_engine(figures.reference))
    for name, each in figures.engines.items():
        table.add_row(name, *_engine(each), style="bold" if name == figures.engine else None)
    return table


def _engine(each: EngineFigures) -> tuple[str, ...]:
    ratio = each.ratio_per_core
    return (
        _digits(each.frame_ms.median),
        _quartiles(each.frame_ms),
        _digits(each.fps_per_core),
        "1" if ratio is None else _digits(ratio.median),
        "" if ratio is None else _quartiles(ratio),
        _digits(each.gflop_s),
        f"{each.peak_share:.0%}",
    )


def network_notes(figures: NetworkFigures) -> Iterator[str]:
    """What the table leaves out."""
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


def load_table(run: LoadRun, what: str) -> Table:
    """A row for each number of cameras."""
    table = _table(
        f"{run.bundle}: {what}; {run.source}",
        "\ncameras",
        "fps\noffered",
        "fps\nscored",
        "per CPU\nsecond",
        "least, median,\nmost a camera",
        "ms of age at\np50 p95 p99",
        "\ndropped",
        "detector\nalone",
        "effi-\nciency",
        "memory\nMB",
    )
    for row in run.rows:
        rates, alone = row.camera_fps, row.alone
        table.add_row(
            str(row.cameras),
            "all" if row.offered_fps is None else _digits(row.offered_fps),
            _digits(row.fps),
            _digits(row.fps_per_core),
            f"{rates.least:.1f} {rates.median:.1f} {rates.most:.1f}",
            _ages(row),
            str(sum(row.dropped.values())),
            _digits(alone.fps if alone else None),
            _percent(row.efficiency),
            f"{row.peak_memory_mb:.0f}",
        )
    return table


def stage_table(run: LoadRun) -> Table:
    """Where the time goes, and how busy the cores are."""
    table = _table(
        "Share of our processor time by stage, and cores in use",
        "cameras",
        *(stage.value for stage in Stage),
        "ours",
        "not ours",
        "of",
    )
    for row in run.rows:
        total = sum(row.stages.values())
        table.add_row(
            str(row.cameras),
            *(_percent(row.stages[stage] / total if total else None) for stage in Stage),
            f"{sum(row.processes.values()):.2f}",
            f"{sum(row.beside.values()):.2f}",
            str(row.cores),
        )
    return table


def load_notes(run: LoadRun) -> Iterator[str]:
    """What limits each load, what its memory did, and how many cameras are held."""
    for row in run.rows:
        yield f"{cameras_text(row.cameras)}: {row.limit}"
        if row.dropped:
            reasons = ", ".join(f"{count} {reason}" for reason, count in row.dropped.items())
            yield f"  frames without a score: {reasons}"
        yield f"  {_growth(row)}"
    if any(row.efficiency is None for row in run.rows):
        yield "efficiency is n/a where fewer frames are offered than the detector alone can score"
    if all(row.offered_fps is not None for row in run.rows):
        rule = f"{HELD_SHARE:.0%} of the frames scored, p99 age below {HELD_AGE_S:g} s"
        held = "none of these loads" if run.held is None else cameras_text(run.held)
        yield f"held ({rule}): {held}"


def _growth(row: LoadFigures) -> str:
    if not row.memory:
        return "growth of memory: not known, the run was too short"
    most = max(row.memory, key=lambda each: each.growth_mb)
    return (
        f"memory grew most in the {most.part}: {most.growth_mb:+.1f} MB to {most.end_mb:.0f} MB "
        f"in the last three quarters of {row.seconds:.0f} s"
    )


def _ages(row: LoadFigures) -> str:
    if row.age is None:
        return NOT_MEASURED
    return " ".join(
        f"{1000.0 * value:.0f}" for value in (row.age.p50_s, row.age.p95_s, row.age.p99_s)
    )


def _digits(value: float | None) -> str:
    """About three of them."""
    if value is None:
        return NOT_MEASURED
    return f"{value:.0f}" if value >= 100.0 else f"{value:.1f}" if value >= 10.0 else f"{value:.2f}"


def _quartiles(values: Spread) -> str:
    return f"{_digits(values.q1)} to {_digits(values.q3)}"


def _percent(share: float | None) -> str:
    return NOT_MEASURED if share is None else f"{share:.0%}"
