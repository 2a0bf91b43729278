"""A moment of a test clip shown again, to draw it."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from model.detector import Detector
from model.evaluation.accuracy import Labels, Scores
from model.evaluation.protocol import ScoredClip
from model.footage import Clip
from model.frames import Frame
from model.observation import CameraOptions


@dataclass(frozen=True, slots=True)
class Moment:
    """One frame of a test clip, what the network made of it, and the clip's causal scores."""

    index: int
    frame: Frame
    predicted: Frame
    heat: NDArray[np.float32]
    """(rows, columns), >= 0; 1 is the most that normal footage gave."""
    scores: Scores
    abnormal: Labels


def telling_frame(scores: Scores, abnormal: Labels) -> int:
    """The abnormal frame that scores highest; of all frames, where none is labelled abnormal.

    Raises: ValueError: no frame has a score.
    """
    known = ~np.isnan(scores)
    if not known.any():
        raise ValueError("no frame of the clip has a score: it is too short")
    eligible = known & abnormal if (known & abnormal).any() else known
    return int(np.argmax(np.where(eligible, scores, -np.inf)))


def replay(
    detector: Detector,
    start: bytes,
    clip: Clip,
    scored: ScoredClip,
    index: int,
    *,
    options: CameraOptions | None = None,
) -> Moment:
    """Show the clip again, from the camera state before it, up to one frame.

    Args:
        start: `Pass.starts` of the clip.
    Raises: ValueError: there is no such frame, or it comes before the first score.
    """
    context = detector.bundle.config.context
    if not context <= index < len(clip):
        raise ValueError(
            f"clip {clip.name} has frames {context} to {len(clip) - 1} with a score, not {index}"
        )
    chosen = [replace(options or CameraOptions(), watch_scene=False)]
    camera = detector.restore(start)
    for frame in clip.frames[:index]:
        detector.observe([camera], [frame], chosen)
    frame = np.array(clip.frames[index])
    predicted = detector.picture(camera, frame, chosen[0])
    heat = detector.observe([camera], [frame], chosen)[0].heat
    if heat is None:
        raise ValueError(f"frame {index} of clip {clip.name} has no heat map")
    return Moment(index, frame, predicted, heat, scored.causal, scored.abnormal)
