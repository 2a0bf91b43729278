"""Turns figures into JSON."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict

from service.tools.bench.bench_figures import LoadFigures, LoadRun, NetworkFigures
from service.tools.bench.machine import BenchMachine

Json = Mapping[str, object]
DERIVED = ("served_share", "holds", "efficiency", "engine_share", "limit")
"""What follows from a load's figures, and stands next to them."""


def make_network_json(machine: BenchMachine, figures: NetworkFigures) -> Json:
    """Return a network's figures; the headline is the fastest engine's `ratio_per_core`."""
    best = asdict(figures.best)
    return {
        "command": "network",
        **{name: best[name] for name in ("ratio_per_core", "ratio_wall")},
        **asdict(figures),
        "machine": asdict(machine),
    }


def make_load_json(command: str, machine: BenchMachine, run: LoadRun) -> Json:
    """Return a load's figures, a row for each number of cameras."""
    return {
        "command": command,
        "bundle": run.bundle,
        "source": run.source,
        "held_cameras": run.held,
        "rows": [_make_row(row) for row in run.rows],
        "machine": asdict(machine),
    }


def _make_row(row: LoadFigures) -> Json:
    memory = [{**asdict(each), "growth_mb": each.growth_mb} for each in row.memory]
    return asdict(row) | {name: getattr(row, name) for name in DERIVED} | {"memory": memory}
