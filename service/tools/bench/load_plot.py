"""Plots frames a second and age against the number of cameras, as PNG."""

from __future__ import annotations

from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from model.evaluation.score_plots import ABNORMAL, CURVE, OTHER
from service.tools.bench.bench_figures import HELD_AGE_S, LoadRun


def plot_load(run: LoadRun, title: str, path: Path) -> None:
    """Plot both, with the offered rate and the rate of the detector alone."""
    figure = Figure(figsize=(11, 4.5), layout="constrained")
    figure.suptitle(title, parse_math=False)
    rate, age = figure.subplots(1, 2)
    _plot_rates(rate, run)
    _plot_ages(age, run)
    for axes in (rate, age):
        axes.set_xlabel("cameras")
        axes.set_ylim(bottom=0)
        axes.set_xticks([row.cameras for row in run.rows])
        axes.legend(fontsize="small")
    figure.savefig(path, dpi=110, format="png")


def _plot_rates(axes: Axes, run: LoadRun) -> None:
    cameras = [row.cameras for row in run.rows]
    axes.plot(cameras, [row.fps for row in run.rows], "o-", color=CURVE, label="scored")
    offered = [(row.cameras, row.offered_fps) for row in run.rows if row.offered_fps is not None]
    if offered:
        axes.plot(*zip(*offered, strict=True), ":", color=OTHER, label="offered")
    alone = [(row.cameras, row.alone.fps) for row in run.rows if row.alone is not None]
    if alone:
        axes.plot(*zip(*alone, strict=True), "--", color=OTHER, label="detector alone")
    axes.set_ylabel("frames a second")


def _plot_ages(axes: Axes, run: LoadRun) -> None:
    known = [(row.cameras, row.age) for row in run.rows if row.age is not None]
    cameras = [count for count, _ in known]
    axes.plot(cameras, [each.p99_s for _, each in known], "o-", color=ABNORMAL, label="p99")
    axes.plot(cameras, [each.p50_s for _, each in known], "o-", color=CURVE, label="median")
    axes.axhline(HELD_AGE_S, color=OTHER, linestyle=":", linewidth=1, label="limit")
    axes.set_ylabel("age of a frame at its score, s")
