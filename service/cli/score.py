"""`normwatch score`: the scores of a recording, causal, as the service would give them."""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TextIO

import typer

from service.cli.bundles import load_bundle
from service.cli.outputs import check_file

if TYPE_CHECKING:
    from model.observation import Observation

COLUMNS = (
    "clip",
    "frame",
    "psnr",
    "distance",
    "gate_error",
    "score",
    "threshold",
    "memory_updated",
    "state",
)


class Format(StrEnum):
    """How rows are written."""

    CSV = "csv"
    JSONL = "jsonl"


def score(
    bundle: Annotated[
        str, typer.Argument(help="A bundle's folder, or a name from `normwatch models`.")
    ],
    video: Annotated[
        str, typer.Argument(help="A video, a folder of images, or a folder of those.")
    ],
    out: Annotated[
        Path | None, typer.Option(help="File to write; standard output unless given.")
    ] = None,
    format: Annotated[Format, typer.Option(help="CSV, or JSON lines.")] = Format.CSV,
    fps: Annotated[
        float | None,
        typer.Option(
            help="Frames a second to score of a video; those of the bundle's footage unless given.",
            min=0.1,
        ),
    ] = None,
    plot: Annotated[Path | None, typer.Option(help="PNG of the score curve.")] = None,
) -> None:
    """Score each frame of a recording."""
    import numpy as np

    from model.detector import Detector
    from model.evaluation.plots import plot_scores
    from model.footage import Sampling, discover, fitted
    from model.observation import CameraOptions
    from model.rules import LIVE_UPDATE

    check_file("--out", out)
    check_file("--plot", plot)
    loaded = load_bundle(bundle)
    sampling = Sampling(fps or loaded.provenance.frame_rate)
    sources = discover([video])
    detector = Detector(loaded)
    camera = detector.start()
    options = [CameraOptions(update=LIVE_UPDATE)]
    scores: list[float] = []
    threshold: float | None = None
    with _output(out) as file:
        write = _writer(file, format)
        for source in sources:
            camera.cut()
            for frame, pixels in enumerate(fitted(source, loaded.frame_shape, sampling)):
                seen = detector.observe([camera], [pixels], options)[0]
                write(_row(source.name, frame, seen))
                scores.append(np.nan if seen.score is None else seen.score)
                threshold = threshold if seen.threshold is None else seen.threshold
    if plot is not None:
        plot_scores(np.array(scores), threshold, f"{loaded.name} on {video}", plot)


def _row(clip: str, frame: int, seen: Observation) -> dict[str, object]:
    values = (
        clip,
        frame,
        seen.psnr,
        seen.distance,
        seen.gate_error,
        seen.score,
        seen.threshold,
        seen.memory_updated,
        "warming" if seen.warming else "live",
    )
    return dict(zip(COLUMNS, values, strict=True))


@contextmanager
def _output(path: Path | None) -> Iterator[TextIO]:
    if path is None:
        yield sys.stdout
        return
    with path.open("w", newline="", encoding="utf-8") as file:
        yield file


def _writer(file: TextIO, format: Format) -> Callable[[dict[str, object]], None]:
    if format is Format.JSONL:
        return lambda row: print(json.dumps(row), file=file, flush=True)
    table = csv.DictWriter(file, COLUMNS)
    table.writeheader()

    def write(row: dict[str, object]) -> None:
        table.writerow(row)

    return write
