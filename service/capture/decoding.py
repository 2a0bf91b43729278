"""From a container's packets to pictures, over damaged ones."""

from __future__ import annotations

import time
from collections.abc import Iterator
from itertools import chain

import av
from av.container import InputContainer
from av.error import FFmpegError, InvalidDataError

from service.capture.opening import OpenError, explain
from service.capture.wire import Fault

BAD_PACKETS = 100
"""Packets in a row that can't be decoded before the source is given up,"""
BAD_S, BAD_LEAST = 3.0, 5
"""or fewer, where they come slowly."""


class PacketDecoder:
    """Decodes the packets of one connection's video."""

    def __init__(self, stream: av.VideoStream, *, keyframes: bool = False) -> None:
        """Args: keyframes: only packets of key frames are given; each stands for itself."""
        self._codec = stream.codec_context
        self._keyframes = keyframes
        self._bad = 0
        self._bad_since = 0.0

    def decode(self, packet: av.Packet[av.VideoStream]) -> list[av.VideoFrame]:
        """The pictures that a packet completes. Raises: OpenError: nothing can be decoded."""
        try:
            frames = [frame for frame in packet.decode() if isinstance(frame, av.VideoFrame)]
        except InvalidDataError:
            self._failed()
            return []
        except FFmpegError as error:
            raise explain(error) from None
        self._bad = 0
        if self._keyframes and packet.size:
            # A decoder that may reorder pictures would keep this one until the next key frame.
            frames += self.rest()
            self._codec.flush_buffers()
        return frames

    def rest(self) -> list[av.VideoFrame]:
        """What the decoder has held back."""
        try:
            return list(self._codec.decode(None))
        except FFmpegError:
            return []

    def _failed(self) -> None:
        now = time.monotonic()
        self._bad_since = self._bad_since if self._bad else now
        self._bad += 1
        slowly = self._bad >= BAD_LEAST and now - self._bad_since >= BAD_S
        if self._bad >= BAD_PACKETS or slowly:
            raise OpenError(Fault.NOT_VIDEO, "the video can't be decoded")


def packets(container: InputContainer) -> Iterator[av.Packet[av.VideoStream]]:
    """Those of the first video stream, an empty one last. Raises: OpenError: it can't be read."""
    try:
        yield from container.demux(container.streams.video[0])
    except FFmpegError as error:
        raise explain(error) from None


def decoded(container: InputContainer) -> Iterator[av.VideoFrame]:
    """All pictures of the first video stream. Raises: OpenError."""
    decoder = PacketDecoder(container.streams.video[0])
    try:
        yield from chain.from_iterable(map(decoder.decode, packets(container)))
    except OpenError:
        # What the decoder holds back still comes out; then the error counts.
        yield from decoder.rest()
        raise
