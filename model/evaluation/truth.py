"""The labels of test clips: which frames are abnormal, where, and in which way."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from model.evaluation.accuracy import Labels
from model.evaluation.motion_kinds import MotionKind, MotionSplit, split_by_motion
from model.footage.clips import Clip


@dataclass(frozen=True, slots=True)
class Truth:
    """Labels of test clips, in the clips' order."""

    abnormal: tuple[Labels, ...]
    masks: Callable[[], Iterator[NDArray[np.bool_]]] | None = None
    """Each call iterates from the start: one (T, rows, columns) a clip, True on abnormal pixels."""
    kinds: MotionSplit | None = None
    """None without masks, and if nothing normal moves."""

    def check(self, clips: Sequence[Clip]) -> None:
        """Raises: ValueError: the labels don't fit the clips."""
        if len(clips) != len(self.abnormal):
            raise ValueError(f"{len(clips)} clips but labels of {len(self.abnormal)}")
        for clip, labels in zip(clips, self.abnormal, strict=True):
            if len(clip) != len(labels):
                raise ValueError(
                    f"clip {clip.name} has {len(clip)} frames but {len(labels)} labels"
                )

    @property
    def known_kinds(self) -> tuple[MotionKind, ...]:
        """The kinds by which frames are split."""
        return tuple(MotionKind) if self.kinds else ()

    def select_frames(self, kind: MotionKind) -> list[Labels]:
        """Return each clip's frames that are labelled abnormal and hold an anomaly of this kind."""
        if self.kinds is None:
            return [np.zeros_like(labels) for labels in self.abnormal]
        return [
            labels & (clip.fast if kind is MotionKind.FAST else clip.slow)
            for labels, clip in zip(self.abnormal, self.kinds.clips, strict=True)
        ]


def make_truth(
    clips: Sequence[Clip],
    abnormal: Sequence[Labels],
    masks: Sequence[Callable[[], NDArray[np.bool_]] | None],
) -> Truth:
    """Collect the labels of clips; if all have masks, also where and in which way.

    Args:
        masks: one reader a clip, which returns the clip's masks, (T, rows, columns).
    Raises: ValueError: labels or masks don't fit the clips.
    """
    labels = Truth(tuple(abnormal))
    labels.check(clips)
    readers = [read for read in masks if read is not None]
    if len(readers) != len(clips) or not any(each.any() for each in abnormal):
        return labels

    def each_clip() -> Iterator[NDArray[np.bool_]]:
        return (read() for read in readers)

    return replace(
        labels, masks=each_clip, kinds=split_by_motion((c.frames for c in clips), each_clip())
    )
