"""`normwatch doctor`: what this machine has, and which engine it would run each bundle with."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.progress import Progress
from rich.table import Table

from model.bundles.catalog import list_bundles
from service.cli.bundles import find_bundle
from service.cli.engines import parse_engine
from service.cli.outputs import check_file
from service.cli.shared_options import JsonFile
from service.settings import Settings

if TYPE_CHECKING:
    from service.cli.doctor_findings import BundleFinding, EngineFinding, MachineFinding

WIDTH = 100
"""Widest output, in columns; also the width without a terminal."""


def doctor(
    bundle: Annotated[
        list[str] | None,
        typer.Argument(
            help="Bundles' folders, or names from `normwatch models`; all unless given."
        ),
    ] = None,
    json_file: JsonFile = None,
    engine: Annotated[
        str | None,
        typer.Option(help="Engine to choose; NORMWATCH_ENGINE unless given."),
    ] = None,
) -> None:
    """Print what this machine has and, for each bundle, how fast each engine runs it or why it
    can't."""
    settings = Settings()
    requested = parse_engine("--engine", settings.engine if engine is None else engine)
    check_file("--json", json_file)
    paths = [find_bundle(each) for each in bundle or ()] or _list_bundle_folders(settings)

    import torch

    from service.cli.doctor_findings import can_run_all, examine_bundle, examine_machine
    from service.infer.device import choose_device

    torch.set_num_threads(1)
    device = choose_device(settings.device)
    machine = examine_machine()
    console = Console(highlight=False)
    console.width = min(console.width, WIDTH) if console.is_terminal else WIDTH
    _show_machine(console, machine)
    findings: list[BundleFinding] = []
    with Progress(console=console, transient=True, disable=not console.is_terminal) as bar:
        for path in bar.track(paths, description="trying engines"):
            findings.append(examine_bundle(path, device, requested, machine.usable_cores))
    for finding in findings:
        _show_bundle(console, finding)
    for note in make_notes(machine, findings):
        console.print(f"\n{note}")
    if json_file is not None:
        _write(json_file, machine, findings)
    if not can_run_all(findings):
        raise typer.Exit(1)


def _list_bundle_folders(settings: Settings) -> list[Path]:
    """List the user's bundles and the shipped ones."""
    return [info.path for info in list_bundles([settings.user_models])]


def _show_machine(console: Console, machine: MachineFinding) -> None:
    table = Table.grid(padding=(0, 2))
    for name, value in describe_machine(machine):
        table.add_row(name, escape(value))
    console.print(table)


def describe_machine(machine: MachineFinding) -> list[tuple[str, str]]:
    """Describe the machine, line by line."""
    cores = f"{machine.usable_cores} usable of {machine.all_cores}"
    if machine.container_cores is not None:
        cores += f"; the container's limit is {machine.container_cores:g}"
    if machine.cores < machine.all_cores:
        cores += f"; this process may run on {machine.cores}"
    tunables = machine.glibc_tunables
    allocator = (
        "the C library's own settings: GLIBC_TUNABLES isn't set"
        if tunables is None
        else f"GLIBC_TUNABLES={tunables}"
    )
    has = ", ".join(machine.instruction_sets) or "none that matters"
    lacks = ", ".join(machine.missing_instruction_sets)
    return [
        ("processor", machine.processor),
        ("cores", cores),
        ("instruction sets", has + (f"; no {lacks}" if lacks else "")),
        ("memory", f"{machine.memory_gib:.1f} GiB, {machine.free_memory_gib:.1f} of it free"),
        ("GPU", machine.gpu or f"none: {machine.no_gpu}"),
        ("PyTorch", machine.torch),
        ("OpenVINO", machine.openvino or "not installed"),
        ("allocator", allocator),
        ("load", f"{machine.load:.2f} on {machine.all_cores} cores, mean of a minute"),
    ]


def _show_bundle(console: Console, finding: BundleFinding) -> None:
    rate = f"{finding.camera_fps:g} frames/s a camera"
    if not finding.camera_fps_known:
        rate += ", assumed"
    console.print(f"\n[bold]{escape(finding.name)}[/bold]  ({rate})")
    if finding.engines:
        table = Table("engine")
        for heading in ("ms a frame", "frames/s a core", "cameras"):
            table.add_column(heading, justify="right")
        table.add_column("")
        for each in finding.engines:
            verdict = "chosen" if each.chosen else each.refused
            table.add_row(each.engine.value, *_format_figures(each), escape(verdict))
        console.print(table)
    if finding.error:
        console.print(f"can't be run: {escape(finding.error)}", soft_wrap=True)


def _format_figures(finding: EngineFinding) -> tuple[str, str, str]:
    if finding.frame_ms is None or finding.fps_per_core is None:
        return "", "", ""
    cameras = "" if finding.cameras is None else str(finding.cameras)
    return f"{finding.frame_ms:.1f}", f"{finding.fps_per_core:.1f}", cameras


def make_notes(machine: MachineFinding, findings: Sequence[BundleFinding]) -> list[str]:
    """Say how to read the figures."""
    lines: list[str] = []
    if any(finding.engines for finding in findings):
        lines.append(
            "Times are of one frame on one core, of the network and what is measured of its "
            "output; the memory's update and the score come on top (about 15 % with ped2-fast). "
            "Cameras are what the usable cores would hold if nothing else ran on them: decoding "
            "and the service take their share."
        )
    if machine.busy:
        lines.append(
            f"The machine was busy at the start (load {machine.load:.2f} on {machine.all_cores} "
            "cores): all times are too long, and the choice may be another on an idle one."
        )
    return lines


def _write(path: Path, machine: MachineFinding, findings: Sequence[BundleFinding]) -> None:
    found = {
        "machine": asdict(machine) | {"busy": machine.busy},
        "bundles": [
            asdict(finding)
            | {"chosen": finding.chosen.engine if finding.chosen is not None else None}
            for finding in findings
        ],
    }
    path.write_text(json.dumps(found, indent=2) + "\n")
