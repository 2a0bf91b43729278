"""`normwatch train`: trains a bundle on normal footage."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import replace
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from model.network.network_config import MemoryKind, Task
from service.cli.allocator import restart_with_tunables
from service.cli.outputs import check_bundle_folder
from service.cli.stream_clips import NormalClips, find_normal_clips
from service.cli.train_footage import find_training_footage, record_cameras
from service.cli.training_run import show_run
from service.errors import BadInput
from service.learn.camera_recording import OUTAGE_S
from service.learn.frame_recording import TrainingRecording
from service.learn.source_info import SourceInfo
from service.learn.work_order import HELD_OUT
from service.settings import Settings
from service.signals import stop_on_signals

if TYPE_CHECKING:
    from model.footage.clips import Clip
    from model.network.network_config import NetConfig
    from model.training import trainer as training
    from model.training.warm_start import WarmStart

MOST_ITEMS = MOST_CHANNELS = 65_536
"""Far more than is useful, and less than would fill the machine's memory with one tensor."""
CALLED_SHARE = 0.25
"""Default of `WindowConfig`, whose module would load torch here."""
AUTO_START = "auto"
"""`model.training.warm_start.AUTO`, whose module would load torch here."""
MOST_SEED = 2**63 - 1
"""Largest seed of PyTorch's generators."""


class PresetName(StrEnum):
    """Network sizes of `model.training.trainer.PRESETS`, whose module would load torch here."""

    PAPER = "paper"
    MEDIUM = "medium"
    SMALL = "small"
    FAST = "fast"
    TINY = "tiny"


class ColourChoice(StrEnum):
    """Colour of the network's frames; `auto` takes that of the footage."""

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
    task: Annotated[
        Task, typer.Option(help="Whether the network predicts frames or reconstructs them.")
    ] = Task.PREDICTION,
    width: Annotated[
        int | None,
        typer.Option(help="Base width; the preset's unless given. The paper's is 64.", min=1),
    ] = None,
    patch: Annotated[
        int | None,
        typer.Option(
            help="Side of the pixel squares that are computed as one: 1, or 2 or 4 for speed."
        ),
    ] = None,
    size: Annotated[
        str, typer.Option(help="Input HEIGHTxWIDTH, multiples of 8 times the patch.")
    ] = "256x256",
    colour: Annotated[ColourChoice, typer.Option(help="Grey or RGB network.")] = ColourChoice.AUTO,
    memory: Annotated[
        MemoryKind, typer.Option(help="MNAD's memory, or MemAE's: many items, trained by gradient.")
    ] = MemoryKind.MNAD,
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
    start: Annotated[
        str,
        typer.Option(
            help="Weights to begin with: a bundle's name or folder, `none` for random ones, or "
            "`auto` for those of an included bundle with such a network, if there is one."
        ),
    ] = AUTO_START,
    epochs: Annotated[
        int | None,
        typer.Option(
            help="Passes over the footage; unless given, the preset's, of which much footage "
            "takes fewer.",
            min=1,
        ),
    ] = None,
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
            help="Train with things pasted where they don't belong; the preset's unless given."
        ),
    ] = None,
    flip: Annotated[
        bool, typer.Option("--flip", help="Mirror half of the windows: both ways are normal here.")
    ] = False,
    stream: Annotated[
        str | None,
        typer.Option(help="Id of a stream whose clips marked normal are trained on, too."),
    ] = None,
    stream_share: Annotated[
        float,
        typer.Option(
            help="Repeat these clips until they make up this share of training windows.",
            min=0.0,
            max=0.9,
        ),
    ] = CALLED_SHARE,
    hold_out: Annotated[
        float, typer.Option(help="Share of the footage held out for ranges, γ and thresholds.")
    ] = HELD_OUT,
    fps: Annotated[
        float | None,
        typer.Option(help="Frames a second to take of videos; the frame rate of images.", min=0.1),
    ] = None,
    max_frames: Annotated[
        int | None, typer.Option(help="Frames to take of each source; needed for cameras.", min=1)
    ] = None,
    outage: Annotated[
        float,
        typer.Option(help="Seconds that a camera may be away before its recording ends.", min=1.0),
    ] = OUTAGE_S,
    allow_short: Annotated[
        bool,
        typer.Option(
            "--allow-short", help="Train even if a camera gave less than half of --max-frames."
        ),
    ] = False,
    seed: Annotated[int, typer.Option(help="Seed of everything random.", min=0, max=MOST_SEED)] = 0,
    resume: Annotated[bool, typer.Option("--resume", help="Continue from the checkpoint.")] = False,
    threads: Annotated[int, typer.Option(help="Processor threads; 0 is all cores.", min=0)] = 0,
) -> None:
    """Train a bundle on normal footage of a camera."""
    restart_with_tunables()
    from model.bundles.bundle import save
    from model.frames import FrameShape
    from model.network.network_config import PATCHES, NetConfig
    from model.training import trainer as training
    from service.learn.bundle_making import make_bundle, make_provenance

    console = Console(highlight=False, soft_wrap=True)
    chosen = training.PRESETS[preset.value]
    config = replace(
        chosen.train,
        seed=seed,
        weights=training.default_weights(task),
        epochs=epochs or chosen.train.epochs,
        most_steps=0 if epochs else chosen.train.most_steps,
        batch=batch or chosen.train.batch,
        learning_rate=learning_rate or chosen.train.learning_rate,
    )
    height, columns = _parse_size(size)
    patch = chosen.patch if patch is None else patch
    if patch not in PATCHES:
        raise BadInput("--patch", patch, f"must be one of {', '.join(map(str, PATCHES))}")
    config = _configure_windows(
        config, (height, columns), patch, crop=crop, pseudo_anomalies=pseudo_anomalies, flip=flip
    )
    config = replace(config, windows=replace(config.windows, called_share=stream_share))
    try:
        net = NetConfig(
            task=task,
            base_width=width or chosen.base_width,
            patch=patch,
            height=height,
            width=columns,
            memory_items=items or 0,
            memory_channels=memory_channels,
            memory=memory,
            memory_shrinkage=shrinkage,
            judges=config.judgement_weight > 0.0,
        )
    except ValueError as error:
        raise BadInput("--size", size, str(error)) from None
    checkpoint = out.with_name(out.name + ".checkpoint")
    check_bundle_folder("--out", out)
    _check_checkpoint(checkpoint, resume)
    recording = TrainingRecording(out.with_name(out.name + ".recording"))
    footage = find_training_footage(console, sources, max_frames, recording)
    net = replace(net, channels=_choose_channels(colour, footage.first))
    shape = FrameShape(net.height, net.width, net.channels)
    begins_with = _choose_start(start, net)
    _use_threads(threads)
    if not resume and footage.cameras:
        # A checkpoint belongs to its frames: a resumed run records no more.
        with recording.lock():
            record_cameras(console, footage, shape, fps, outage, allow_short=allow_short)
    rate = footage.compute_frame_rate(fps)
    called = find_normal_clips(console, stream, rate) if stream is not None else None
    clips = footage.read(console, shape, fps)
    training_clips, held_out = _split(clips, hold_out, net.context)
    run = training.Training(
        net,
        config,
        training_clips,
        called.read(shape) if called else [],
        start=begins_with,
        makes_ahead=threads != 1,
    )
    if resume:
        run.resume(checkpoint)
    _run(console, run, checkpoint, held_out_frames=sum(map(len, held_out)))
    names, settings = _list_origins(footage.names, called, stream_share)
    origin = make_provenance(run, held_out, names, rate, settings)
    bundle = make_bundle(run, held_out, out.name, origin, console.print)
    save(bundle, out)
    checkpoint.unlink(missing_ok=True)
    recording.delete()
    limit = bundle.calibration.thresholds[bundle.score.name]
    console.print(
        f"γ {bundle.calibration.gamma:.5f}, threshold {limit:.3f}\n[bold]{out}[/bold] holds the "
        f"bundle; in {Settings().user_models} it is found by its name"
    )


