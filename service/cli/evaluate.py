"""`normwatch evaluate`: how well a bundle tells abnormal frames from normal ones."""

from __future__ import annotations

import json
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.progress import Progress, track
from rich.table import Table

from service.cli.bundles import load_bundle

if TYPE_CHECKING:
    from model.evaluation.accuracy import Accuracy
    from model.evaluation.protocol import Evaluation, Report

FIGURES = ("micro", "macro", "average_precision", "equal_error_rate")


class Updates(StrEnum):
    """What the memory does with test frames."""

    ON = "on"
    FROZEN = "frozen"


def evaluate(
    bundle: Annotated[
        str, typer.Argument(help="A bundle's folder, or a name from `normwatch models`.")
    ],
    data: Annotated[
        Path, typer.Argument(help="Test clips beside labels.csv (or a folder above them).")
    ],
    score: Annotated[
        str | None, typer.Option(help="The composition that `auc` in the JSON is of; the bundle's.")
    ] = None,
    gamma: Annotated[
        float | None, typer.Option(help="γ, instead of the bundle's.", min=0.0)
    ] = None,
    memory: Annotated[
        Updates, typer.Option(help="Update the memory below γ, or not.")
    ] = Updates.ON,
    json_file: Annotated[
        Path | None, typer.Option("--json", help="Write all figures there.")
    ] = None,
    plot: Annotated[
        Path | None, typer.Option(help="PNG of curves and ROC; evaluation.png unless given.")
    ] = None,
) -> None:
    """Measure a bundle on labelled footage: AUC offline (papers' protocol) and causal (live)."""
    from model.config import SCORES
    from model.detector import CameraOptions
    from model.evaluation.plots import plot_evaluation
    from model.evaluation.protocol import evaluate as evaluate_bundle
    from model.footage import frame_store
    from model.labels import LabelError, labelled_clips
    from service.errors import BadInput

    console = Console(highlight=False)
    loaded = load_bundle(bundle)
    chosen = score or loaded.score.name
    known = {*SCORES, loaded.score.name}
    if chosen not in known:
        raise BadInput("--score", chosen, f"must be one of {', '.join(sorted(known))}")
    options = CameraOptions(gamma=gamma, adapt=memory is Updates.ON)
    labelled = labelled_clips(data)
    with frame_store(loaded.frame_shape) as store:
        for clip in track(labelled, "reading", console=console, disable=not console.is_terminal):
            count = store.add(clip.source)
            if count != len(clip.abnormal):
                raise LabelError(
                    f"clip {clip.source.name} has {count} frames but {len(clip.abnormal)} labels"
                )
        clips = store.clips()
    with Progress(console=console, disable=not console.is_terminal) as bar:
        task = bar.add_task("scoring", total=sum(map(len, clips)))
        report = evaluate_bundle(
            loaded,
            clips,
            [clip.abnormal for clip in labelled],
            options=options,
            on_frame=lambda: bar.advance(task),
        )
    console.print(_table(report, loaded.name))
    console.print(
        f"{report.frames} frames, {report.scored} scored, {report.abnormal} abnormal; "
        f"γ {report.gamma:.5f}: {report.updated_share:.1%} of frames updated the memory"
    )
    picture = plot or Path("evaluation.png")
    plot_evaluation(
        report.evaluations[chosen],
        loaded.calibration.thresholds.get(chosen),
        f"{loaded.name} on {data}",
        picture,
    )
    console.print(f"curves: {picture}")
    if json_file is not None:
        json_file.write_text(json.dumps(to_json(report, chosen, loaded.name), indent=2) + "\n")
        console.print(f"figures: {json_file}")


def _table(report: Report, name: str) -> Table:
    table = Table(
        "score", "protocol", "AUC micro", "AUC macro", "AP", "EER", title=f"{name}, percent"
    )
    for evaluation in report.evaluations.values():
        for protocol, figures in _protocols(evaluation).items():
            values = (getattr(figures, figure) for figure in FIGURES)
            table.add_row(
                evaluation.score.name,
                protocol,
                *("n/a" if v is None else f"{v:.2f}" for v in values),
            )
    return table


def _protocols(evaluation: Evaluation) -> dict[str, Accuracy]:
    return {"offline": evaluation.offline, "causal": evaluation.causal}


def to_json(report: Report, chosen: str, name: str) -> dict[str, object]:
    """All figures; those of the chosen composition again on top. AUCs in percent."""
    scores = {key: _by_protocol(evaluation) for key, evaluation in report.evaluations.items()}
    return {
        "bundle": name,
        "unit": "percent",
        "score": chosen,
        **scores[chosen],
        "scores": scores,
        "frames": {"all": report.frames, "scored": report.scored, "abnormal": report.abnormal},
        "memory": {"gamma": report.gamma, "updated_share": report.updated_share},
    }


def _by_protocol(evaluation: Evaluation) -> dict[str, dict[str, dict[str, float | None]]]:
    protocols = _protocols(evaluation)
    return {
        "auc": {
            key: {"micro": figures.micro, "macro": figures.macro}
            for key, figures in protocols.items()
        },
        "average_precision": {
            key: {"micro": figures.average_precision} for key, figures in protocols.items()
        },
        "equal_error_rate": {
            key: {"micro": figures.equal_error_rate} for key, figures in protocols.items()
        },
    }
