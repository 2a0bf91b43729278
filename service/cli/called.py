"""Footage of a stream that somebody called normal, as `normwatch train` takes it."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rich.console import Console

from service.errors import BadInput
from service.media.normal import FOLDER, KeptClip, NormalFolder, length_of
from service.settings import Settings

if TYPE_CHECKING:
    from model.footage import Clip
    from model.frames import Frame, FrameShape

LEAST_RATE = 0.8
"""Of the training's: motion at less is another motion."""
MOST_RATE = 1.2
"""Of it: of clips with more pictures a second, some are left out."""
LONGEST_GAP = 1.6
"""Of the training's frames: after a longer one the next frame follows from nothing."""
AROUND_S = 1.0
"""So much before an event and after it is learned with it. The rest of a clip shows nothing that
the other footage doesn't."""


@dataclass(frozen=True, slots=True)
class Called:
    """The clips that are taken."""

    stream_id: str
    clips: tuple[KeptClip, ...]
    fps: float
    """Frames a second of the training."""
    seconds: float

    def read(self, shape: FrameShape) -> list[Clip]:
        """The frames of their events, as far as the files say when those last.

        Raises: FootageError: one can't be read.
        """
        from model.footage import Sampling, Source, fitted

        runs: list[Clip] = []
        for clip in self.clips:
            name, length = f"{self.stream_id}/{clip.path.name}", length_of(clip)
            source = Source(name, clip.path)
            if length is None or length.fps > MOST_RATE * self.fps:
                frames = list(fitted(source, shape, Sampling(self.fps)))
                times_s = [place / self.fps for place in range(len(frames))]
            else:
                frames = list(fitted(source, shape, Sampling()))
                times_s = list(length.times_s)
            event_s = None if length is None else length.event_s
            runs += self._runs(name, frames, times_s, event_s)
        return runs

    def _runs(
        self,
        name: str,
        frames: Sequence[Frame],
        times_s: Sequence[float],
        event_s: tuple[float, float] | None,
    ) -> Iterator[Clip]:
        """What is around the event, as runs without gaps: before it there may be few pictures."""
        import numpy as np

        from model.footage import Clip

        first_s, last_s = event_s or (0.0, math.inf)
        run: list[Frame] = []
        before_s = -math.inf
        for frame, time_s in zip(frames, times_s, strict=False):
            if not first_s - AROUND_S <= time_s <= last_s + AROUND_S:
                continue
            if run and time_s - before_s > LONGEST_GAP / self.fps:
                yield Clip(name, np.array(run))
                run = []
            run.append(frame)
            before_s = time_s
        if run:
            yield Clip(name, np.array(run))

    @property
    def provenance(self) -> str:
        """As a bundle names it."""
        count = len(self.clips)
        return f"stream {self.stream_id}: {count} {'clip' if count == 1 else 'clips'} called normal"


def find_called(console: Console, stream_id: str, fps: float | None) -> Called:
    """What there is of a stream, and say so.

    Args: fps: frames a second of the training.
    Raises: BadInput: there is no such stream here, or the rate isn't known.
    """
    folder = NormalFolder(Settings().data_dir / FOLDER)
    try:
        place = folder.of_stream(stream_id)
    except ValueError:
        raise BadInput("--stream", stream_id, "is no id of a stream") from None
    if not place.is_dir():
        reason = (
            f"there is no folder {place.absolute()}: front ends make one for each of their "
            "streams, in their NORMWATCH_DATA_DIR"
        )
        raise BadInput("--stream", stream_id, reason)
    if fps is None:
        raise BadInput(
            "--fps", None, "is needed with --stream: the first source doesn't say its rate"
        )
    clips = folder.clips(stream_id)
    if not clips:
        console.print(f"stream {stream_id}: no event of it is called normal, and has a clip")
        return Called(stream_id, (), fps, 0.0)
    taken = [clip for clip in clips if _fits(console, clip, fps)]
    seconds = sum(length.seconds for length in map(length_of, taken) if length is not None)
    called = Called(stream_id, tuple(taken), fps, seconds)
    console.print(f"{called.provenance}, {seconds:.0f} s")
    return called


def _fits(console: Console, clip: KeptClip, fps: float) -> bool:
    length = length_of(clip)
    if length is None:
        console.print(f"left out {clip.path}: it can't be read as video")
        return False
    if length.fps < LEAST_RATE * fps:
        console.print(
            f"left out {clip.path}: it has {length.fps:.1f} pictures a second, and this training "
            f"takes {fps:g} (NORMWATCH_CLIP_FPS says how many clips get)"
        )
        return False
    return True
