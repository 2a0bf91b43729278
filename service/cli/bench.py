"""`normwatch bench` and its subcommands: the network, the worker, the whole service."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from model.engines.names import EngineName
from service.cli.bundles import find_bundle, load_bundle
from service.cli.engines import parse_engine, require_engine
from service.cli.outputs import check_file, write_figures
from service.cli.shared_options import JsonFile
from service.errors import BadInput
from service.settings import AUTO, Settings

if TYPE_CHECKING:
    from service.tools.bench.bench_figures import LoadFigures, LoadRun
    from service.tools.bench.load import LoadPlan
    from service.tools.bench.machine import BenchMachine

app = typer.Typer(help="Measure how fast the network, the worker and the service are here.")

DEFAULT_BUNDLE, DRAWN_BUNDLE = "ped2-fast", "demo"
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
Seconds = Annotated[float, typer.Option(help="Seconds to measure each number of cameras.", min=0.5)]
Engine = Annotated[
    str,
    typer.Option(
        help="Engine that runs the network; `auto` is the one that the service would choose."
    ),
]
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
        list[EngineName] | None,
        typer.Option(help="Engine to measure; repeat it for more. All unless given."),
    ] = None,
    seconds: Annotated[float, typer.Option(help="Seconds to measure, at least.", min=0.1)] = 30.0,
    threads: Annotated[int, typer.Option(help="Threads of each engine.", min=1)] = 1,
    batch: Annotated[
        int | None,
        typer.Option(help="Cameras in a step; the number of threads unless given.", min=1),
    ] = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N.")] = "cpu",
    preset: Annotated[
        str | None,
        typer.Option(
            help="Measure an untrained network of a `normwatch train` preset, not a bundle."
        ),
    ] = None,
    json_file: JsonFile = None,
) -> None:
    """Measure engines and the network's reference form by turns: their ratio holds on a busy
    machine, too."""
    check_file("--json", json_file)
    if preset is not None and bundle is not None:
        raise BadInput("--preset", preset, f"can't be measured together with bundle {bundle}")
    _prepare()
    from model.engines.choice import list_engines
    from service.infer.device import choose_device
    from service.tools.bench.bench_json import make_network_json
    from service.tools.bench.bench_tables import make_network_notes, make_network_table
    from service.tools.bench.network_bench import NetworkPlan, measure
    from service.tools.bench.presets import build_preset_bundle

    loaded = (
        build_preset_bundle(preset) if preset is not None else load_bundle(_choose_bundle(bundle))
    )
    place = choose_device(device)
    engines = engine or list_engines(loaded, place)
    if not engines:
        raise BadInput("--engine", None, "no engine can run this bundle on this machine")
    plan = NetworkPlan(loaded, engines, seconds, threads, batch or threads, place)
    console, machine = _print_machine()
    with console.status("measuring …") as status:
        figures = measure(plan, lambda rounds: status.update(f"measuring, round {rounds} …"))
    console.print(make_network_table(figures))
    for note in make_network_notes(figures):
        console.print(note)
    write_figures(json_file, make_network_json(machine, figures), console)


@app.command("worker")
def worker(
    bundle: BundleName = None,
    cameras: Cameras = "1,2,4,8,16",
    seconds: Seconds = 20.0,
    fps: Annotated[
        float | None,
        typer.Option(
            help="Frames a second of a camera; as many as the worker can score unless given.",
            min=0.1,
            max=1000,
        ),
    ] = None,
    engine: Engine = AUTO,
    json_file: JsonFile = None,
    plot: Plot = None,
) -> None:
    """Measure the worker alone, with frames from memory, on a Redis of its own."""
    outputs = _Outputs(json_file, plot)
    outputs.check()
    plan = _make_plan(bundle, cameras, seconds, fps, engine)
    from service.tools.bench.worker_bench import measure

    _check_engine(engine, plan.model)
    console, machine = _print_machine()
    run = measure(plan, _make_row_printer(console))
    outputs.show("worker", run, "the worker alone", console, machine)


@app.command("service")
def service(
    bundle: Annotated[
        str | None,
        typer.Argument(
            help="A bundle's folder, or a name from `normwatch models`. Unless given, "
            f"NORMWATCH_DEFAULT_MODEL or {DRAWN_BUNDLE}, which knows the drawn scene; with "
            f"--video or --rtsp {DEFAULT_BUNDLE}."
        ),
    ] = None,
    cameras: Cameras = "1,2,4,8,16",
    seconds: Seconds = 30.0,
    fps: Annotated[
        float, typer.Option(help="Frames a second of a camera.", min=0.1, max=240)
    ] = 10.0,
    engine: Engine = AUTO,
    video: Annotated[
        Path | None,
        typer.Option(help="Video (H.264 in MP4) that the cameras show; drawn unless given."),
    ] = None,
    quiet: Annotated[
        int,
        typer.Option(help="Number of cameras that show a still picture with sensor noise.", min=0),
    ] = 0,
    rtsp: Annotated[
        list[str] | None, typer.Option(help="URL of your own camera; repeat it for more.")
    ] = None,
    json_file: JsonFile = None,
    plot: Plot = None,
) -> None:
    """Measure the whole service: RTSP in, scores out of the API."""
    outputs = _Outputs(json_file, plot)
    outputs.check()
    drawn = video is None and not rtsp
    default = DRAWN_BUNDLE if drawn else DEFAULT_BUNDLE
    plan = _make_plan(bundle, cameras, seconds, fps, engine, default=default)
    from service.tools.bench.service_bench import ServicePlan, measure

    whole = ServicePlan(plan, fps, video, rtsp or (), quiet)
    whole.check()
    _check_engine(engine, plan.model)
    console, machine = _print_machine()
    run = measure(whole, _make_row_printer(console))
    outputs.show("service", run, "the whole service, RTSP to API", console, machine)


@dataclass(frozen=True, slots=True)
class _Outputs:
    """Files that a load's figures are written to."""

    json_file: Path | None
    plot: Path | None

    def check(self) -> None:
        """Refuse what can't be written. Raises: BadInput."""
        check_file("--json", self.json_file)
        check_file("--plot", self.plot)

    def show(
        self, command: str, run: LoadRun, what: str, console: Console, machine: BenchMachine
    ) -> None:
        """Print the tables, and write the files."""
        from service.tools.bench.bench_json import make_load_json
        from service.tools.bench.bench_tables import (
            make_load_notes,
            make_load_table,
            make_stage_tables,
        )
        from service.tools.bench.load_plot import plot_load

        console.print(make_load_table(run, what))
        for table in make_stage_tables(run):
            console.print(table)
        for note in make_load_notes(run):
            console.print(note)
        write_figures(self.json_file, make_load_json(command, machine, run), console)
        if self.plot is not None:
            plot_load(run, f"{run.bundle}: {what}\n{machine.line}", self.plot)
            console.print(f"plot: {self.plot}")


