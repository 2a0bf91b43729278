"""`scripts/figures [--quick] [--keep]`: measure, print next to the kept values, and keep."""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from collections.abc import Mapping
from datetime import UTC, datetime

from rich.console import Console

from scripts.regression.kept import (
    KeptFigure,
    KeptFileError,
    Origin,
    make_kept_figure,
    read_kept,
    write_kept,
)
from scripts.regression.measuring import ROOT, Place, find_suite_origin, list_steps, run
from scripts.regression.verdicts import (
    FigureVerdict,
    NotMeasured,
    Result,
    compare,
    list_notes,
    make_table,
)
from service.tools.bench.machine import BenchMachine, inspect_machine

KEPT = ROOT / "docs" / "figures.json"
WIDTH = 120


def main() -> int:
    """Returns the exit status: 1 when a figure couldn't be measured, 2 for an unreadable file."""
    parser = argparse.ArgumentParser(
        prog="scripts/figures",
        description="Measure the figures in docs/figures.json, and say which fell. Takes up to 5 "
        "minutes; leave the machine alone meanwhile.",
        epilog="A figure that fell stops nothing: the exit status is 0. It is 1 when measuring "
        "failed, 2 when docs/figures.json can't be read.",
    )
    parser.add_argument("--quick", action="store_true", help="measure what fits 50 seconds")
    parser.add_argument("--keep", action="store_true", help="write the values to docs/figures.json")
    options = parser.parse_args()
    try:
        kept = read_kept(KEPT)
    except KeptFileError as error:
        print(f"scripts/figures: {error}", file=sys.stderr)
        return 2
    console = Console(highlight=False, markup=False, soft_wrap=True)
    if not console.is_terminal:
        console.width = WIDTH
    machine, began = inspect_machine(), time.monotonic()
    console.print(machine.line)
    if machine.warning:
        console.print(machine.warning)
    place = Place()
    results = run(list_steps(quick=options.quick), place, console.print)
    origin = Origin(
        date=datetime.now(UTC).date().isoformat(),
        machine=_describe_machine(machine),
        commit=_describe_commit(),
    )
    rows = compare(results, kept, origin.machine)
    console.print(make_table(rows), soft_wrap=False)
    for line in list_notes(rows):
        console.print(line, style="bold red" if line.startswith(FigureVerdict.FELL.value) else None)
    console.print(f"measured in {time.monotonic() - began:.0f} s")
    if options.keep:
        origins = {"suite_s": find_suite_origin(place, origin)}
        write_kept(KEPT, {**kept, **_keep_results(results, origin, origins)})
        console.print(f"kept: {KEPT.relative_to(ROOT)}")
    failed = any(isinstance(each, NotMeasured) and each.failed for each in results.values())
    return 1 if failed else 0


def _keep_results(
    results: Mapping[str, Result], origin: Origin, origins: Mapping[str, Origin]
) -> dict[str, KeptFigure]:
    return {
        name: make_kept_figure(name, value, origins.get(name, origin))
        for name, value in results.items()
        if not isinstance(value, NotMeasured)
    }


def _describe_machine(machine: BenchMachine) -> str:
    """The kind of machine: what decides how fast it is."""
    return f"{machine.processor}, {machine.cores} cores, {' '.join(machine.instruction_sets)}"


def _describe_commit() -> str:
    """The commit that is measured, `+` where files differ from it; `unknown` outside Git."""
    command = ["git", "-C", str(ROOT), "describe", "--always", "--exclude=*", "--dirty=+"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except OSError:
        return "unknown"
    return done.stdout.strip() or "unknown"


if __name__ == "__main__":
    sys.exit(main())
