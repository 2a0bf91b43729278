"""`normwatch bench` and its subcommands: the network, the worker, the whole service."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from model.engines.names import EngineName
from service.cli.bundles import find_bundle, load_bundle
from service.cli.engines import runnable
from service.cli.outputs import check_file
from service.errors import BadInput
from service.settings import AUTO, Settings

if TYPE_CHECKING:
    from service.bench.figures import LoadFigures, LoadRun
    from service.bench.load import LoadPlan
    from service.bench.machine import Machine

app = typer.Typer(help="Measure how fast the network, the worker and the service are here.")

DEFAULT_BUNDLE = "ped2-fast"
MOST_CAMERAS = 256
WIDTH = 100

BundleName = Annotated[
    str | None,
    typer.Argument(
        help="A bundle's folder, or a name from `normwatch models`; "
        f"NORMWATCH_DEFAULT_MODEL or {DEFAULT_BUNDLE} unless given."
    ),
]
Cameras = Annotated[str, typer.Option(help="Numbers of cameras, with commas.")]
Engine = Annotated[
    str, typer.Option(help="What runs the network; `auto` is what the service would choose.")
]
JsonFile = Annotated[Path | None, typer.Option("--json", help="File for all figures, as JSON.")]
Plot = Annotated[Path | None, typer.Option(help="PNG of rate and age against cameras.")]


@app.callback(invoke_without_command=True)
def bench(context: typer.Context) -> None:
    """Measure how fast the network, the worker and the service are here."""
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())


@app.command("network")
def network(
    bundle: BundleName = None,
    engine: Annotated[
        list[str] | None, typer.Option(help="An engine to measure, again for others; else all.")
    ] = None,
    seconds: Annotated[float, typer.Option(help="How long, at least.", min=0.1)] = 30.0,
    threads: Annotated[int, typer.Option(help="Of each form.", min=1)] = 1,
    batch: Annotated[
        int | None, typer.Option(help="Cameras in a step; as many as threads unless given.", min=1)
    ] = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N.")] = "cpu",
    preset: Annotated[
        str | None,
        typer.Option(help="Instead of a bundle, an untrained network of `normwatch train`'s."),
    ] = None,
    json_file: JsonFile = None,
) -> None:
    """Each engine beside the reference form of the network, by turns: a ratio that holds on a
    busy machine, too."""
    check_file("--json", json_file)
    if preset is not None and bundle is not None:
        raise BadInput("--preset", preset, f"can't be measured together with bundle {bundle}")
    _prepare()
    from service.bench.network import NetworkPlan, chosen_engines, measure
    from service.bench.presets import preset_bundle
    from service.bench.report import network_json
    from service.bench.tables import network_notes, network_table
    from service.infer.device import choose_device

    loaded = preset_bundle(preset) if preset is not None else load_bundle(_bundle_name(bundle))
    place = choose_device(device)
    engines = chosen_engines(loaded, engine or [], place)
    plan = NetworkPlan(loaded, engines, seconds, threads, batch or threads, place)
    console, machine = _start()
    with console.status("measuring …") as status:
        figures = measure(plan, lambda rounds: status.update(f"measuring, round {rounds} …"))
    console.print(network_table(figures))
    for note in network_notes(figures):
        console.print(note)
    _write(json_file, network_json(machine, figures), console)


@app.command("worker")
def worker(
    bundle: BundleName = None,
    cameras: Cameras = "1,2,4,8,16",
    seconds: Annotated[
        float, typer.Option(help="How long each number of cameras.", min=0.5)
    ] = 20.0,
    fps: Annotated[
        float | None,
        typer.Option(
            help="Frames a second of a camera; unless given, as many as are taken.",
            min=0.1,
            max=1000,
        ),
    ] = None,
    engine: Engine = AUTO,
    json_file: JsonFile = None,
    plot: Plot = None,
) -> None:
    """The worker alone, its cameras' frames out of memory, on a Redis of its own."""
    outputs = _Outputs(json_file, plot)
    outputs.check()
    plan = _plan(bundle, cameras, seconds, fps, engine)
    _prepare()
    from service.bench.worker import measure

    _check_engine(engine, plan.model)
    console, machine = _start()
    run = measure(plan, _row_printer(console))
    outputs.show("worker", run, "the worker alone", console, machine)


