"""Figures as JSON."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict

from service.bench.figures import LoadFigures, LoadRun, NetworkFigures
from service.bench.machine import Machine

Json = Mapping[str, object]


def network_json(machine: Machine, figures: NetworkFigures) -> Json:
    """The headline is `ratio_per_core`, of `engine`."""
    best = asdict(figures.best)
    return {
        "command": "network",
        **{name: best[name] for name in ("ratio_per_core", "ratio_wall")},
        **asdict(figures),
        "machine": asdict(machine),
    }


def load_json(command: str, machine: Machine, run: LoadRun) -> Json:
    """A row for each number of cameras."""
    return {
        "command": command,
        "bundle": run.bundle,
        "source": run.source,
        "held_cameras": run.held,
        "rows": [_row(row) for row in run.rows],
        "machine": asdict(machine),
    }


def _row(row: LoadFigures) -> Json:
    memory = [{**asdict(each), "growth_mb": each.growth_mb} for each in row.memory]
    return {
        **asdict(row),
        "served_share": row.served_share,
        "holds": row.holds,
        "efficiency": row.efficiency,
        "limit": row.limit,
        "memory": memory,
    }
