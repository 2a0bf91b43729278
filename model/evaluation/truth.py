"""What is known of test clips: which frames are abnormal, where, and in which way."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from model.evaluation.accuracy import Labels
from model.evaluation.kinds import Kind, Kinds, kinds
from model.footage import Clip


@dataclass(frozen=True, slots=True)
class Truth:
    """Labels of test clips, in the clips' order."""

    abnormal: tuple[Labels, ...]
    masks: Callable[[], Iterator[NDArray[np.bool_]]] | None = None
    """Begins again at each call: one (T, rows, columns) a clip, True on abnormal pixels."""
    kinds: Kinds | None = None
    """None without masks, and where nothing normal moves to compare with."""

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
    def kinds_known(self) -> tuple[Kind, ...]:
        """The kinds that frames can be told apart by."""
        return tuple(Kind) if self.kinds else ()

    def frames_of(self, kind: Kind) -> list[Labels]:
        """Of each clip, which frames are labelled abnormal and hold an anomaly of this kind."""
        if self.kinds is None:
            return [np.zeros_like(labels) for labels in self.abnormal]
        return [
            labels & (clip.fast if kind is Kind.FAST else clip.slow)
            for labels, clip in zip(self.abnormal, self.kinds.clips, strict=True)
        ]


def truth(
    clips: Sequence[Clip],
    abnormal: Sequence[Labels],
    masks: Sequence[Callable[[], NDArray[np.bool_]] | None],
) -> Truth:
    """What labels say of clips: with masks of all of them, also where and in which way.

    Args:
        masks: one a clip; each reads the clip's masks, (T, rows, columns).
    Raises: ValueError: labels or masks don't fit the clips.
    """
    labels = Truth(tuple(abnormal))
    labels.check(clips)
    readers = [read for read in masks if read is not None]
    if len(readers) != len(clips) or not any(each.any() for each in abnormal):
        return labels

    def each_clip() -> Iterator[NDArray[np.bool_]]:
        return (read() for read in readers)

    return replace(labels, masks=each_clip, kinds=kinds((c.frames for c in clips), each_clip()))
