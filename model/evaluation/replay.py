"""Replays a test clip up to one frame, so that the frame can be drawn."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from model.detect.detector import Detector
from model.detect.observation import CameraOptions
from model.evaluation.accuracy import Labels, Scores
from model.evaluation.protocol import ScoredClip
from model.footage.clips import Clip
from model.frames import Frame


@dataclass(frozen=True, slots=True)
class Moment:
    """One frame of a test clip, its prediction and heat map, and the clip's causal scores."""

    index: int
    frame: Frame
    predicted: Frame
    heat: NDArray[np.float32]
    """(rows, columns), >= 0; 1 is the highest value in normal footage."""
    scores: Scores
    abnormal: Labels


def find_highest_frame(scores: Scores, abnormal: Labels) -> int:
    """Find the abnormal frame with the highest score; the highest of all if none is abnormal.

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
    """Run the clip again up to one frame, from the camera's state before the clip.

    Args:
        start: the clip's entry in `CameraPass.starts`.
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
    predicted = detector.predict_picture(camera, frame, chosen[0])
    heat = detector.observe([camera], [frame], chosen)[0].heat
    if heat is None:
        raise ValueError(f"frame {index} of clip {clip.name} has no heat map")
    return Moment(index, frame, predicted, heat, scored.causal, scored.abnormal)
