"""`normwatch train`: learn what is normal from footage."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from service.cli.allocator import restart_with_tunables
from service.cli.bundles import describe_int8
from service.cli.called import Called, find_called
from service.cli.outputs import check_bundle_folder
from service.cli.training_run import show_run
from service.errors import BadInput
from service.settings import Settings
from service.signals import stopping_on_signals

if TYPE_CHECKING:
    from model import training
    from model.bundle import Bundle
    from model.catalog import Provenance
    from model.footage import Clip, Sampling, Source
    from model.frames import FrameShape

MOST_ITEMS = MOST_CHANNELS = 65_536
"""Far beyond any use, and short of filling the machine's memory with one tensor."""
CALLED_SHARE = 0.25
"""As `model.windows` has it, which loads torch."""
MOST_SEED = 2**63 - 1
"""What PyTorch's generators take."""


class PresetName(StrEnum):
    """Network sizes; `paper` is the published one."""

    PAPER = "paper"
    MEDIUM = "medium"
    SMALL = "small"
    FAST = "fast"
    TINY = "tiny"


class TaskName(StrEnum):
    """What the network does."""

    PREDICTION = "prediction"
    RECONSTRUCTION = "reconstruction"


class MemoryName(StrEnum):
    """Which memory the network has."""

    MNAD = "mnad"
    MEMAE = "memae"


class Colour(StrEnum):
    """Channels of the network; `auto` looks at the footage."""

    AUTO = "auto"
    GREY = "grey"
    RGB = "rgb"


