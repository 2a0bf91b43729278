"""`normwatch import`: makes a bundle of weights from MNAD's reference implementation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from model.bundles.catalog import Provenance
from model.network.network_config import DOWNSCALE, LEAST_SIDE, Task
from service.cli.input_footage import add_recordings, find_sources
from service.cli.outputs import check_bundle_folder
from service.errors import BadInput

if TYPE_CHECKING:
    from model.bundles.bundle import Bundle
    from model.bundles.reference_import import ReferenceInfo

ITEMS_FILE = "keys.pt"
"""Name of the reference implementation's file of items, next to the weights."""


class ImportedScore(StrEnum):
    """The score that cameras get: ours, or the reference's."""

    LIVE = "live"
    REFERENCE = "reference"


def import_weights(
    weights: Annotated[
        Path, typer.Argument(help="State dict of the reference's network: .pt, .pth, .safetensors.")
    ],
    out: Annotated[Path, typer.Option(help="Folder that the bundle is written to.")],
    items: Annotated[
        Path | None,
        typer.Option(help="The memory's items; keys.pt next to the weights unless given."),
    ] = None,
    task: Annotated[Task | None, typer.Option(help="Refuse weights of the other task.")] = None,
    normal: Annotated[
        list[str] | None,
        typer.Option(help="Normal footage of the camera, to measure γ, ranges and thresholds on."),
    ] = None,
    fps: Annotated[
        float | None,
        typer.Option(help="Frames a second of the footage that it was trained on.", min=0.1),
    ] = None,
    height: Annotated[int, typer.Option(help="Height of the input; a multiple of 8.")] = 256,
    width: Annotated[int, typer.Option(help="Width of the input; a multiple of 8.")] = 256,
    rgb: Annotated[
        bool, typer.Option("--rgb", help="It was trained on RGB frames; the reference takes BGR.")
    ] = False,
    score: Annotated[
        ImportedScore, typer.Option(help="The bundle's score: ours, or the reference's.")
    ] = ImportedScore.LIVE,
) -> None:
    """Make a bundle from weights of MNAD's reference implementation, without running any code."""
    from model.bundles import bundle
    from model.bundles import reference_import as reference

    for option, side in (("--height", height), ("--width", width)):
        if side < LEAST_SIDE or side % DOWNSCALE:
            expected = f"must be a multiple of {DOWNSCALE}, at least {LEAST_SIDE}"
            raise BadInput(option, side, expected)
    check_bundle_folder("--out", out)
    items = items or _find_items(weights)
    reading = reference.ReferenceInfo(height, width, task, bgr=not rgb)
    made = _convert(out.name, weights, items, reading)
    if score is ImportedScore.REFERENCE:
        made = replace(made, score=reference.make_reference_score(made.config.task))
    made = replace(made, provenance=_make_provenance(weights, items, rgb=rgb, fps=fps))
    console = Console(highlight=False, soft_wrap=True)
    if normal:
        made = _calibrate(console, made, normal)
    bundle.save(made, out)
    _print_summary(console, made, out)


def _convert(name: str, weights: Path, items: Path, reading: ReferenceInfo) -> Bundle:
    """Make a bundle of the two files. Raises: WeightsError, BadInput: one is wrong."""
    from model.bundles import reference_import as reference

    tensors, vectors = reference.read_weights(weights), reference.read_items(items)
    try:
        return reference.convert(name, tensors, vectors, reading)
    except reference.ItemsError as error:
        raise BadInput("--items", str(items), str(error)) from None
    except reference.WeightsError as error:
        raise reference.WeightsError(f"{weights}: {error}") from None


def _find_items(weights: Path) -> Path:
    found = weights.parent / ITEMS_FILE
    if not found.is_file():
        raise BadInput("--items", None, f"is needed: there is no {ITEMS_FILE} next to {weights}")
    return found


def _make_provenance(weights: Path, items: Path, *, rgb: bool, fps: float | None) -> Provenance:
    from service.tools.release.archive import compute_sha256

    return Provenance(
        created_at=datetime.now(UTC).isoformat(timespec="seconds"),
        frame_rate=fps,
        settings={
            "imported_weights": weights.name,
            "imported_weights_sha256": compute_sha256(weights),
            "imported_items": items.name,
            "imported_items_sha256": compute_sha256(items),
            "imported_channels": "rgb" if rgb else "bgr",
        },
        notes=f"Imported from {weights.name}, weights of MNAD's reference implementation.",
    )


def _calibrate(console: Console, made: Bundle, locations: Sequence[str]) -> Bundle:
    """Calibrate the bundle on normal footage; takes the video's frame rate where none is given."""
    from model.footage.clips import open_frame_store
    from model.footage.footage_error import FootageError
    from model.footage.footage_reader import read_frame_rate
    from model.training.bundle_calibration import calibrate

    rate = made.provenance.frame_rate
    try:
        sources = find_sources(console, locations)
        with open_frame_store(made.frame_shape) as store:
            add_recordings(console, store, sources, fps=rate)
            clips = store.clips()
    except FootageError as error:
        raise BadInput("--normal", _redact(locations), str(error)) from None
    console.print("measuring the normal footage")
    try:
        calibrated = calibrate(made, clips)
    except ValueError as error:
        raise BadInput("--normal", _redact(locations), str(error)) from None
    origin = replace(
        made.provenance,
        sources=tuple(source.name for source in sources),
        held_out_frames=sum(map(len, clips)),
        frame_rate=rate or read_frame_rate(sources[0]),
    )
    return replace(calibrated, provenance=origin)


def _redact(locations: Sequence[str]) -> str:
    from model.footage.locations import redact_url

    return ", ".join(map(redact_url, locations))


def _print_summary(console: Console, made: Bundle, out: Path) -> None:
    net, calibration = made.config, made.calibration
    console.print(
        f"{out} holds a {net.task.value} network of width {net.base_width} "
        f"for {net.height}x{net.width} {'grey' if net.channels == 1 else 'RGB'} frames"
    )
    if calibration.normal is None:
        console.print(
            f"γ {calibration.gamma:g} is the reference's, and no normal range is known: cameras "
            "stay warming, without scores, until it is imported again with --normal FOOTAGE"
        )
    else:
        limit = calibration.thresholds[made.score.name]
        console.print(f"γ {calibration.gamma:.5f}, threshold {limit:.3f}")
