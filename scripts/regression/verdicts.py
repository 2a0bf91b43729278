"""Compares what was measured now to what was kept, and prints the table. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from rich import box
from rich.table import Table

from scripts.regression.definitions import DEFINITIONS, Better, Definition
from scripts.regression.kept import KeptFigure


@dataclass(frozen=True, slots=True)
class NotMeasured:
    """A figure that has no value."""

    reason: str
    failed: bool = False
    """Whether measuring it was tried, and failed."""


Result = float | NotMeasured


class FigureVerdict(StrEnum):
    """The verdict of a comparison."""

    FELL = "FELL"
    BETTER = "better"
    SAME = "within noise"
    CHANGED = "changed"
    """A figure changed of which neither direction is better."""
    NEW = "nothing kept"
    OTHER_MACHINE = "other machine"
    OTHER_UNIT = "other unit"
    NOT_MEASURED = "not measured"


COMPARED = (FigureVerdict.FELL, FigureVerdict.BETTER, FigureVerdict.SAME, FigureVerdict.CHANGED)


@dataclass(frozen=True, slots=True)
class FigureRow:
    """One figure of the table."""

    name: str
    now: Result
    kept: KeptFigure | None
    verdict: FigureVerdict

    @property
    def definition(self) -> Definition:
        """The figure's definition."""
        return DEFINITIONS[self.name]


def compare(
    results: Mapping[str, Result], kept: Mapping[str, KeptFigure], machine: str
) -> list[FigureRow]:
    """Make a row for each result, in the order of the definitions.

    Args: machine: this one, as it stands in the kept figures.
    """
    return [
        FigureRow(
            name, results[name], kept.get(name), _decide_verdict(name, results[name], kept, machine)
        )
        for name in DEFINITIONS
        if name in results
    ]


def _decide_verdict(
    name: str, now: Result, kept: Mapping[str, KeptFigure], machine: str
) -> FigureVerdict:
    definition, before = DEFINITIONS[name], kept.get(name)
    if isinstance(now, NotMeasured):
        return FigureVerdict.NOT_MEASURED
    if before is None:
        return FigureVerdict.NEW
    if before.unit != definition.unit:
        return FigureVerdict.OTHER_UNIT
    if definition.machine_bound and before.machine != machine:
        return FigureVerdict.OTHER_MACHINE
    # Kept values are rounded: so is this one, or an unchanged one would differ by the rest.
    change = round(now, definition.digits) - before.value
    if abs(change) <= definition.noise.limit(before.value) * (1.0 + 1e-9):
        return FigureVerdict.SAME
    if definition.better is Better.NEITHER:
        return FigureVerdict.CHANGED
    return (
        FigureVerdict.BETTER
        if (change > 0.0) == (definition.better is Better.MORE)
        else FigureVerdict.FELL
    )


def make_table(rows: Sequence[FigureRow]) -> Table:
    """Make a table of figure, kept, now, change and verdict."""
    made = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False)
    made.add_column("figure")
    for column in ("kept", "now", "change"):
        made.add_column(column, justify="right", no_wrap=True)
    made.add_column("verdict", no_wrap=True)
    for row in rows:
        made.add_row(
            row.definition.title,
            row.definition.format_value(row.kept.value) if row.kept else "",
            "" if isinstance(row.now, NotMeasured) else row.definition.format_value(row.now),
            format_change(row),
            row.verdict.value,
            style="bold red" if row.verdict is FigureVerdict.FELL else None,
        )
    return made


def format_change(row: FigureRow) -> str:
    """Format a change in percent of the kept value, or in points; empty if there is none."""
    if (
        isinstance(row.now, NotMeasured)
        or row.kept is None
        or row.verdict is FigureVerdict.OTHER_UNIT
    ):
        return ""
    change = round(row.now, row.definition.digits) - row.kept.value
    if not row.definition.noise.relative or row.kept.value == 0.0:
        return f"{change:+.{row.definition.digits}f}"
    return f"{100.0 * change / row.kept.value:+.1f} %"


def list_notes(rows: Sequence[FigureRow]) -> list[str]:
    """List why figures are missing, and what fell by more than its noise."""
    missing: dict[str, list[str]] = {}
    for row in rows:
        if isinstance(row.now, NotMeasured):
            missing.setdefault(row.now.reason, []).append(row.definition.title)
    lines = [f"not measured: {'; '.join(titles)} ({why})" for why, titles in missing.items()]
    fallen = [row for row in rows if row.verdict is FigureVerdict.FELL]
    for row in fallen:
        if row.kept is not None and not isinstance(row.now, NotMeasured):
            definition, kept = row.definition, row.kept
            lines.append(
                f"FELL: {definition.title}: {definition.format_value(row.now)}, kept "
                f"{definition.format_value(kept.value)} ({kept.date}, {kept.commit}), noise "
                f"{definition.noise.describe(definition.unit)}"
            )
    if not fallen and any(row.verdict in COMPARED for row in rows):
        lines.append("Nothing fell by more than its noise.")
    return lines
