"""Finds and reads the footage of commands, and prints what was left out or lost."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING

from rich.console import Console

if TYPE_CHECKING:
    from model.footage.clips import FrameStore
    from model.footage.footage_search import Source
    from model.frames import Frame, FrameShape

LISTED = 10
"""At most so many of the files that are left out are listed."""


def find_sources(console: Console, locations: Sequence[str]) -> list[Source]:
    """Find the clips in these locations; prints what is left out.

    Raises: FootageError: there are none.
    """
    from model.footage.footage_search import find_footage

    found = find_footage(locations)
    for each in found.left_out[:LISTED]:
        console.print(f"left out {each.path}: {each.reason}")
    if len(found.left_out) > LISTED:
        console.print(f"left out {len(found.left_out) - LISTED} more")
    return found.sources


def add_recordings(
    console: Console,
    store: FrameStore,
    sources: Sequence[Source],
    *,
    fps: float | None,
    limit: int | None = None,
) -> None:
    """Read recordings into a store; prints how much each held, and what of it was lost.

    Args:
        fps: at most this many frames a second; the rate of images.
        limit: at most this many frames of each.
    Raises: FootageError: none of them can be read.
    """
    from model.footage.footage_error import FootageError
    from model.footage.footage_reader import FootageReader

    failure: FootageError | None = None
    read = 0
    for source in sources:
        try:
            added = store.add(FootageReader(source, fps=fps, limit=limit))
        except FootageError as error:
            failure = error
            if len(sources) > 1:
                console.print(f"left out {error}")
        else:
            read += 1
            console.print(f"read {source.name}: {added}")
    if failure is not None and not read:
        raise failure


@dataclass(frozen=True, slots=True)
class FittedFrame:
    """A frame of a source, fitted to a network."""

    clip: str
    """The source's name."""
    number: int
    """Number of the frame in its source, from 0."""
    time_s: float
    """Seconds since the source's first frame."""
    pixels: Frame
    continues: bool
    """True where it follows the frame before it."""


@dataclass(frozen=True, slots=True)
class FrameRequest:
    """Says which frames of each source to read."""

    shape: FrameShape
    fps: float | None
    limit: int | None
    """At most this many frames."""
    stop: threading.Event
    """Ends the reading once it is set."""


def read_frames(
    console: Console, sources: Sequence[Source], request: FrameRequest
) -> Iterator[FittedFrame]:
    """Yield frames of recordings, and of cameras as they arrive.

    Prints what was lost, and leaves out what can't be read where there are several sources.

    Raises: FootageError, BadInput: nothing can be read. SourceError: a camera went away.
    """
    from model.footage.footage_error import FootageError
    from service.learn.source_examination import examine_source

    failure: FootageError | None = None
    any_read = False
    for source in sources:
        is_camera = source.is_live and examine_source(source).is_live
        read = _capture_frames if is_camera else _read_recording
        try:
            for each in read(console, source, request):
                any_read = True
                yield each
        except FootageError as error:
            failure = error
            if len(sources) > 1:
                console.print(f"left out {error}")
    if failure is not None and not any_read:
        raise failure


def _capture_frames(_: Console, source: Source, request: FrameRequest) -> Iterator[FittedFrame]:
    from service.learn.camera_recording import capture_frames

    first_at: float | None = None
    captured = capture_frames(source, request.shape, request.fps, request.stop)
    for number, frame in enumerate(islice(captured, request.limit)):
        first_at = frame.captured_at if first_at is None else first_at
        time_s = frame.captured_at - first_at
        yield FittedFrame(source.name, number, time_s, frame.pixels, not frame.cut)


def _read_recording(
    console: Console, source: Source, request: FrameRequest
) -> Iterator[FittedFrame]:
    from model.footage.footage_reader import FootageReader
    from model.footage.source_pictures import Fitter

    fitter = Fitter(request.shape)
    reading = FootageReader(source, fps=request.fps, limit=request.limit)
    for number, each in enumerate(reading):
        if request.stop.is_set():
            break
        pixels = fitter.fit(each.picture)
        yield FittedFrame(source.name, number, each.time_s, pixels, each.continues)
    if reading.losses:
        console.print(f"{source.name}: {reading.losses}")
