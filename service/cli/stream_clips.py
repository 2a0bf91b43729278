"""Finds and reads clips of a stream whose events were marked normal, for `normwatch train`."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rich.console import Console

from service.errors import BadInput
from service.media.normal_clips import FOLDER, KeptClip, NormalClipFolder, measure_kept_clip
from service.settings import Settings

if TYPE_CHECKING:
    from model.footage.clips import Clip
    from model.frames import Frame, FrameShape

LEAST_RATE = 0.8
"""Least share of the training's frame rate; below it motion is different."""
MOST_RATE = 1.2
"""Most of it; of clips with more pictures a second, some are left out."""
LONGEST_GAP = 1.6
"""Longest gap in frame periods; a longer one ends a run of frames."""
AROUND_S = 1.0
"""Time before and after an event that is trained on, too. The rest of a clip shows the same as the
other footage."""


@dataclass(frozen=True, slots=True)
class NormalClips:
    """The clips that are trained on."""

    stream_id: str
    clips: tuple[KeptClip, ...]
    fps: float
    """Frames a second of the other footage."""
    seconds: float

    def read(self, shape: FrameShape) -> list[Clip]:
        """Read the frames of the clips' events; all frames where an event's time is unknown.

        Raises: FootageError: one can't be read.
        """
        from model.footage.footage_reader import FootageReader
        from model.footage.footage_search import Source
        from model.footage.source_pictures import Fitter

        runs: list[Clip] = []
        fitter = Fitter(shape)
        for clip in self.clips:
            name, length = f"{self.stream_id}/{clip.path.name}", measure_kept_clip(clip)
            sampled = length is None or length.fps > MOST_RATE * self.fps
            reading = FootageReader(Source(name, clip.path), fps=self.fps if sampled else None)
            timed = [(each.time_s, fitter.fit(each.picture)) for each in reading]
            runs += self._split_runs(name, timed, None if length is None else length.event_s)
        return runs

    def _split_runs(
        self,
        name: str,
        timed: Sequence[tuple[float, Frame]],
        event_s: tuple[float, float] | None,
    ) -> Iterator[Clip]:
        """Yield the frames around the event as runs without gaps."""
        import numpy as np

        from model.footage.clips import Clip

        first_s, last_s = event_s or (0.0, math.inf)
        run: list[Frame] = []
        before_s = -math.inf
        for time_s, frame in timed:
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
        """Text for a bundle's list of sources."""
        count = len(self.clips)
        return f"stream {self.stream_id}: {count} {'clip' if count == 1 else 'clips'} called normal"


def find_normal_clips(console: Console, stream_id: str, fps: float | None) -> NormalClips:
    """Find a stream's clips, and print how many there are.

    Args: fps: frames a second of the other footage.
    Raises: BadInput: there is no such stream here, or the rate isn't known.
    """
    folder = NormalClipFolder(Settings().data_dir / FOLDER)
    try:
        place = folder.stream_folder(stream_id)
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
        return NormalClips(stream_id, (), fps, 0.0)
    taken = [clip for clip in clips if _is_usable(console, clip, fps)]
    seconds = sum(length.seconds for length in map(measure_kept_clip, taken) if length is not None)
    called = NormalClips(stream_id, tuple(taken), fps, seconds)
    console.print(f"{called.provenance}, {seconds:.0f} s")
    return called


def _is_usable(console: Console, clip: KeptClip, fps: float) -> bool:
    length = measure_kept_clip(clip)
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
