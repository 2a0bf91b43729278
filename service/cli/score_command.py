"""`normwatch score`: scores a recording as the service would, causally."""

from __future__ import annotations

import csv
import json
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import StrEnum
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TextIO

import typer
from rich.console import Console

from service.cli.bundles import load_bundle
from service.cli.input_footage import FittedFrame, FrameRequest, find_sources, read_frames
from service.cli.outputs import check_file
from service.cli.shared_options import BundleName
from service.messages import StreamState
from service.signals import stop_on_signals

if TYPE_CHECKING:
    from model.detect.observation import Observation

COLUMNS = (
    "clip",
    "frame",
    "time_s",
    "psnr",
    "distance",
    "gate_error",
    "score",
    "threshold",
    "memory_updated",
    "state",
)


class RowFormat(StrEnum):
    """Format of the rows."""

    CSV = "csv"
    JSONL = "jsonl"


def score(
    bundle: BundleName,
    source: Annotated[
        str, typer.Argument(help="A video, a folder of images or videos, or a camera's URL.")
    ],
    out: Annotated[
        Path | None, typer.Option(help="File to write; standard output unless given.")
    ] = None,
    format: Annotated[RowFormat, typer.Option(help="CSV, or JSON lines.")] = RowFormat.CSV,
    fps: Annotated[
        float | None,
        typer.Option(
            help="Frames a second to score of a video; the bundle's unless given.",
            min=0.1,
        ),
    ] = None,
    max_frames: Annotated[
        int | None, typer.Option(help="Frames to score of each clip or camera.", min=1)
    ] = None,
    plot: Annotated[Path | None, typer.Option(help="PNG of the score curve.")] = None,
) -> None:
    """Score each frame of a recording, or of a camera until it is interrupted."""
    import numpy as np

    from model.detect.detector import Detector
    from model.detect.observation import CameraOptions
    from model.evaluation.score_plots import plot_scores
    from model.network.update_rules import LIVE_UPDATE

    check_file("--out", out)
    check_file("--plot", plot)
    loaded = load_bundle(bundle)
    fps = fps or loaded.provenance.frame_rate
    console = Console(stderr=True, highlight=False, soft_wrap=True)
    stop = threading.Event()
    detector = Detector(loaded)
    camera = detector.start()
    options = [CameraOptions(update=LIVE_UPDATE)]
    scores: list[float] = []
    threshold: float | None = None
    # An unreadable source must not empty the file that an earlier run wrote.
    request = FrameRequest(loaded.frame_shape, fps, max_frames, stop)
    frames = read_frames(console, find_sources(console, [source]), request)
    first = next(frames, None)
    with _open_output(out) as file, stop_on_signals(stop):
        write = _make_writer(file, format)
        for frame in chain([] if first is None else [first], frames):
            if not frame.continues:
                camera.cut()
            seen = detector.observe([camera], [frame.pixels], options)[0]
            write(_make_row(frame, seen))
            scores.append(np.nan if seen.score is None else seen.score)
            threshold = threshold if seen.threshold is None else seen.threshold
    if plot is not None:
        plot_scores(np.array(scores), threshold, f"{loaded.name} on {source}", plot)


def _make_row(frame: FittedFrame, seen: Observation) -> dict[str, object]:
    values = (
        frame.clip,
        frame.number,
        round(frame.time_s, 3),
        seen.psnr,
        seen.distance,
        seen.gate_error,
        seen.score,
        seen.threshold,
        seen.memory_updated,
        StreamState.WARMING if seen.warming else StreamState.LIVE,
    )
    return dict(zip(COLUMNS, values, strict=True))


@contextmanager
def _open_output(path: Path | None) -> Iterator[TextIO]:
    if path is None:
        yield sys.stdout
        return
    with path.open("w", newline="", encoding="utf-8") as file:
        yield file


def _make_writer(file: TextIO, format: RowFormat) -> Callable[[dict[str, object]], None]:
    if format is RowFormat.JSONL:
        return lambda row: print(json.dumps(row), file=file, flush=True)
    table = csv.DictWriter(file, COLUMNS)
    table.writeheader()

    def write(row: dict[str, object]) -> None:
        table.writerow(row)
        file.flush()

    return write
