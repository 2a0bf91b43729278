"""Draws frames with a score curve below, and what a model has learned, as BGR pictures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from model.evaluation.accuracy import Labels, Scores
from model.footage.clips import Clip
from model.frames import Frame
from model.training.footage_movement import find_movement
from model.training.footage_samples import take_samples

Drawing = NDArray[np.uint8]
"""(H, W, 3), BGR."""

MOST_WIDTH = 640
CURVE_HEIGHT = 110
MARGIN = 6
RED, ORANGE, GREY, LIGHT, DARK = (
    (40, 40, 220),
    (0, 140, 255),
    (150, 150, 150),
    (235, 225, 250),
    (60, 60, 60),
)
LEARNED_LOOKS = 400
"""What was learned is the mean of so many pictures, evenly spread."""


@dataclass(frozen=True, slots=True)
class Curve:
    """A clip's scores, to be drawn below one of its frames."""

    scores: Scores
    threshold: float
    frame: int
    abnormal: Labels | None = None


def outline(frame: Frame, mask: NDArray[np.bool_] | None = None) -> Drawing:
    """Enlarge a frame, and outline what is abnormal in it."""
    picture = _enlarge(_to_bgr(frame))
    if mask is not None and mask.any():
        size = picture.shape[1], picture.shape[0]
        large = cv2.resize(mask.astype(np.uint8), size, interpolation=cv2.INTER_NEAREST)
        contours, _ = cv2.findContours(large, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
        cv2.drawContours(picture, contours, -1, RED, 2, cv2.LINE_AA)
    return picture


def _to_bgr(frame: Frame) -> Drawing:
    code = cv2.COLOR_GRAY2BGR if frame.ndim == 2 else cv2.COLOR_RGB2BGR
    return np.asarray(cv2.cvtColor(np.ascontiguousarray(frame), code), np.uint8)


def _enlarge(picture: NDArray[np.uint8]) -> Drawing:
    """Scale to twice the size, or to the largest width."""
    height, width = picture.shape[:2]
    scale = min(2.0, MOST_WIDTH / width)
    size = round(scale * width), round(scale * height)
    return np.asarray(cv2.resize(picture, size, interpolation=cv2.INTER_LINEAR), np.uint8)


def draw_with_curve(picture: Drawing, curve: Curve) -> Drawing:
    """Draw the scores over time below a picture: threshold, abnormal part, this frame."""
    width = picture.shape[1]
    canvas = np.full((CURVE_HEIGHT, width, 3), 255, np.uint8)
    count = len(curve.scores)
    known = curve.scores[~np.isnan(curve.scores)]
    top = 1.1 * max(curve.threshold, float(known.max()) if known.size else 0.0, 1e-6)

    def place(index: float, value: float) -> tuple[int, int]:
        x = MARGIN + (width - 2 * MARGIN) * index / max(1, count - 1)
        y = CURVE_HEIGHT - MARGIN - (CURVE_HEIGHT - 2 * MARGIN) * max(0.0, value) / top
        return round(x), round(y)

    if curve.abnormal is not None:
        for index in np.flatnonzero(curve.abnormal):
            left, right = place(index - 0.5, 0.0)[0], place(index + 0.5, 0.0)[0]
            cv2.rectangle(canvas, (left, 0), (right, CURVE_HEIGHT), LIGHT, -1)
    level = place(0, curve.threshold)[1]
    for x in range(0, width, 12):
        cv2.line(canvas, (x, level), (x + 6, level), ORANGE, 1)
    x = place(curve.frame, 0.0)[0]
    cv2.line(canvas, (x, 0), (x, CURVE_HEIGHT), GREY, 1)
    points = [place(i, float(s)) for i, s in enumerate(curve.scores) if not np.isnan(s)]
    cv2.polylines(
        canvas, [np.array(points, np.int32).reshape(-1, 1, 2)], False, DARK, 2, cv2.LINE_AA
    )
    return np.concatenate([picture, canvas])


def draw_footage(clips: Sequence[Clip], fps: float) -> Drawing:
    """Draw the mean picture of footage, red where something moves often."""
    total = sum(map(len, clips))
    step = max(1, total // LEARNED_LOOKS)
    pictures = [frame for clip in clips for frame in clip.frames[step // 2 :: step]]
    if not pictures:
        pictures = [clips[0].frames[0]]
    mean = np.asarray(np.mean(pictures, axis=0, dtype=np.float32), np.uint8)
    picture = _enlarge(_to_bgr(mean))
    samples = take_samples(clips, fps)
    places = find_movement(samples, np.ones(len(samples), np.bool_)).places
    size = picture.shape[1], picture.shape[0]
    share = cv2.resize(places.astype(np.float32), size, interpolation=cv2.INTER_LINEAR)
    cover = (0.6 * np.clip(share / max(float(share.max()), 1e-6), 0.0, 1.0))[..., None]
    red = np.array(RED, np.float32)
    return np.asarray((picture + cover * (red - picture)).round(), np.uint8)
