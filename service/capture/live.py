"""Plays one connection to a live source: which packets are decoded, which pictures are taken, when
they were taken, and whether the camera is frozen.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import av

from model.footage.decoding import PacketDecoder
from model.footage.footage_error import FootageError
from model.footage.gaps import Gaps
from model.footage.sampling import Sampler
from model.footage.source_pictures import Fitter, VideoPicture
from model.footage.video_source import Video
from model.frames import Frame
from service.capture.capture_messages import Alive, CaptureJob, Frozen, LostFrames, usual_gap_s
from service.capture.clock import Clock, SourceClock, Stamp
from service.capture.freeze_detection import Freeze

REPORT_EVERY_S = 1.0
SEGMENTS = "hls"
"""Pictures of a live playlist come in bursts; they are handed over at their own pace."""
LONGEST_WAIT_S = 30.0
LATE_S = 1.0


@dataclass(frozen=True, slots=True)
class LiveFrame:
    """A picture to be handed over."""

    captured_at: float
    fitted: Frame
    picture: VideoPicture
    cut: bool


_Output = LiveFrame | Frozen | LostFrames | Alive


class Live:
    """One connection, or the snapshots that one camera is asked for. For one thread."""

    def __init__(self, job: CaptureJob, clock: Clock, *, captured_at: float) -> None:
        """Args: captured_at: of the picture before, or 0."""
        self._job = job
        self._clock = clock
        self._keyframes = job.decode == "keyframes"
        self._ahead_s: float | None = None
        """Our time less the source's, of a source whose pictures wait for their time."""
        self._source_clock = SourceClock(captured_at=captured_at)
        self._sampler = Sampler(job.fps)
        self._fitter = Fitter(job.shape)
        self._freeze = Freeze(job.freeze_after_s)
        self._gaps = Gaps(usual_gap_s(job))
        self._reported_at = clock.now()
        self._size = (0, 0)
        self._cut = True
        self._withheld = 0
        self._why = ""

    @property
    def withholds(self) -> bool:
        """The last picture was withheld, because the camera is frozen."""
        return bool(self._why)

    def play(self, video: Video) -> Iterator[_Output]:
        """What comes, until the source ends. Raises: FootageError: it can't be read any more."""
        decoder = PacketDecoder(video, keyframes=self._keyframes)
        lost = 0
        try:
            for packet in video.packets():
                yield from self._play_packet(video, decoder, packet)
                if decoder.lost > lost:
                    yield LostFrames(decoder.lost - lost)
                    lost = decoder.lost
        except FootageError:
            # What the decoder holds back still comes out; then the error counts.
            for picture in decoder.flush():
                source_s = picture.frame.time if video.has_clock else None
                if (stamp := self._stamp(source_s)) is not None:
                    yield from self._hand_over(stamp, source_s, picture)
            raise

    def _play_packet(
        self, video: Video, decoder: PacketDecoder, packet: av.Packet[av.VideoStream]
    ) -> Iterator[_Output]:
        if self._is_decoded(packet):
            stamp = None
            if video.codec.codec.intra_only and packet.size:
                # Each packet is a picture: what isn't taken needn't be decoded.
                stamp = self._stamp(_time_of(packet) if video.has_clock else None)
                if stamp is None:
                    yield from self._report()
                    return
            for picture in decoder.decode(packet):
                source_s = picture.frame.time if video.has_clock else None
                if SEGMENTS in video.format:
                    yield from self._wait_for(source_s)
                own = stamp or self._stamp(source_s)
                if own is not None:
                    yield from self._hand_over(own, source_s, picture)
        yield from self._report()

    def _is_decoded(self, packet: av.Packet[av.VideoStream]) -> bool:
        return not self._keyframes or packet.is_keyframe or not packet.size

    def _wait_for(self, source_s: float | None) -> Iterator[Frozen | Alive]:
        """Let the picture's time come, where a source sends ahead."""
        if source_s is None:
            return
        now = self._clock.now()
        wait_s = 0.0 if self._ahead_s is None else self._ahead_s + source_s - now
        if self._ahead_s is None or not -LATE_S <= wait_s <= LONGEST_WAIT_S:
            self._ahead_s = now - source_s
            return
        until = now + wait_s
        while (rest_s := until - self._clock.now()) > 0:
            self._clock.wait(min(rest_s, REPORT_EVERY_S))
            yield from self._report()

    def _stamp(self, source_s: float | None) -> Stamp | None:
        """Return the times of a picture that has come; None if the frame rate doesn't need it."""
        stamp = self._source_clock.stamp(source_s, self._clock.now())
        return stamp if self._sampler.takes(stamp.sampled_at) else None

    def _hand_over(
        self, stamp: Stamp, source_s: float | None, picture: VideoPicture
    ) -> Iterator[LiveFrame | Frozen]:
        now = self._clock.now()
        after_silence = self._gaps.add(stamp.captured_at)
        size = picture.size
        if size != self._size or after_silence:
            self._size, self._cut = size, True
        fitted = self._fitter.fit(picture)
        why = self._freeze.reason(fitted, source_s, now)
        if why:
            self._withheld += 1
            before, self._why = self._why, why
            if not before:
                yield self._frozen(now)
            return
        if self._why:
            if self._withheld:
                yield self._frozen(now)
            self._why, self._cut = "", True
        self._reported_at = now
        yield LiveFrame(stamp.captured_at, fitted, picture, self._cut)
        self._cut = False

    def _report(self) -> Iterator[Frozen | Alive]:
        now = self._clock.now()
        if now - self._reported_at < REPORT_EVERY_S:
            return
        if self._withheld:
            yield self._frozen(now)
        else:
            self._reported_at = now
            yield Alive()

    def _frozen(self, now: float) -> Frozen:
        frozen = Frozen(self._withheld, self._why)
        self._withheld, self._reported_at = 0, now
        return frozen


def _time_of(packet: av.Packet[av.VideoStream]) -> float | None:
    return None if packet.pts is None else float(packet.pts * packet.time_base)
