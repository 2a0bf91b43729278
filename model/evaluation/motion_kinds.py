"""Splits anomalies by motion: faster than normal things, or slow and standing.

A frame difference finds the first kind too; the second only has the wrong shape. The split is only
for reports; no score or threshold depends on it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

import cv2
import numpy as np
from numpy.typing import NDArray

from model.evaluation.tracks import LEAST_PIXELS, Track, find_component_boxes, follow

NORMAL_QUANTILE = 0.95
"""An object is fast if it is faster than this share of what moves outside the masks. Our choice: in
Ped2 it separates cyclists, skaters and carts that overtake people from slower ones."""

FLOW_SIZE = 256
"""Flow is computed at this height and width: the split must not depend on the network's size."""

MOVING_PX = 0.5
"""A pixel stands if its flow is below this many pixels a frame, where flow is mostly noise."""

EVERY_FRAMES = 3
"""Flow is computed for one frame in this many."""

_THIN = 7
"""One pixel in this many is kept: neighbours move alike, and long test sets have many."""

_GROW_PX = 9
"""Masks grow by this much before normal flow is taken outside: the object smears its flow."""


class MotionKind(StrEnum):
    """The speed of an abnormal object, compared with normal things there."""

    FAST = "fast"
    SLOW = "slow"
    """No faster than normal things, or standing."""


@dataclass(frozen=True, slots=True)
class ClipMotion:
    """The frames of a clip that hold fast or slow abnormal objects; no frame is both."""

    fast: NDArray[np.bool_]
    """At least one abnormal object in the frame is fast."""
    slow: NDArray[np.bool_]
    """There are abnormal objects in it, none of them fast."""

    def of_span(self, start: int, stop: int) -> MotionKind | None:
        """Return the kind of most abnormal frames from `start` up to `stop`; None without one."""
        fast, slow = int(self.fast[start:stop].sum()), int(self.slow[start:stop].sum())
        if not fast + slow:
            return None
        return MotionKind.FAST if fast >= slow else MotionKind.SLOW


@dataclass(frozen=True, slots=True)
class MotionSplit:
    """The split of a test set, and its limit."""

    limit_px: float
    """Speed above which an object is fast, in pixels a frame at FLOW_SIZE."""
    clips: tuple[ClipMotion, ...]


def split_by_motion(
    frames: Iterable[NDArray[np.uint8]], masks: Iterable[NDArray[np.bool_]]
) -> MotionSplit | None:
    """Split abnormal frames by the speed of their objects, from optical flow.

    An object's speed is the median, over the frames of its track, of the median flow inside its
    mask. It is compared with the flow of everything that moves outside the masks. If nothing
    moves there, there is no normal speed, and the result is None.

    Args:
        frames: one (T, height, width) or (T, height, width, 3) a clip.
        masks: one (T, rows, columns) a clip, True on abnormal pixels, of any size; read one by
            one, so that a generator holds one clip in memory.
    Raises: ValueError: a clip's frames and masks differ in number.
    """
    normal: list[NDArray[np.float32]] = []
    found: list[tuple[int, list[tuple[Track, float]]]] = []
    for clip_frames, clip_masks in zip(frames, masks, strict=True):
        if len(clip_frames) != len(clip_masks):
            raise ValueError(f"a clip has {len(clip_frames)} frames but {len(clip_masks)} masks")
        followed = follow([find_component_boxes(mask, LEAST_PIXELS) for mask in clip_masks])
        speeds: list[list[float]] = [[] for _ in followed]
        for index in range(1, len(clip_frames), EVERY_FRAMES):
            flow = _resize_map(
                _compute_flow(clip_frames[index - 1], clip_frames[index]), clip_masks[index]
            )
            normal.append(_select_moving_outside(flow, clip_masks[index]))
            for track, speeds_px in zip(followed, speeds, strict=True):
                speeds_px.extend(_find_speeds(flow, clip_masks[index], track, index))
        tracks = [
            (t, float(np.median(v)) if v else 0.0) for t, v in zip(followed, speeds, strict=True)
        ]
        found.append((len(clip_masks), tracks))
    moving = np.concatenate(normal) if normal else np.empty(0)
    if not moving.size:
        return None
    limit_px = float(np.quantile(moving, NORMAL_QUANTILE))
    return MotionSplit(limit_px, tuple(_split_clip(*clip, limit_px) for clip in found))


def _compute_flow(before: NDArray[np.uint8], after: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Compute the length of the flow at each pixel, in pixels a frame at FLOW_SIZE."""
    pair = [_to_flow_size(np.array(frame)) for frame in (before, after)]
    method = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    flow = method.calc(pair[0], pair[1], np.zeros((*pair[0].shape, 2), np.float32))
    return np.asarray(np.hypot(flow[..., 0], flow[..., 1]), np.float32)


def _to_flow_size(frame: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Convert a frame to grey, FLOW_SIZE high and wide."""
    if frame.ndim == 3:
        frame = np.asarray(cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY), np.uint8)
    if frame.shape == (FLOW_SIZE, FLOW_SIZE):
        return frame
    shrinks = min(frame.shape) > FLOW_SIZE
    way = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(frame, (FLOW_SIZE, FLOW_SIZE), interpolation=way), np.uint8)


def _resize_map(flow: NDArray[np.float32], mask: NDArray[np.bool_]) -> NDArray[np.float32]:
    # The map takes the masks' size; its values stay in pixels at FLOW_SIZE.
    size = (mask.shape[1], mask.shape[0])
    return np.asarray(cv2.resize(flow, size, interpolation=cv2.INTER_LINEAR), np.float32)


def _select_moving_outside(
    flow: NDArray[np.float32], mask: NDArray[np.bool_]
) -> NDArray[np.float32]:
    grown = cv2.dilate(mask.astype(np.uint8), np.ones((_GROW_PX, _GROW_PX), np.uint8))
    outside = flow[(grown == 0) & (flow >= MOVING_PX)]
    return np.asarray(outside[::_THIN], np.float32)


def _find_speeds(
    flow: NDArray[np.float32], mask: NDArray[np.bool_], track: Track, index: int
) -> list[float]:
    """Return the object's speed in this frame; empty if it isn't there, or only begins there."""
    if not track.first_frame < index < track.first_frame + len(track.boxes):
        return []
    left, top, right, bottom = track.boxes[index - track.first_frame].astype(int)
    part = flow[top:bottom, left:right][mask[top:bottom, left:right]]
    return [float(np.median(part))]


def _split_clip(length: int, tracks: list[tuple[Track, float]], limit_px: float) -> ClipMotion:
    fast, present = np.zeros(length, np.bool_), np.zeros(length, np.bool_)
    for track, speed_px in tracks:
        present[track.frames] = True
        if speed_px > limit_px:
            fast[track.frames] = True
    return ClipMotion(fast, present & ~fast)
