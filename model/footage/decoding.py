"""Decodes a video's packets to pictures, and skips damaged ones."""

from __future__ import annotations

import time

import av
from av.error import ArgumentError, FFmpegError, InvalidDataError
from av.video.reformatter import VideoReformatter

from model.footage.footage_error import FootageError
from model.footage.source_pictures import UPRIGHT, Orientation, VideoPicture
from model.footage.video_source import Video, to_footage_error

BAD_PACKETS = 100
"""A live source is given up after this many packets in a row that can't be decoded,"""
BAD_S, BAD_LEAST = 3.0, 5
"""or after BAD_LEAST of them in BAD_S."""


class PacketDecoder:
    """Decodes the packets of one video, and counts those that it can't decode. For one thread."""

    def __init__(self, video: Video, *, keyframes: bool = False) -> None:
        """Args: keyframes: the caller passes only key frames, which are decoded one by one."""
        self._codec = video.codec
        self._gives_up = video.is_live
        self._keyframes = keyframes
        self._bad = 0
        self._bad_since = 0.0
        self._decoded = False
        self._rotation: int | None = None
        """PyAV's rotation in degrees when `_orientation` was read."""
        self._orientation = UPRIGHT
        self._reformatter = VideoReformatter()
        self.lost = 0
        """The number of packets that couldn't be decoded. A live source's packets before its first
        picture don't count: a connection may begin in the middle of a group of pictures."""

    def decode(self, packet: av.Packet[av.VideoStream]) -> list[VideoPicture]:
        """Return the pictures that a packet completes.

        Raises: FootageError: a live source has sent nothing that can be decoded for a while, or
            the decoder fails.
        """
        try:
            pictures = [
                self._to_picture(frame)
                for frame in packet.decode()
                if isinstance(frame, av.VideoFrame)
            ]
        except (ArgumentError, InvalidDataError):  # the former: larger than `max_pixels`
            self._count_bad()
            return []
        except FFmpegError as error:
            raise to_footage_error(error) from None
        self._bad = 0
        self._decoded = self._decoded or bool(pictures)
        if self._keyframes and packet.size:
            # A decoder that may reorder pictures would keep this one until the next key frame.
            pictures += self.flush()
            self._codec.flush_buffers()
        return pictures

    def flush(self) -> list[VideoPicture]:
        """Return the pictures that the decoder has held back."""
        try:
            return [self._to_picture(frame) for frame in self._codec.decode(None)]
        except FFmpegError:
            return []

    def _to_picture(self, frame: av.VideoFrame) -> VideoPicture:
        if frame.rotation != self._rotation:
            self._rotation, self._orientation = frame.rotation, Orientation.from_frame(frame)
        return VideoPicture(frame, self._orientation, self._reformatter)

    def _count_bad(self) -> None:
        if self._decoded or not self._gives_up:
            self.lost += 1
        now = time.monotonic()
        self._bad_since = self._bad_since if self._bad else now
        self._bad += 1
        slowly = self._bad >= BAD_LEAST and now - self._bad_since >= BAD_S
        if self._gives_up and (self._bad >= BAD_PACKETS or slowly):
            raise FootageError("the video can't be decoded")