def _choose_bundle(given: str | None, default: str = DEFAULT_BUNDLE) -> str:
    return given or Settings().default_model or default


def _make_plan(
    bundle: str | None,
    cameras: str,
    seconds: float,
    fps: float | None,
    engine: str,
    *,
    default: str = DEFAULT_BUNDLE,
) -> LoadPlan:
    """Check the options, and make a plan of them. Raises: BadInput, BundleError."""
    counts = _parse_counts(cameras)
    path = find_bundle(_choose_bundle(bundle, default)).absolute()
    _prepare()
    from service.tools.bench.load import LoadPlan

    settings = {"NORMWATCH_ENGINE": engine, "NORMWATCH_WORKER_CAPACITY": str(max(counts))}
    return LoadPlan(str(path), counts, seconds, fps, settings)


def _parse_counts(cameras: str) -> list[int]:
    words = [word.strip() for word in cameras.split(",")]
    if not all(word.isdecimal() and 1 <= int(word) <= MOST_CAMERAS for word in words):
        expected = f"must be numbers from 1 to {MOST_CAMERAS}, with commas between them"
        raise BadInput("--cameras", cameras, expected)
    return [int(word) for word in words]


def _prepare() -> None:
    """Set what a worker's process has, which PyTorch reads when it is loaded."""
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")


def _check_engine(engine: str, model: str) -> None:
    """Raise BadInput where the engine can't run this bundle."""
    from service.infer.device import choose_device

    if (name := parse_engine("--engine", engine)) is not None:
        require_engine("--engine", name, load_bundle(model), choose_device(Settings().device))


def _print_machine() -> tuple[Console, BenchMachine]:
    from service.tools.bench.machine import inspect_machine

    console, machine = Console(highlight=False, width=WIDTH), inspect_machine()
    console.print(machine.line)
    if machine.warning:
        console.print(f"[yellow]{machine.warning}[/yellow]")
    return console, machine


def _make_row_printer(console: Console) -> Callable[[LoadFigures], None]:
    from service.tools.bench.bench_tables import format_camera_count

    def show(row: LoadFigures) -> None:
        age = "" if row.age is None else f", p99 age {1000.0 * row.age.p99_s:.0f} ms"
        console.print(f"{format_camera_count(row.cameras)}: {row.fps:.1f} frames/s{age}")

    return show
