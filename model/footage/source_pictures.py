"""Turns a source's decoded pictures upright, fits them to a network, and encodes them as JPEG.

For a grey network the decoded luma is used as it is, without a conversion to colours first.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Protocol

import av
import cv2
import numpy as np
from av.sidedata.sidedata import SideData
from av.video.reformatter import Interpolation, VideoReformatter
from numpy.typing import NDArray

from model.frames import Frame, FrameShape, Picture, fit

JPEG_QUALITY = 85
_PLANAR = frozenset(
    {"gray", "nv12", "nv21"}
    | {f"yuv{full}4{sampling}p" for full in ("", "j") for sampling in ("20", "22", "44")}
)
"""Pixel formats whose first plane is the luma, a byte a pixel."""
_BT601 = frozenset({2, 4, 5, 6})
"""Colour spaces (2: none declared) whose weights `fit` uses to turn BGR to grey: in others,
grey isn't the luma."""


@dataclass(frozen=True, slots=True)
class Orientation:
    """The way to turn a stored picture upright: first transpose, then mirror."""

    transposed: bool = False
    mirrors_columns: bool = False
    mirrors_rows: bool = False

    @staticmethod
    def from_frame(frame: av.VideoFrame) -> Orientation:
        """Read the orientation from a frame's metadata.

        PyAV frees a frame whose metadata was read only in the next garbage collection: don't call
        this for each frame.
        """
        matrix = frame.side_data.get("DISPLAYMATRIX")
        return Orientation.from_matrix(bytes(matrix)) if isinstance(matrix, SideData) else UPRIGHT

    @staticmethod
    def from_matrix(matrix: bytes) -> Orientation:
        """Find the quarter turn nearest to FFmpeg's display matrix (nine 32-bit integers)."""
        a, b, _, c, d = struct.unpack_from("<5i", matrix)
        if abs(b) + abs(c) > abs(a) + abs(d):
            return Orientation(True, c < 0, b < 0)
        return Orientation(False, a < 0, d < 0)

    def apply(self, picture: Picture) -> Picture:
        """Turn the picture upright; returns the array itself if it is upright already."""
        if self.transposed:
            picture = np.asarray(cv2.transpose(picture), np.uint8)
        if self.mirrors_columns or self.mirrors_rows:
            # OpenCV's code: 0 mirrors the rows, 1 the columns, -1 both.
            code = -1 if self.mirrors_columns and self.mirrors_rows else int(self.mirrors_columns)
            picture = np.asarray(cv2.flip(picture, code), np.uint8)
        return picture


UPRIGHT = Orientation()


class SourcePicture(Protocol):
    """A decoded picture, converted to colours or JPEG only on request."""

    @property
    def size(self) -> tuple[int, int]:
        """Height and width in pixels, upright."""

    def bgr(self) -> Picture:
        """Return the whole picture in colour, upright."""

    def jpeg(self, width: int) -> bytes:
        """Encode the picture as JPEG, upright, at most `width` wide."""


class StillPicture:
    """A picture from an image file, upright already."""

    def __init__(self, picture: Picture) -> None:
        self._picture = picture

    @property
    def size(self) -> tuple[int, int]:
        """Height and width in pixels."""
        return self._picture.shape[0], self._picture.shape[1]

    def bgr(self) -> Picture:
        """Return the picture itself."""
        return self._picture

    def jpeg(self, width: int) -> bytes:
        """Encode the picture as JPEG, at most `width` wide."""
        return encode_preview(self._picture, width)


class VideoPicture:
    """A decoded frame of a video, turned upright by its display matrix."""

    def __init__(
        self,
        frame: av.VideoFrame,
        turn: Orientation = UPRIGHT,
        reformatter: VideoReformatter | None = None,
    ) -> None:
        """Args: reformatter: what converts the colours; one for all frames of a source saves half
        of the time. None makes one."""
        self.frame = frame
        self.turn = turn
        self._reformatter = reformatter or VideoReformatter()

    @property
    def size(self) -> tuple[int, int]:
        """Height and width in pixels, upright."""
        height, width = self.frame.height, self.frame.width
        return (width, height) if self.turn.transposed else (height, width)

    def bgr(self) -> Picture:
        """Return the whole picture in colour, upright."""
        colours = self._reformatter.reformat(self.frame, format="bgr24")
        return self.turn.apply(np.asarray(colours.to_ndarray(), np.uint8))

    def luma(self) -> Picture:
        """Return the first plane, upright. It isn't copied: use it while the frame lives."""
        plane = self.frame.planes[0]
        rows = np.frombuffer(memoryview(plane), np.uint8).reshape(-1, plane.line_size)
        return self.turn.apply(rows[: self.frame.height, : self.frame.width])

    def jpeg(self, width: int) -> bytes:
        """Encode as JPEG, upright, at most `width` wide; it is scaled first."""
        if self.size[1] <= width:
            return encode_preview(self.bgr(), width)
        height = max(1, round(self.size[0] * width / self.size[1]))
        columns, rows = (height, width) if self.turn.transposed else (width, height)
        small = self._reformatter.reformat(
            self.frame,
            format="bgr24",
            width=columns,
            height=rows,
            interpolation=Interpolation.AREA,
        )
        return encode_preview(self.turn.apply(np.asarray(small.to_ndarray(), np.uint8)), width)


class Fitter:
    """Fits the pictures of one source to a network, for one thread. The result equals `fit` of the
    picture in BGR, except for the rounding of FFmpeg's conversion."""

    def __init__(self, shape: FrameShape) -> None:
        self._shape = shape
        self._kind: tuple[str, int, int] | None = None
        self._levels: NDArray[np.uint8] | None = None

    def fit(self, picture: SourcePicture) -> Frame:
        """Fit a picture to the network's shape."""
        if isinstance(picture, VideoPicture):
            levels = self._find_levels(picture.frame)
            if levels is not None:
                return np.asarray(cv2.LUT(fit(picture.luma(), self._shape), levels), np.uint8)
        return fit(picture.bgr(), self._shape)

    def _find_levels(self, frame: av.VideoFrame) -> NDArray[np.uint8] | None:
        """Return the grey of each luma value; None if it depends on more than the luma."""
        kind = (frame.format.name, int(frame.colorspace), int(frame.color_range))
        if kind != self._kind:
            name, space, _ = self._kind = kind
            plain = self._shape.channels == 1 and name in _PLANAR and space in _BT601
            self._levels = _make_grey_levels(frame) if plain else None
        return self._levels


def encode_preview(picture: Picture, width: int) -> bytes:
    """Encode the picture as JPEG, at most `width` wide."""
    height = max(1, round(picture.shape[0] * width / picture.shape[1]))
    if picture.shape[1] > width:
        picture = np.asarray(
            cv2.resize(picture, (width, height), interpolation=cv2.INTER_AREA), np.uint8
        )
    done, data = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
    if not done:
        raise ValueError(f"cannot encode a picture of shape {picture.shape}")
    return data.tobytes()


def _make_grey_levels(like: av.VideoFrame) -> NDArray[np.uint8]:
    """Find the grey that FFmpeg and `fit` make of each luma value, by converting a ramp."""
    ramp = av.VideoFrame(256, 16, like.format.name)
    ramp.colorspace, ramp.color_range = like.colorspace, like.color_range
    for index, plane in enumerate(ramp.planes):
        values = np.full((plane.height, plane.line_size), 128, np.uint8)
        if index == 0:
            values[:, :256] = np.arange(256, dtype=np.uint8)
        plane.update(values.tobytes())
    return np.asarray(fit(VideoPicture(ramp).bgr(), FrameShape(16, 256, 1))[0], np.uint8)
