"""Judges footage before it is learned: what to leave out, and whether there is enough of it.

Footage is sampled, not played: a picture every `SAMPLE_S`, and `MOST_SAMPLES` at most, reduced
to 64x64. So a day of footage takes seconds. No torch here.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from model.footage.clips import Clip
from model.training.footage_advice import Coverage, give_advice, is_enough
from model.training.footage_movement import find_movement
from model.training.footage_outliers import find_outliers
from model.training.footage_samples import FootageSamples, take_samples
from model.training.footage_scene import find_dead, find_light_changes, find_other_views

LIGHT_MARGIN_S = 1.0
"""After a change of the light the camera's exposure takes so long to settle."""
LEAST_RUN_S = 1.0
"""What is left between two stretches is left out too if it is shorter."""


class LeftOutReason(StrEnum):
    """Why a stretch of footage isn't learned."""

    DEAD = "dead"
    """The picture is uniform, such as black, or frozen."""
    COVERED = "covered"
    """The picture isn't the scene's: the camera is covered or turned."""
    LIGHT = "light"
    """The light changes."""
    UNUSUAL = "unusual"
    """What moves is much larger and faster than the rest."""


@dataclass(frozen=True, slots=True)
class LeftOutStretch:
    """A stretch of footage that isn't learned; seconds count from the beginning of the footage."""

    start_s: float
    end_s: float
    reason: LeftOutReason


@dataclass(frozen=True, slots=True)
class FootageReview:
    """What footage holds; the fields are those of the service's `FootageSummary`."""

    seconds: float
    used_s: float
    """Seconds without what is left out."""
    moving_share: float
    """Share of the used time in which something moves."""
    covered: tuple[tuple[float, ...], ...]
    """Rows of cells of the picture, from the top left: how often something moves there, 0 to 1."""
    left_out: tuple[LeftOutStretch, ...]
    is_enough: bool
    advice: str
    """One sentence for the owner."""
    kept: tuple[Clip, ...]
    """The clips to learn: frames that follow each other, views of the given ones."""
    kept_frames: tuple[tuple[int, int], ...]
    """The same for `cut_clips`: first frame, and one after the last, counted over all clips."""


def review_footage(clips: Sequence[Clip], fps: float) -> FootageReview:
    """Judge the footage of one camera.

    Args:
        clips: in the order of their capture; they may be mapped into memory, and of any length.
        fps: their frames a second.
    Raises: ValueError: fps isn't above 0.
    """
    if not fps > 0.0:
        raise ValueError(f"fps must be above 0, got {fps!r}")
    samples = take_samples(clips, fps)
    flags = _flag_samples(samples, fps)
    is_kept = np.array([flag is None for flag in flags], np.bool_)
    for index in np.flatnonzero(find_outliers(clips, samples, is_kept)):
        flags[index] = LeftOutReason.UNUSUAL
        is_kept[index] = False
    movement = find_movement(samples, is_kept)
    reasons = _spread_over_frames(samples, flags)
    kept, left_out = _find_stretches(clips, reasons, fps)
    coverage = Coverage(
        seconds=sum(map(len, clips)) / fps,
        used_s=sum(last - first for first, last in kept) / fps,
        moving_share=movement.share,
        cells=movement.cells,
    )
    return FootageReview(
        seconds=coverage.seconds,
        used_s=coverage.used_s,
        moving_share=coverage.moving_share,
        covered=tuple(tuple(float(each) for each in row) for row in coverage.cells),
        left_out=tuple(left_out),
        is_enough=is_enough(coverage),
        advice=give_advice(coverage),
        kept=tuple(cut_clips(clips, kept)),
        kept_frames=tuple(kept),
    )


def _flag_samples(samples: FootageSamples, fps: float) -> list[LeftOutReason | None]:
    """Return why each sample is left out; None: it isn't."""
    dead = find_dead(samples)
    covered = find_other_views(samples, ~dead)
    light = find_light_changes(samples, ~dead & ~covered)
    after = max(1, round(LIGHT_MARGIN_S * fps / samples.stride))
    for index in np.flatnonzero(light):
        last = index + 1
        while last < len(light) and last <= index + after and samples.follows[last]:
            light[last] = True
            last += 1
    return [
        LeftOutReason.DEAD
        if is_dead
        else LeftOutReason.COVERED
        if is_covered
        else LeftOutReason.LIGHT
        if is_light
        else None
        for is_dead, is_covered, is_light in zip(dead, covered, light, strict=True)
    ]


_REASONS: tuple[LeftOutReason, ...] = tuple(LeftOutReason)
_KEPT = 0


def _spread_over_frames(
    samples: FootageSamples, flags: Sequence[LeftOutReason | None]
) -> NDArray[np.uint8]:
    """Return each frame's reason, as 1 + its index, or 0: a sample stands for the frames since the
    sample before it, and the next one's frames are left out with it: it may have begun there."""
    codes = np.array([0 if flag is None else 1 + _REASONS.index(flag) for flag in flags], np.uint8)
    reasons = np.zeros(samples.frames, np.uint8)
    for index, code in enumerate(codes):
        if not code:
            continue
        first = (
            samples.positions[index - 1] + 1 if samples.follows[index] else samples.starts[index]
        )
        is_last = index + 1 == len(codes) or not samples.follows[index + 1]
        last = samples.ends[index] if is_last else samples.positions[index + 1]
        reasons[first:last] = np.where(reasons[first:last] == _KEPT, code, reasons[first:last])
    return reasons


def cut_clips(clips: Sequence[Clip], kept: Sequence[tuple[int, int]]) -> list[Clip]:
    """Return the runs of frames that a review of these clips kept, as views of them."""
    found: list[Clip] = []
    start = 0
    for clip in clips:
        end = start + len(clip)
        for first, last in kept:
            if (first, last) == (start, end):
                found.append(clip)
            elif start <= first < end:
                found.append(Clip(clip.name, clip.frames[first - start : last - start]))
        start = end
    return found


def _find_stretches(
    clips: Sequence[Clip], reasons: NDArray[np.uint8], fps: float
) -> tuple[list[tuple[int, int]], list[LeftOutStretch]]:
    """Return the runs of frames to keep, and the stretches to leave out."""
    kept: list[tuple[int, int]] = []
    left_out: list[LeftOutStretch] = []
    start = 0
    for clip in clips:
        own = reasons[start : start + len(clip)]
        for first, last, code in _list_runs(own):
            is_whole = last - first == len(clip)
            if code == _KEPT and (is_whole or last - first >= LEAST_RUN_S * fps):
                kept.append((start + first, start + last))
            elif code != _KEPT:
                begin_s, end_s = (start + first) / fps, (start + last) / fps
                reason = _REASONS[code - 1]
                before = left_out[-1] if left_out else None
                is_near = before is not None and begin_s - before.end_s < LEAST_RUN_S
                if before is not None and is_near and before.reason is reason:
                    left_out[-1] = LeftOutStretch(before.start_s, end_s, reason)
                else:
                    left_out.append(LeftOutStretch(begin_s, end_s, reason))
        start += len(clip)
    return kept, left_out


def _list_runs(codes: NDArray[np.uint8]) -> list[tuple[int, int, int]]:
    """Return the runs of equal codes as (first, one after the last, code)."""
    if not len(codes):
        return []
    edges = [0, *(np.flatnonzero(np.diff(codes)) + 1).tolist(), len(codes)]
    return [(a, b, int(codes[a])) for a, b in itertools.pairwise(edges)]