def train(
    sources: Annotated[
        list[str],
        typer.Argument(
            help="Normal footage: folders of images, videos, folders of those, or URLs."
        ),
    ],
    out: Annotated[Path, typer.Option(help="Folder that the bundle is written to.")],
    preset: Annotated[
        PresetName, typer.Option(help="Network size and schedule.")
    ] = PresetName.FAST,
    task: Annotated[TaskName, typer.Option(help="What the network does.")] = TaskName.PREDICTION,
    width: Annotated[int | None, typer.Option(help="Base width; 64 is the paper's.", min=1)] = None,
    patch: Annotated[
        int | None,
        typer.Option(help="Side of the pixel squares taken as one place: 1, or 2 or 4 for speed."),
    ] = None,
    size: Annotated[
        str, typer.Option(help="Input HEIGHTxWIDTH, multiples of 8 times the patch.")
    ] = "256x256",
    colour: Annotated[Colour, typer.Option(help="Grey or RGB network.")] = Colour.AUTO,
    memory: Annotated[
        MemoryName, typer.Option(help="MNAD's memory, or MemAE's: many items, learned by gradient.")
    ] = MemoryName.MNAD,
    items: Annotated[
        int | None, typer.Option(help="Memory items; 10, or MemAE's 2000.", min=2, max=MOST_ITEMS)
    ] = None,
    shrinkage: Annotated[
        float, typer.Option(help="MemAE's λ, as a multiple of 1 / items.", min=0.0)
    ] = 1.0,
    memory_channels: Annotated[
        int,
        typer.Option(help="Channels of an item; 0 is 8 x base width.", min=0, max=MOST_CHANNELS),
    ] = 0,
    epochs: Annotated[int | None, typer.Option(help="Passes over the footage.", min=1)] = None,
    batch: Annotated[int | None, typer.Option(help="Windows a step.", min=1)] = None,
    learning_rate: Annotated[
        float | None, typer.Option(help="Highest learning rate.", min=1e-8)
    ] = None,
    crop: Annotated[
        int | None,
        typer.Option(help="Side of the squares to train on; 0 is whole frames.", min=0),
    ] = None,
    pseudo_anomalies: Annotated[
        bool | None,
        typer.Option(
            help="Teach it with things pasted where they don't belong; the preset's unless given."
        ),
    ] = None,
    flip: Annotated[
        bool, typer.Option("--flip", help="Mirror half of the windows: both ways are normal here.")
    ] = False,
    stream: Annotated[
        str | None,
        typer.Option(help="Id of a stream: its events that were called normal are learned, too."),
    ] = None,
    stream_share: Annotated[
        float,
        typer.Option(help="Share of the windows that they are repeated up to.", min=0.0, max=0.9),
    ] = CALLED_SHARE,
    hold_out: Annotated[
        float, typer.Option(help="Share of the footage kept back for ranges, γ and thresholds.")
    ] = 0.125,
    fps: Annotated[
        float | None,
        typer.Option(
            help="Frames a second to take (of images: at which they were taken).", min=0.1
        ),
    ] = None,
    max_frames: Annotated[
        int | None, typer.Option(help="Frames to take of each source; URLs need it.", min=1)
    ] = None,
    seed: Annotated[
        int, typer.Option(help="Everything random follows from it.", min=0, max=MOST_SEED)
    ] = 0,
    resume: Annotated[bool, typer.Option("--resume", help="Go on from the checkpoint.")] = False,
    threads: Annotated[int, typer.Option(help="Processor threads; 0 is all cores.", min=0)] = 0,
) -> None:
    """Train a bundle on normal footage of a camera."""
    restart_with_tunables()
    from model import training
    from model.config import PATCHES, MemoryKind, NetConfig, Task
    from model.footage import Sampling, frame_rate
    from model.frames import FrameShape

    console = Console(highlight=False)
    chosen = training.PRESETS[preset.value]
    config = replace(
        chosen.train,
        seed=seed,
        weights=training.default_weights(Task(task.value)),
        epochs=epochs or chosen.train.epochs,
        batch=batch or chosen.train.batch,
        learning_rate=learning_rate or chosen.train.learning_rate,
    )
    height, columns = _parse_size(size)
    patch = chosen.patch if patch is None else patch
    if patch not in PATCHES:
        raise BadInput("--patch", patch, f"must be one of {', '.join(map(str, PATCHES))}")
    try:
        config = _with_windows(config, crop, pseudo_anomalies, flip, (height, columns), patch)
    except ValueError as error:
        raise BadInput("--crop", crop, str(error)) from None
    config = replace(config, windows=replace(config.windows, called_share=stream_share))
    try:
        net = NetConfig(
            task=Task(task.value),
            base_width=width or chosen.base_width,
            patch=patch,
            height=height,
            width=columns,
            memory_items=items or 0,
            memory_channels=memory_channels,
            memory=MemoryKind(memory.value),
            memory_shrinkage=shrinkage,
            judges=config.judgement_weight > 0.0,
        )
    except ValueError as error:
        raise BadInput("--size", size, str(error)) from None
    found = _discover(sources, max_frames)
    net = replace(net, channels=_channels(colour, found))
    shape = FrameShape(net.height, net.width, net.channels)
    _use_threads(threads)
    checkpoint = out.with_name(out.name + ".checkpoint")
    check_bundle_folder("--out", out)
    _check_checkpoint(checkpoint, resume)
    rate = fps or frame_rate(found[0])
    called = find_called(console, stream, rate) if stream is not None else None
    clips = _read(console, found, shape, Sampling(fps, max_frames))
    training_clips, held_out = _split(clips, hold_out, net.context)
    run = training.Training(net, config, training_clips, called.read(shape) if called else [])
    if resume:
        run.resume(checkpoint)
    console.print(
        f"{run.windows.frames} frames to train on, {sum(map(len, held_out))} held out, "
        f"{run.steps} steps, {'bf16' if run.uses_bf16 else 'fp32'}"
    )
    stop = threading.Event()
    with stopping_on_signals(stop):
        show_run(console, run, checkpoint, stop)
    if not run.done:
        console.print(f"stopped at step {run.step} of {run.steps}; go on with --resume")
        raise typer.Exit(130)
    bundle = _finish(console, run, held_out, out, _origin(run, held_out, found, rate, called))
    checkpoint.unlink(missing_ok=True)
    limit = bundle.calibration.thresholds[bundle.score.name]
    console.print(
        f"γ {bundle.calibration.gamma:.5f}, threshold {limit:.3f}\n[bold]{out}[/bold] holds the "
        f"bundle; in {Settings().user_models} it is found by its name"
    )


