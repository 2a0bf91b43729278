"""Plays a source inside a camera's process: connects, picks frames, keeps a recording's pace."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import av
from av.container import InputContainer

from model.footage import FootageError, Source, discover, pictures
from model.frames import Frame, Picture, fit
from service.capture.clock import TICK_S, Clock
from service.capture.decoding import decoded
from service.capture.live import Live, LiveFrame
from service.capture.locations import Kind, is_live, kind_of, scheme_of
from service.capture.opening import OpenError, open_video
from service.capture.pictures import Fitter, jpeg_of, preview_of
from service.capture.sampling import Sampler
from service.capture.wire import (
    Alive,
    CapturedFrame,
    CaptureJob,
    Connected,
    Ended,
    Failed,
    Fault,
    Message,
)

FOLDER_FPS = 10.0
ALIVE_EVERY_S = 1.0
LATE_S = 1.0
"""A recording that is decoded so much too slowly stops trying to catch up."""


@dataclass(frozen=True, slots=True)
class _Taken:
    """A picture that was taken, in the forms that it is wanted in; nothing is made before."""

    fitted: Callable[[], Frame]
    jpeg: Callable[[int], bytes]
    """Of the whole picture, at most so wide."""


class Playback:
    """One connection to a source, as messages. For one thread."""

    def __init__(
        self,
        job: CaptureJob,
        clock: Clock | None = None,
        closely: Callable[[], bool] = lambda: False,
    ) -> None:
        """Args: closely: whether to make pictures as often as the job has it for such times."""
        self._job = job
        self._closely = closely
        self._clock = clock or Clock()
        self._fitter = Fitter(job.shape)
        self._sequence = 0
        self._captured_at = 0.0
        self._started_at = 0.0
        self._previews = Sampler(1.0 / job.preview_every_s)
        self._close_previews = Sampler(1.0 / min(job.preview_every_s, job.close_preview_every_s))
        self._told_at = self._clock.now()

    @property
    def frames(self) -> int:
        """How many were handed over."""
        return self._sequence

    def messages(self) -> Iterator[Message]:
        """From Connected to Ended; a live source goes on until it fails.

        Raises: OpenError: the source can't be opened or read.
        """
        if kind_of(self._job.location) is Kind.FOLDER:
            yield from self._repeated(self._folder)
            return
        container = self._open()
        stream = container.streams.video[0]
        rate = stream.average_rate or stream.guessed_rate
        size = stream.codec_context
        yield Connected(float(rate) if rate else None, size.width, size.height)
        if is_recording(self._job.location, container):
            container.close()
            yield from self._repeated(self._recording)
            return
        with container:
            yield from self._live(container)
        raise OpenError(Fault.UNREACHABLE, "the source has stopped sending")

    def _open(self) -> InputContainer:
        job = self._job
        container = open_video(
            job.location,
            connect_timeout_s=job.connect_timeout_s,
            read_timeout_s=job.read_timeout_s,
            transport=job.transport,
            fps=job.fps,
        )
        codec = container.streams.video[0].codec_context
        # Threads that take a frame each would hold frames back; other cameras fill other cores.
        codec.thread_count = 1
        return container

    def _live(self, container: InputContainer) -> Iterator[Message]:
        live = Live(self._job, container, self._clock, captured_at=self._captured_at)
        for each in live.play():
            if isinstance(each, LiveFrame):
                self._captured_at = each.captured_at
                yield self._captured(
                    _Taken(partial(_same, each.fitted), partial(jpeg_of, each.whole)), each.cut
                )
            else:
                yield each

    def _repeated(self, play: Callable[[], Iterator[Message]]) -> Iterator[Message]:
        while True:
            before = self._sequence
            yield from play()
            if self._sequence == before:
                raise OpenError(Fault.NOT_VIDEO, "it holds no pictures")
            if not self._job.loop:
                yield Ended()
                return

    def _recording(self) -> Iterator[Message]:
        sampler = Sampler(self._job.fps)
        with self._open() as container:
            yield from self._paced(_timed(decoded(container), _period(container)), sampler)

    def _folder(self) -> Iterator[Message]:
        folder = Path(self._job.location)
        period = 1.0 / (self._job.fps or FOLDER_FPS)
        try:
            found = pictures(folder_of_images(folder))
            first = True
            for index, (_, picture) in enumerate(found):
                if first and self._sequence == 0:
                    yield Connected(1.0 / period, picture.shape[1], picture.shape[0])
                first = False
                yield from self._paced_one(index * period, self._read(picture), index == 0)
        except (FootageError, OSError) as error:
            raise OpenError(Fault.NOT_VIDEO, str(error)) from None

    def _paced(
        self, frames: Iterator[tuple[float, av.VideoFrame]], sampler: Sampler
    ) -> Iterator[Message]:
        first: float | None = None
        for time_s, frame in frames:
            first = time_s if first is None else first
            if sampler.takes(time_s):
                since = time_s - first
                yield from self._paced_one(since, self._decoded(frame), since == 0.0)

    def _paced_one(self, since_s: float, taken: _Taken, first: bool) -> Iterator[Message]:
        """Wait until the picture's time has come, then hand it over."""
        now = self._clock.now()
        if first:
            self._started_at = max(now, self._captured_at + TICK_S)
        due = max(self._started_at + since_s, self._captured_at + TICK_S)
        if now - due > LATE_S:
            self._started_at += now - due
            due = now
        while (rest := due - self._clock.now()) > 0:
            self._clock.wait(min(rest, ALIVE_EVERY_S))
            if self._clock.now() - self._told_at >= ALIVE_EVERY_S:
                yield self._alive()
        self._captured_at = due
        yield self._captured(taken, first)

    def _decoded(self, frame: av.VideoFrame) -> _Taken:
        return _Taken(partial(self._fitter.fit, frame), partial(jpeg_of, frame))

    def _read(self, picture: Picture) -> _Taken:
        return _Taken(partial(fit, picture, self._job.shape), partial(preview_of, picture))

    def _captured(self, taken: _Taken, cut: bool) -> CapturedFrame:
        self._told_at = self._clock.now()
        preview = None
        # Both are told of every frame: they go by the gaps.
        few = self._previews.takes(self._captured_at)
        many = self._close_previews.takes(self._captured_at)
        if few or (many and self._closely()):
            preview = taken.jpeg(self._job.preview_width)
        frame = CapturedFrame(self._captured_at, self._sequence, taken.fitted(), preview, cut)
        self._sequence += 1
        return frame

    def _alive(self) -> Alive:
        self._told_at = self._clock.now()
        return Alive()


