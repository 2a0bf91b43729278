"""From a decoded video frame to the network's frame, and to the picture that people see.

A grey network takes the luma as it was decoded: no colours are made that would be thrown away.
"""

from __future__ import annotations

import av
import cv2
import numpy as np
from av.video.reformatter import Interpolation
from numpy.typing import NDArray

from model.frames import Frame, FrameShape, Picture, fit

JPEG_QUALITY = 85
_PLANAR = frozenset(
    {"gray", "nv12", "nv21"}
    | {f"yuv{full}4{sampling}p" for full in ("", "j") for sampling in ("20", "22", "44")}
)
"""Pixel formats whose first plane is the luma, a byte a pixel."""
_BT601 = frozenset({2, 4, 5, 6})
"""Colour spaces (2: none declared) by whose weights `fit` turns BGR to grey: of the others, grey
isn't the luma."""


class Fitter:
    """Fits the frames of one source; what it gives is what `fit` gives of the frame in BGR, but
    for the rounding of ffmpeg's conversion. For one thread."""

    def __init__(self, shape: FrameShape) -> None:
        self._shape = shape
        self._kind: tuple[str, int, int] | None = None
        self._levels: NDArray[np.uint8] | None = None

    def fit(self, frame: av.VideoFrame) -> Frame:
        """The frame as the network takes it."""
        levels = self._levels_of(frame)
        if levels is None:
            return fit(bgr(frame), self._shape)
        return np.asarray(cv2.LUT(fit(_luma(frame), self._shape), levels), np.uint8)

    def _levels_of(self, frame: av.VideoFrame) -> NDArray[np.uint8] | None:
        """The grey of each luma; None where the luma doesn't tell it."""
        kind = (frame.format.name, int(frame.colorspace), int(frame.color_range))
        if kind != self._kind:
            name, space, _ = self._kind = kind
            plain = self._shape.channels == 1 and name in _PLANAR and space in _BT601
            self._levels = _grey_levels(frame) if plain else None
        return self._levels


def bgr(frame: av.VideoFrame) -> Picture:
    """The whole frame in colour."""
    return np.asarray(frame.to_ndarray(format="bgr24"), np.uint8)


def jpeg_of(frame: av.VideoFrame, width: int) -> bytes:
    """The frame as JPEG, at most so wide: made small before it gets colours, which costs a part."""
    if frame.width > width:
        height = max(1, round(frame.height * width / frame.width))
        small = frame.to_ndarray(
            format="bgr24", width=width, height=height, interpolation=Interpolation.AREA
        )
        return preview_of(np.asarray(small, np.uint8), width)
    return preview_of(bgr(frame), width)


def preview_of(picture: Picture, width: int) -> bytes:
    """The picture as JPEG, at most so wide."""
    height = max(1, round(picture.shape[0] * width / picture.shape[1]))
    if picture.shape[1] > width:
        picture = np.asarray(
            cv2.resize(picture, (width, height), interpolation=cv2.INTER_AREA), np.uint8
        )
    done, data = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
    if not done:
        raise ValueError(f"cannot encode a picture of shape {picture.shape}")
    return data.tobytes()


def _luma(frame: av.VideoFrame) -> Picture:
    """The frame's first plane, not copied: to be used before the frame goes."""
    plane = frame.planes[0]
    rows = np.frombuffer(memoryview(plane), np.uint8).reshape(-1, plane.line_size)
    return np.asarray(rows[: frame.height, : frame.width], np.uint8)


def _grey_levels(like: av.VideoFrame) -> NDArray[np.uint8]:
    """What ffmpeg and `fit` make of each luma without colour: a ramp sent the long way."""
    ramp = av.VideoFrame(256, 16, like.format.name)
    ramp.colorspace, ramp.color_range = like.colorspace, like.color_range
    for index, plane in enumerate(ramp.planes):
        values = np.full((plane.height, plane.line_size), 128, np.uint8)
        if index == 0:
            values[:, :256] = np.arange(256, dtype=np.uint8)
        plane.update(values.tobytes())
    return np.asarray(fit(bgr(ramp), FrameShape(16, 256, 1))[0], np.uint8)