def _with_windows(
    config: training.TrainConfig,
    crop: int | None,
    pseudo_anomalies: bool | None,
    flip: bool,
    size: tuple[int, int],
    patch: int,
) -> training.TrainConfig:
    """The preset's windows with what was asked for, and no crop larger than the picture."""
    from model.config import DOWNSCALE
    from model.pseudo_anomalies import PseudoConfig
    from model.training import JUDGEMENT_WEIGHT

    windows = config.windows
    pseudo = windows.pseudo
    if pseudo_anomalies is not None:
        pseudo = (pseudo or PseudoConfig()) if pseudo_anomalies else None
    if crop is not None and crop > min(size):
        raise ValueError(f"must fit {size[0]}x{size[1]} pixels")
    grid = DOWNSCALE * patch
    if crop is not None and crop % grid:
        raise ValueError(f"must be a multiple of {grid}")
    fits = min(windows.crop, min(size) // grid * grid)
    weight = (config.judgement_weight or JUDGEMENT_WEIGHT) if pseudo else 0.0
    return replace(
        config,
        windows=replace(windows, crop=fits if crop is None else crop, flip=flip, pseudo=pseudo),
        judgement_weight=weight,
    )


def _parse_size(text: str) -> tuple[int, int]:
    parts = text.lower().split("x")
    if len(parts) != 2 or not all(part.isdigit() for part in parts):
        raise BadInput("--size", text, "must be HEIGHTxWIDTH, such as 256x256")
    return int(parts[0]), int(parts[1])


def _discover(locations: Sequence[str], max_frames: int | None) -> list[Source]:
    from model.footage import discover

    found = discover(locations)
    live = next((source for source in found if source.is_url), None)
    if live is not None and max_frames is None:
        raise BadInput(
            "--max-frames", None, f"is needed for {live.name}: a camera's stream never ends"
        )
    return found


def _channels(colour: Colour, sources: Sequence[Source]) -> int:
    from model.footage import has_colour

    if colour is Colour.AUTO:
        return 3 if has_colour(sources[0]) else 1
    return 3 if colour is Colour.RGB else 1


def _use_threads(threads: int) -> None:
    if threads:
        import torch

        torch.set_num_threads(threads)


def _check_checkpoint(checkpoint: Path, resume: bool) -> None:
    if resume and not checkpoint.exists():
        raise BadInput("--resume", str(checkpoint), "there is no such checkpoint")
    if not resume and checkpoint.exists():
        raise BadInput(
            "--out", str(checkpoint), "an unfinished run is there: add --resume, or delete the file"
        )


def _read(
    console: Console, sources: Sequence[Source], shape: FrameShape, sampling: Sampling
) -> list[Clip]:
    from model.footage import frame_store

    with frame_store(shape) as store:
        for source in sources:
            count = store.add(source, sampling)
            console.print(f"read {source.name}: {count} frames")
        return store.clips()


def _split(clips: Sequence[Clip], hold_out: float, context: int) -> tuple[list[Clip], list[Clip]]:
    from model.calibration import split

    try:
        return split(clips, hold_out, context)
    except ValueError as error:
        raise BadInput("--hold-out", hold_out, str(error)) from None


def _origin(
    run: training.Training,
    held_out: Sequence[Clip],
    sources: Sequence[Source],
    rate: float | None,
    called: Called | None,
) -> Provenance:
    from model.catalog import Provenance

    config = run.config
    settings: dict[str, str | int | float | bool | None] = {
        "batch": config.batch,
        "learning_rate": config.learning_rate,
        "warmup": config.warmup,
        "crop": config.windows.crop,
        "flip": config.windows.flip,
        "pseudo_anomalies": config.windows.pseudo is not None,
    }
    names = [source.name for source in sources]
    if called is not None:
        names.append(called.provenance)
        settings |= {
            "stream": called.stream_id,
            "stream_clips": len(called.clips),
            "stream_s": round(called.seconds, 1),
            "stream_share": config.windows.called_share,
        }
    return Provenance(
        created_at=datetime.now(UTC).isoformat(timespec="seconds"),
        sources=tuple(names),
        frames=run.windows.frames,
        held_out_frames=sum(map(len, held_out)),
        frame_rate=rate,
        epochs=config.epochs,
        steps=run.step,
        seed=config.seed,
        training_s=round(run.elapsed_s, 1),
        settings=settings,
    )


def _finish(
    console: Console,
    run: training.Training,
    held_out: Sequence[Clip],
    out: Path,
    origin: Provenance,
) -> Bundle:
    from model import bundle as bundles
    from model.calibration import calibrate
    from model.config import JUDGED, LIVE, Calibration

    console.print("measuring the held-out footage")
    trained = bundles.Bundle(
        name=out.name,
        config=run.net,
        network=run.network.eval().requires_grad_(False),
        items=run.items.detach(),
        calibration=Calibration(error_form=run.config.error_form),
        score=JUDGED if run.net.judges else LIVE,
        provenance=origin,
    )
    measured = _quantised(console, calibrate(trained, held_out), held_out)
    bundles.save(measured, out)
    return measured


def _quantised(console: Console, bundle: Bundle, held_out: Sequence[Clip]) -> Bundle:
    """With 8-bit ranges where OpenVINO is there to prove them; without them it works too."""
    from model.engines.engine import EngineError
    from model.engines.exactness import quantise

    try:
        measured = quantise(bundle, held_out)
    except (EngineError, ValueError) as error:
        console.print(f"no 8-bit ranges: {error}")
        return bundle
    console.print(describe_int8(measured))
    return measured