def failure_of(job: CaptureJob, error: OpenError, frames: int) -> Failed:
    """What is told of a playback's end, after so many frames."""
    if not is_live(job.location):
        return Failed(error.reason, Fault.NOT_VIDEO)
    if frames and error.fault is Fault.NOT_VIDEO:
        # It was video before: a broken connection, or another codec; it is opened anew.
        return Failed(error.reason, Fault.UNREACHABLE)
    return Failed(error.reason, error.fault)


def is_recording(location: str, container: InputContainer) -> bool:
    """Whether it has an end, and comes as fast as it is read: then we keep its pace."""
    if kind_of(location) is Kind.FILE:
        return True
    return scheme_of(location) in ("http", "https") and bool(container.duration)


def folder_of_images(folder: Path) -> Source:
    """The folder as one clip. Raises: FootageError: it holds no images."""
    clips = [clip for clip in discover([str(folder)]) if clip.location == folder]
    if not clips:
        raise FootageError("it is a folder without pictures")
    return clips[0]


def _timed(
    frames: Iterator[av.VideoFrame], period_s: float
) -> Iterator[tuple[float, av.VideoFrame]]:
    """Frames with times that only rise; one without a time, or out of order, comes a period on."""
    last: float | None = None
    for frame in frames:
        time_s = frame.time
        if time_s is None or (last is not None and time_s <= last):
            time_s = 0.0 if last is None else last + period_s
        last = time_s
        yield time_s, frame


def _period(container: InputContainer) -> float:
    rate = container.streams.video[0].average_rate
    return 1.0 / float(rate) if rate else 1.0 / FOLDER_FPS


def _same(frame: Frame) -> Frame:
    return frame
