"""`normwatch check`: what a model would find and miss on a camera's own normal footage."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from model.bundles.catalog import DEFAULT_FPS
from service.cli.allocator import restart_with_tunables
from service.cli.bundles import load_bundle
from service.cli.input_footage import add_recordings, find_sources
from service.cli.outputs import check_file, write_figures
from service.cli.shared_options import BundleName, JsonFile
from service.errors import BadInput
from service.learning_messages import CheckSummary

if TYPE_CHECKING:
    from model.footage.clips import Clip

EXIT_NOT_PASSED = 1


def check(
    bundle: BundleName,
    footage: Annotated[
        list[str], typer.Argument(help="Normal footage of the camera: videos and folders.")
    ],
    hold_out: Annotated[
        float,
        typer.Option(
            help="Share of the footage that the model wasn't trained on: up to 0.5, or 1 for all."
        ),
    ] = 0.125,
    fps: Annotated[
        float | None,
        typer.Option(help="Frames a second to take; the model's unless given.", min=0.1),
    ] = None,
    current: Annotated[
        str | None, typer.Option(help="Another bundle, to be compared on the same scenes.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Seed of the made-up anomalies.", min=0)] = 0,
    json_file: JsonFile = None,
    report: Annotated[
        Path | None, typer.Option(help="Folder for pictures and a page of what is found.")
    ] = None,
) -> None:
    """Check a model on its camera's normal footage; exits with 1 if it doesn't pass."""
    restart_with_tunables()
    from model.evaluation.check_report import save_report
    from model.evaluation.model_check import ScenePlan, check_model
    from model.footage.clips import open_frame_store
    from model.training.footage_review import review_footage

    console = Console(highlight=False, soft_wrap=True)
    check_file("--json", json_file)
    if report is not None and report.exists() and not report.is_dir():
        raise BadInput("--report", str(report), "is a file: name a folder")
    if hold_out != 1.0 and not 0.0 < hold_out <= 0.5:
        raise BadInput("--hold-out", hold_out, "must be above 0 and at most 0.5, or 1")
    trained = load_bundle(bundle)
    rival = None if current is None else load_bundle(current)
    rate = fps or trained.provenance.frame_rate or DEFAULT_FPS
    with open_frame_store(trained.frame_shape) as store:
        add_recordings(console, store, find_sources(console, footage), fps=rate)
        clips = store.clips()
    console.print(f"footage: {review_footage(clips, rate).advice}")
    training_clips, held_out = _split(clips, hold_out, trained.config.context)
    with Progress(console=console, disable=not console.is_terminal) as bar:
        task = bar.add_task("checking", total=1.0)
        checked = check_model(
            trained,
            held_out,
            training_clips,
            rate,
            current=rival,
            on_progress=lambda share: bar.update(task, completed=share),
            plan=ScenePlan(seed=seed),
        )
    summary = CheckSummary.model_validate(checked, from_attributes=True)
    _print(console, summary)
    write_figures(json_file, summary.model_dump(mode="json"), console)
    if report is not None:
        save_report(checked, report)
        console.print(f"report: {report / 'index.html'}")
    if not summary.is_passed:
        raise typer.Exit(EXIT_NOT_PASSED)


def _split(clips: Sequence[Clip], hold_out: float, context: int) -> tuple[list[Clip], list[Clip]]:
    from model.training.bundle_calibration import split_clips

    if hold_out == 1.0:
        return list(clips), list(clips)
    try:
        return split_clips(clips, hold_out, context)
    except ValueError as error:
        raise BadInput("--hold-out", hold_out, str(error)) from None


def _print(console: Console, found: CheckSummary) -> None:
    table = Table("kind", "AUC", "found")
    for each in found.kinds:
        table.add_row(each.kind, f"{100 * each.auc:.1f}", f"{each.found} of {each.scenes}")
    console.print(table)
    low, high = 100 * found.auc_low, 100 * found.auc_high
    console.print(
        f"AUC {100 * found.auc:.1f} ({low:.1f} to {high:.1f}), "
        f"frame difference {100 * found.frame_difference_auc:.1f}"
        + ("" if found.current_auc is None else f", the other {100 * found.current_auc:.1f}")
    )
    delay = "" if found.delay_s is None else f", after {found.delay_s:.1f} s"
    console.print(f"found {found.found} of {found.scenes} made-up anomalies{delay}")
    console.print(
        f"{found.false_events} false events in {found.normal_s:.0f} s: at most "
        f"{found.false_events_per_day_high:.0f} a day, as far as so much footage tells"
    )
    verdict = "passed" if found.is_passed else "not passed"
    console.print(f"[bold]{verdict}[/bold]: {found.verdict}")