@app.command("service")
def service(
    bundle: BundleName = None,
    cameras: Cameras = "1,2,4,8,16",
    seconds: Annotated[
        float, typer.Option(help="How long each number of cameras.", min=0.5)
    ] = 30.0,
    fps: Annotated[
        float, typer.Option(help="Frames a second of a camera.", min=0.1, max=240)
    ] = 10.0,
    engine: Engine = AUTO,
    video: Annotated[
        Path | None, typer.Option(help="H.264 in MP4 for the cameras to show; else one is drawn.")
    ] = None,
    rtsp: Annotated[
        list[str] | None, typer.Option(help="URL of a camera of your own; again for others.")
    ] = None,
    json_file: JsonFile = None,
    plot: Plot = None,
) -> None:
    """The whole service: cameras' RTSP in, scores out of the API."""
    outputs = _Outputs(json_file, plot)
    outputs.check()
    plan = _plan(bundle, cameras, seconds, fps, engine)
    _prepare()
    from service.bench.service import ServicePlan, measure

    whole = ServicePlan(plan, fps, video, rtsp or ())
    whole.check()
    _check_engine(engine, plan.model)
    console, machine = _start()
    run = measure(whole, _row_printer(console))
    outputs.show("service", run, "the whole service, RTSP to API", console, machine)


@dataclass(frozen=True, slots=True)
class _Outputs:
    """Files of a load."""

    json_file: Path | None
    plot: Path | None

    def check(self) -> None:
        """Refuse what can't be written. Raises: BadInput."""
        check_file("--json", self.json_file)
        check_file("--plot", self.plot)

    def show(
        self, command: str, run: LoadRun, what: str, console: Console, machine: Machine
    ) -> None:
        """Print the tables, and write the files."""
        from service.bench.plots import plot_load
        from service.bench.report import load_json
        from service.bench.tables import load_notes, load_table, stage_table

        console.print(load_table(run, what))
        console.print(stage_table(run))
        for note in load_notes(run):
            console.print(note)
        _write(self.json_file, load_json(command, machine, run), console)
        if self.plot is not None:
            plot_load(run, f"{run.bundle}: {what}\n{machine.line}", self.plot)
            console.print(f"plot: {self.plot}")


def _bundle_name(given: str | None) -> str:
    return given or Settings().default_model or DEFAULT_BUNDLE


def _plan(
    bundle: str | None, cameras: str, seconds: float, fps: float | None, engine: str
) -> LoadPlan:
    """Raises: BadInput, BundleError."""
    counts = _counts(cameras)
    if engine != AUTO and engine not in list(EngineName):
        known = ", ".join(each.value for each in EngineName)
        raise BadInput("--engine", engine, f"must be auto or one of {known}")
    path = find_bundle(_bundle_name(bundle)).absolute()
    _prepare()
    from service.bench.load import LoadPlan

    settings = {
        "NORMWATCH_ENGINE": engine,
        "NORMWATCH_WORKER_CAPACITY": str(max(counts)),
    }
    return LoadPlan(str(path), counts, seconds, fps, settings)


def _counts(cameras: str) -> list[int]:
    words = [word.strip() for word in cameras.split(",")]
    if not all(word.isdecimal() and 1 <= int(word) <= MOST_CAMERAS for word in words):
        expected = f"must be numbers from 1 to {MOST_CAMERAS}, with commas between them"
        raise BadInput("--cameras", cameras, expected)
    return [int(word) for word in words]


def _prepare() -> None:
    """As in a worker's process; read when torch is loaded."""
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")


def _check_engine(engine: str, model: str) -> None:
    """Raises: BadInput: it can't be had for this bundle."""
    if engine == AUTO:
        return
    from service.infer.device import choose_device

    runnable("--engine", engine, load_bundle(model), choose_device(Settings().device))


def _start() -> tuple[Console, Machine]:
    from service.bench.machine import this_machine

    console, machine = Console(highlight=False, width=WIDTH), this_machine()
    console.print(machine.line)
    if machine.warning:
        console.print(f"[yellow]{machine.warning}[/yellow]")
    return console, machine


def _row_printer(console: Console) -> Callable[[LoadFigures], None]:
    from service.bench.tables import cameras_text

    def show(row: LoadFigures) -> None:
        age = "" if row.age is None else f", p99 age {1000.0 * row.age.p99_s:.0f} ms"
        console.print(f"{cameras_text(row.cameras)}: {row.fps:.1f} frames/s{age}")

    return show


def _write(path: Path | None, figures: Mapping[str, object], console: Console) -> None:
    if path is not None:
        path.write_text(json.dumps(figures, indent=2) + "\n")
        console.print(f"figures: {path}")
