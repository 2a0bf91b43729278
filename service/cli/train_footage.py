"""Prepares the footage of a training run: examines sources, records cameras, reads recordings."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

import typer
from rich.console import Console
from rich.progress import Progress

from service.cli.input_footage import add_recordings, find_sources
from service.errors import BadInput, SourceError
from service.learn.camera_recording import CaptureOptions, record_camera
from service.learn.frame_recording import FrameRecording, TrainingRecording
from service.learn.source_info import SourceInfo
from service.signals import stop_on_signals

if TYPE_CHECKING:
    from model.footage.clips import Clip
    from model.footage.footage_search import Source
    from model.frames import FrameShape


@dataclass(frozen=True, slots=True)
class TrainingFootage:
    """The sources of a training run."""

    cameras: Sequence[FrameRecording]
    """Live cameras, which have to be recorded."""
    recordings: Sequence[Source]
    first: SourceInfo
    """What is known of the first source."""
    frames: int
    """Number of frames to take of each source; 0 takes all."""

    @property
    def names(self) -> tuple[str, ...]:
        """The names of all sources."""
        cameras = [camera.source for camera in self.cameras]
        return tuple(source.name for source in (*cameras, *self.recordings))

    def compute_frame_rate(self, fps: float | None) -> float | None:
        """Compute the frames a second of the footage; None where it is unknown.

        Args: fps: most frames a second to take; None takes all.
        """
        own = self.cameras[0].compute_frame_rate() if self.cameras else self.first.fps
        return own if fps is None else min(fps, own or fps)

    def read(self, console: Console, shape: FrameShape, fps: float | None) -> list[Clip]:
        """Read all clips. Raises: FootageError: no recording can be read."""
        from model.footage.clips import open_frame_store

        clips = [clip for camera in self.cameras for clip in camera.read_clips()]
        if self.recordings:
            with open_frame_store(shape) as store:
                limit = self.frames or None
                add_recordings(console, store, self.recordings, fps=fps, limit=limit)
                clips += store.clips()
        return clips


def find_training_footage(
    console: Console, locations: Sequence[str], max_frames: int | None, recording: TrainingRecording
) -> TrainingFootage:
    """Examine the sources, except cameras that were recorded before, which may be away.

    Raises: FootageError, BadInput: there is no footage, or `max_frames` is missing.
    """
    from model.footage.locations import Location
    from service.learn.source_examination import examine_source

    cameras: list[FrameRecording] = []
    recordings: list[Source] = []
    first: SourceInfo | None = None
    for source in find_sources(console, locations):
        if not source.is_live:
            recordings.append(source)
            continue
        camera = recording.open_source(source)
        # Only over HTTP may it be a recording.
        if camera.info is None and (
            max_frames is not None or Location.parse(str(source.location)).is_http
        ):
            camera.info = examine_source(source)
        if camera.info is not None and not camera.info.is_live:
            recordings.append(source)
        elif max_frames is None:
            reason = f"is needed for {source.name}: a camera never ends"
            raise BadInput("--max-frames", None, reason)
        elif camera.folder in [other.folder for other in cameras]:
            raise BadInput("SOURCES", source.name, "is given twice")
        else:
            cameras.append(camera)
        if first is None and len(cameras) + len(recordings) == 1:
            first = camera.info
    return TrainingFootage(
        cameras, recordings, first or _first_readable(recordings), max_frames or 0
    )


def _first_readable(sources: Sequence[Source]) -> SourceInfo:
    """Examine the first recording that can be read; the ones before it will be left out."""
    from model.footage.footage_error import FootageError
    from service.learn.source_examination import examine_source

    for source in sources[:-1]:
        with suppress(FootageError):
            return examine_source(source)
    return examine_source(sources[-1])


def record_cameras(
    console: Console,
    footage: TrainingFootage,
    shape: FrameShape,
    fps: float | None,
    outage_s: float,
    *,
    allow_short: bool,
) -> None:
    """Record each camera's frames. Raises: BadInput: one gave less than half of them."""
    for camera in footage.cameras:
        if camera.count:
            until = camera.recorded_until.isoformat(sep=" ", timespec="minutes")
            console.print(
                f"{camera.source.name}: {camera.count} frames were recorded before, until {until}"
            )
        camera.begin(shape, fps)
        if camera.count and allow_short:
            console.print(f"going on with the {camera.count} frames of {camera.source.name}")
            continue
        reason = _record_camera(console, camera, footage.frames, outage_s)
        count, name = camera.count, camera.source.name
        if count >= footage.frames:
            console.print(f"recorded {name}: {count} frames")
            continue
        short = f"recorded {count} of {footage.frames} frames of {name}: {reason}"
        if 2 * count < footage.frames and not allow_short:
            kept = _describe_kept(camera) + ", or add --allow-short to train on these"
            raise BadInput("--max-frames", footage.frames, f"{short}; {kept}")
        console.print(f"{short}; going on with these")


def _record_camera(console: Console, camera: FrameRecording, limit: int, outage_s: float) -> str:
    """Record one camera; returns why the recording ended. Raises: Exit: the user interrupted it."""
    stop = threading.Event()
    reason = "the source has ended"
    bar = Progress(console=console, disable=not console.is_terminal)
    with bar, stop_on_signals(stop):
        task = bar.add_task(f"recording {camera.source.name}", total=limit)
        try:
            for count in record_camera(camera, limit, stop, CaptureOptions(outage_s)):
                bar.update(task, completed=count)
        except SourceError as error:
            reason = str(error)
    if stop.is_set():
        console.print(
            f"interrupted after {camera.count} of {limit} frames of {camera.source.name}; "
            f"{_describe_kept(camera)}"
        )
        raise typer.Exit(130)
    return reason


def _describe_kept(camera: FrameRecording) -> str:
    return f"they are kept in {camera.folder.parent}: run the command again to record the rest"