def _configure_windows(
    config: training.TrainConfig,
    size: tuple[int, int],
    patch: int,
    *,
    crop: int | None,
    pseudo_anomalies: bool | None,
    flip: bool,
) -> training.TrainConfig:
    """Apply the options to the preset's windows; no crop is larger than the picture."""
    from model.network.network_config import DOWNSCALE
    from model.training.pseudo_anomalies import PseudoConfig
    from model.training.trainer import JUDGEMENT_WEIGHT

    windows = config.windows
    pseudo = windows.pseudo
    if pseudo_anomalies is not None:
        pseudo = (pseudo or PseudoConfig()) if pseudo_anomalies else None
    if crop is not None and crop > min(size):
        raise BadInput("--crop", crop, f"must fit {size[0]}x{size[1]} pixels")
    grid = DOWNSCALE * patch
    if crop is not None and crop % grid:
        raise BadInput("--crop", crop, f"must be a multiple of {grid}")
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


def _choose_channels(colour: ColourChoice, first: SourceInfo) -> int:
    if colour is ColourChoice.AUTO:
        return 3 if first.has_colour else 1
    return 3 if colour is ColourChoice.RGB else 1


def _choose_start(choice: str, net: NetConfig) -> WarmStart | None:
    from model.bundles.catalog import BundleError
    from model.training.warm_start import choose_start

    try:
        return choose_start(choice, net, [Settings().user_models])
    except BundleError:
        raise
    except ValueError as error:
        raise BadInput("--start", choice, str(error)) from None


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


def _split(clips: Sequence[Clip], hold_out: float, context: int) -> tuple[list[Clip], list[Clip]]:
    from model.training.bundle_calibration import split_clips

    try:
        return split_clips(clips, hold_out, context)
    except ValueError as error:
        raise BadInput("--hold-out", hold_out, str(error)) from None


def _run(
    console: Console, run: training.Training, checkpoint: Path, *, held_out_frames: int
) -> None:
    """Train to the end. Raises: Exit: the user interrupted it, and can resume."""
    console.print(
        f"{run.windows.frames} frames to train on, {held_out_frames} held out, "
        f"{run.steps} steps from {run.start.bundle if run.start else 'random'} weights, "
        f"{'bf16' if run.uses_bf16 else 'fp32'}"
    )
    stop = threading.Event()
    with stop_on_signals(stop):
        show_run(console, run, checkpoint, stop)
    if not run.is_done:
        console.print(f"stopped at step {run.step} of {run.steps}; go on with --resume")
        raise typer.Exit(130)


def _list_origins(
    sources: Sequence[str], called: NormalClips | None, share: float
) -> tuple[list[str], dict[str, str | int | float | bool | None]]:
    """List the names of the footage, and what the bundle keeps about a stream's clips in it."""
    if called is None:
        return list(sources), {}
    return [*sources, called.provenance], {
        "stream": called.stream_id,
        "stream_clips": len(called.clips),
        "stream_s": round(called.seconds, 1),
        "stream_share": share,
    }
