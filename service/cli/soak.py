"""`normwatch soak`: runs the whole service on cameras that misbehave, and prints the results."""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table

from service.cli.bundles import find_bundle
from service.cli.outputs import check_file, write_figures
from service.cli.shared_options import JsonFile
from service.errors import BadInput
from service.settings import Settings
from service.tools.console_tables import make_table

if TYPE_CHECKING:
    from service.tools.soak.incidents import Incident
    from service.tools.soak.soak_run import SoakFigures

DEFAULT_BUNDLE = "demo"
WIDTH = 100


def soak(
    minutes: Annotated[float, typer.Option(help="Minutes to run.", min=1.0)] = 30.0,
    cameras: Annotated[int, typer.Option(help="Number of cameras.", min=1, max=64)] = 8,
    warm_up: Annotated[
        float, typer.Option(help="Minutes before growth is measured.", min=0.1)
    ] = 5.0,
    fps: Annotated[float, typer.Option(help="Frames a second of a camera.", min=1, max=60)] = 5.0,
    seed: Annotated[int, typer.Option(help="Seed of the faults.")] = 0,
    bundle: Annotated[
        str | None,
        typer.Option(
            help=f"The cameras' model; NORMWATCH_DEFAULT_MODEL or {DEFAULT_BUNDLE} unless given."
        ),
    ] = None,
    json_file: JsonFile = None,
) -> None:
    """Run the service on cameras that refuse, stall, reset and send garbage at random. Fails where
    something grows, or a frame is unaccounted for."""
    check_file("--json", json_file)
    if warm_up >= minutes:
        raise BadInput("--warm-up", warm_up, f"must be less than --minutes, {minutes:g}")
    from service.tools.bench.machine import inspect_machine
    from service.tools.bench.rtsp import PACKAGES, is_installed
    from service.tools.soak.soak_run import SoakPlan
    from service.tools.soak.soak_run import soak as run

    if not is_installed():
        raise BadInput("soak", None, f"needs Debian's {' '.join(PACKAGES)} for its cameras")
    path = find_bundle(bundle or Settings().default_model or DEFAULT_BUNDLE).absolute()
    console, machine = Console(highlight=False, width=WIDTH), inspect_machine()
    console.print(machine.line)

    def print_incident(incident: Incident) -> None:
        length = incident.end_s - incident.start_s
        console.print(
            f"{incident.start_s:7.1f} s  camera {incident.camera + 1}: "
            f"{incident.fault} for {length:.0f} s"
        )

    figures = run(
        SoakPlan(path, cameras, 60.0 * minutes, 60.0 * warm_up, fps, seed), print_incident
    )
    console.print(_make_trend_table(figures))
    console.print(_make_fault_table(figures))
    failures = list(_find_failures(figures))
    for line in (*_make_notes(figures), *failures):
        console.print(line)
    write_figures(json_file, _make_json(figures, machine.line), console)
    if failures:
        raise typer.Exit(1)


def _make_trend_table(figures: SoakFigures) -> Table:
    table = make_table(
        "after the warm-up (medians of the first and the last fifth)",
        *("part", "first", "last", "most", "growth"),
    )
    for trend in figures.trends:
        unit = f", {trend.kind.unit}" if trend.kind.unit else ""
        values = (trend.first, trend.last, trend.most, trend.growth)
        style = "bold" if trend.grows else None
        name = f"{trend.part}: {trend.kind.name}{unit}"
        table.add_row(name, *(f"{value:.1f}" for value in values), style=style)
    return table


def _make_fault_table(figures: SoakFigures) -> Table:
    table = make_table(
        "from a fault's end to the camera's next scored frame",
        *("fault", "times", "median, s", "worst, s", "not back before the next"),
    )
    by_fault: dict[str, list[float | None]] = {}
    for each in figures.recoveries:
        by_fault.setdefault(each.incident.fault.value, []).append(each.after_s)
    for fault, times in sorted(by_fault.items()):
        known = [time_s for time_s in times if time_s is not None]
        median = f"{statistics.median(known):.1f}" if known else ""
        worst = f"{max(known):.1f}" if known else ""
        table.add_row(fault, str(len(times)), median, worst, str(len(times) - len(known)))
    return table


def _make_notes(figures: SoakFigures) -> Iterator[str]:
    captured = sum(each.captured for each in figures.accounts)
    scored = sum(each.scored for each in figures.accounts)
    dropped = sum((Counter(each.dropped) for each in figures.accounts), Counter[str]())
    reasons = ", ".join(f"{count} {reason}" for reason, count in dropped.most_common()) or "none"
    yield f"captured {captured} = scored {scored} + dropped ({reasons})"
    if figures.ages_s:
        ages = sorted(figures.ages_s)
        p99 = ages[round(0.99 * (len(ages) - 1))]
        yield f"frame age: median {statistics.median(ages):.3f} s, p99 {p99:.3f} s"


def _find_failures(figures: SoakFigures) -> Iterator[str]:
    for number, each in enumerate(figures.accounts, 1):
        if each.unaccounted:
            yield f"camera {number}: {each.unaccounted} captured frames are unaccounted for"
        if each.rows != each.scored:
            yield f"camera {number}: {each.scored} frames were scored, {each.rows} are recorded"
    for trend in figures.trends:
        if trend.grows:
            yield f"{trend.part}: {trend.kind.name} grew from {trend.first:.1f} to {trend.last:.1f}"


def _make_json(figures: SoakFigures, machine: str) -> Mapping[str, object]:
    return {
        "machine": machine,
        "seconds": figures.seconds,
        "recoveries": [asdict(each) for each in figures.recoveries],
        "trends": [
            {
                "part": each.part,
                "kind": each.kind.name,
                "unit": each.kind.unit,
                **{name: getattr(each, name) for name in ("first", "last", "most", "grows")},
            }
            for each in figures.trends
        ],
        "accounts": [
            {
                **each.model_dump(include={"captured", "scored", "dropped", "rows"}),
                "unaccounted": each.unaccounted,
            }
            for each in figures.accounts
        ],
    }
