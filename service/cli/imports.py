"""`normwatch import`: a bundle from weights that MNAD's reference implementation trained."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from model.catalog import Provenance
from model.config import DOWNSCALE, LEAST_SIDE, Task
from service.cli.outputs import check_bundle_folder
from service.errors import BadInput

if TYPE_CHECKING:
    from model.bundle import Bundle
    from model.reference import Reading

ITEMS_BESIDE = "keys.pt"
"""What the reference implementation calls the file of items, beside the weights."""


class ScoreName(StrEnum):
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
        typer.Option(help="The memory's items; keys.pt beside the weights unless given."),
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
    height: Annotated[int, typer.Option(help="Of the input; a multiple of 8.")] = 256,
    width: Annotated[int, typer.Option(help="Of the input; a multiple of 8.")] = 256,
    rgb: Annotated[
        bool, typer.Option("--rgb", help="It was trained on RGB frames; the reference takes BGR.")
    ] = False,
    score: Annotated[
        ScoreName, typer.Option(help="The bundle's score: ours, or the reference's.")
    ] = ScoreName.LIVE,
) -> None:
    """Make a bundle from weights of MNAD's reference implementation, without running any code."""
    from model import bundle, reference

    for option, side in (("--height", height), ("--width", width)):
        if side < LEAST_SIDE or side % DOWNSCALE:
            expected = f"must be a multiple of {DOWNSCALE}, at least {LEAST_SIDE}"
            raise BadInput(option, side, expected)
    check_bundle_folder("--out", out)
    items = items or _items_beside(weights)
    reading = reference.Reading(height, width, task, bgr=not rgb)
    made = _converted(out.name, weights, items, reading)
    if score is ScoreName.REFERENCE:
        made = replace(made, score=reference.reference_score(made.config.task))
    made = replace(made, provenance=_provenance(weights, items, rgb=rgb, fps=fps))
    console = Console(highlight=False, soft_wrap=True)
    if normal:
        made = _calibrated(console, made, normal)
    bundle.save(made, out)
    _tell(console, made, out)


def _converted(name: str, weights: Path, items: Path, reading: Reading) -> Bundle:
    """The bundle of two files. Raises: WeightsError, BadInput: names the file that is wrong."""
    from model import reference

    tensors, vectors = reference.read_weights(weights), reference.read_items(items)
    try:
        return reference.convert(name, tensors, vectors, reading)
    except reference.ItemsError as error:
        raise BadInput("--items", str(items), str(error)) from None
    except reference.WeightsError as error:
        raise reference.WeightsError(f"{weights}: {error}") from None


def _items_beside(weights: Path) -> Path:
    found = weights.parent / ITEMS_BESIDE
    if not found.is_file():
        raise BadInput("--items", None, f"is needed: there is no {ITEMS_BESIDE} beside {weights}")
    return found


def _provenance(weights: Path, items: Path, *, rgb: bool, fps: float | None) -> Provenance:
    from service.release.archive import sha256

    return Provenance(
        created_at=datetime.now(UTC).isoformat(timespec="seconds"),
        frame_rate=fps,
        settings={
            "imported_weights": weights.name,
            "imported_weights_sha256": sha256(weights),
            "imported_items": items.name,
            "imported_items_sha256": sha256(items),
            "imported_channels": "rgb" if rgb else "bgr",
        },
        notes=f"Imported from {weights.name}, weights of MNAD's reference implementation.",
    )


def _calibrated(console: Console, made: Bundle, locations: Sequence[str]) -> Bundle:
    """The bundle with what normal footage says; its rate, where none was given, is the video's."""
    from model.calibration import calibrate
    from model.footage import FootageError, Sampling, discover, frame_rate, frame_store

    try:
        sources = discover(locations)
    except FootageError as error:
        raise BadInput("--normal", _shown(locations), str(error)) from None
    live = next((source for source in sources if source.is_url), None)
    if live is not None:
        raise BadInput("--normal", live.name, "must be files: record the camera first")
    rate = made.provenance.frame_rate
    with frame_store(made.frame_shape) as store:
        for source in sources:
            count = store.add(source, Sampling(rate))
            console.print(f"read {source.name}: {count} frames")
        clips = store.clips()
    console.print("measuring the normal footage")
    try:
        calibrated = calibrate(made, clips)
    except ValueError as error:
        raise BadInput("--normal", _shown(locations), str(error)) from None
    origin = replace(
        made.provenance,
        sources=tuple(source.name for source in sources),
        held_out_frames=sum(map(len, clips)),
        frame_rate=rate or frame_rate(sources[0]),
    )
    return replace(calibrated, provenance=origin)


def _shown(locations: Sequence[str]) -> str:
    from model.footage import hide_credentials

    return ", ".join(map(hide_credentials, locations))


def _tell(console: Console, made: Bundle, out: Path) -> None:
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
