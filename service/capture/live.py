"""Plays one connection to a live source: which packets are decoded, which pictures are taken, when
they were taken, and whether the camera is frozen.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import av
from av.container import InputContainer

from model.frames import Frame
from service.capture.clock import Clock, SourceClock, Stamp
from service.capture.decoding import PacketDecoder, packets
from service.capture.freeze import Freeze
from service.capture.gaps import Gaps
from service.capture.opening import OpenError
from service.capture.pictures import Fitter
from service.capture.sampling import Sampler
from service.capture.wire import Alive, CaptureJob, Frozen, usual_gap_s

TELL_EVERY_S = 1.0
UNTIMED = frozenset({"mpjpeg", "mjpeg", "mjpeg_2000", "h264", "hevc", "m4v", "mpegvideo"})
"""Formats without times of their own: ffmpeg counts pictures at a rate that it makes up."""
SEGMENTS = "hls"
"""Pictures of a live playlist come some seconds at a time; they are shown at their own pace."""
LONGEST_WAIT_S = 30.0
LATE_S = 1.0


@dataclass(frozen=True, slots=True)
class LiveFrame:
    """A picture to be handed over."""

    captured_at: float
    fitted: Frame
    whole: av.VideoFrame
    cut: bool


class Live:
    """One connection. For one thread."""

    def __init__(
        self,
        job: CaptureJob,
        container: InputContainer,
        clock: Clock,
        *,
        captured_at: float,
    ) -> None:
        """Args: captured_at: of the picture before, or 0."""
        self._job = job
        self._container = container
        self._clock = clock
        stream = container.streams.video[0]
        self._keyframes = job.decode == "keyframes"
        self._intra_only = bool(stream.codec_context.codec.intra_only)
        self._decoder = PacketDecoder(stream, keyframes=self._keyframes)
        self._in_segments = container.format.name == SEGMENTS
        self._ahead_s: float | None = None
        """Our time less the source's, of a source whose pictures wait for their time."""
        believed = not UNTIMED & set(container.format.name.split(","))
        self._believed = believed
        self._source_clock = SourceClock(believed=believed, captured_at=captured_at)
        self._sampler = Sampler(job.fps)
        self._fitter = Fitter(job.shape)
        self._freeze = Freeze(job.freeze_after_s)
        self._gaps = Gaps(usual_gap_s(job))
        self._told_at = clock.now()
        self._size = (0, 0)
        self._cut = True
        self._withheld = 0
        self._why = ""

    def play(self) -> Iterator[LiveFrame | Frozen | Alive]:
        """What comes, until the source ends. Raises: OpenError: it can't be read any more."""
        try:
            for packet in packets(self._container):
                yield from self._played(packet)
        except OpenError:
            # What the decoder holds back still comes out; then the error counts.
            for frame in self._decoder.rest():
                if (stamp := self._stamped(frame.time)) is not None:
                    yield from self._shown(stamp, frame.time, frame)
            raise

    def _played(self, packet: av.Packet[av.VideoStream]) -> Iterator[LiveFrame | Frozen | Alive]:
        if self._is_wanted(packet):
            stamp = None
            if self._intra_only and packet.size:
                # Each packet is a picture: what isn't taken needn't be decoded.
                stamp = self._stamped(_time_of(packet))
                if stamp is None:
                    yield from self._told()
                    return
            for frame in self._decoder.decode(packet):
                yield from self._waited(frame.time)
                own = stamp or self._stamped(frame.time)
                if own is not None:
                    yield from self._shown(own, frame.time, frame)
        yield from self._told()

    def _is_wanted(self, packet: av.Packet[av.VideoStream]) -> bool:
        return not self._keyframes or packet.is_keyframe or not packet.size

    def _waited(self, source_s: float | None) -> Iterator[Frozen | Alive]:
        """Let the picture's time come, where a source sends ahead."""
        if not self._in_segments or source_s is None:
            return
        now = self._clock.now()
        wait_s = 0.0 if self._ahead_s is None else self._ahead_s + source_s - now
        if self._ahead_s is None or not -LATE_S <= wait_s <= LONGEST_WAIT_S:
            self._ahead_s = now - source_s
            return
        until = now + wait_s
        while (rest_s := until - self._clock.now()) > 0:
            self._clock.wait(min(rest_s, TELL_EVERY_S))
            yield from self._told()

    def _stamped(self, source_s: float | None) -> Stamp | None:
        """The times of a picture that has come; None where it isn't wanted."""
        stamp = self._source_clock.stamp(source_s, self._clock.now())
        return stamp if self._sampler.takes(stamp.sampled_at) else None

    def _shown(
        self, stamp: Stamp, source_s: float | None, frame: av.VideoFrame
    ) -> Iterator[LiveFrame | Frozen]:
        now = self._clock.now()
        after_silence = self._gaps.add(stamp.captured_at)
        size = (frame.width, frame.height)
        if size != self._size or after_silence:
            self._size, self._cut = size, True
        fitted = self._fitter.fit(frame)
        why = self._freeze.reason(fitted, source_s if self._believed else None, now)
        if why:
            self._withheld += 1
            told, self._why = self._why, why
            if not told:
                yield self._frozen(now)
            return
        if self._why:
            if self._withheld:
                yield self._frozen(now)
            self._why, self._cut = "", True
        self._told_at = now
        yield LiveFrame(stamp.captured_at, fitted, frame, self._cut)
        self._cut = False

    def _told(self) -> Iterator[Frozen | Alive]:
        now = self._clock.now()
        if now - self._told_at < TELL_EVERY_S:
            return
        if self._withheld:
            yield self._frozen(now)
        else:
            self._told_at = now
            yield Alive()

    def _frozen(self, now: float) -> Frozen:
        told = Frozen(self._withheld, self._why)
        self._withheld, self._told_at = 0, now
        return told


def _time_of(packet: av.Packet[av.VideoStream]) -> float | None:
    return None if packet.pts is None else float(packet.pts * packet.time_base)
