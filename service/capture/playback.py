"""Plays a source inside a camera's process: connects, picks frames, keeps a recording's pace."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from dataclasses import replace

from model.footage.footage_error import FootageError, SourceFault
from model.footage.footage_reader import UNTIMED_FPS, FootageReader, TimedPicture
from model.footage.footage_search import Source, find_footage
from model.footage.locations import Location
from model.footage.sampling import Sampler
from model.footage.source_addresses import find_refused_peer
from model.footage.source_pictures import Fitter, SourcePicture
from model.footage.video_source import OpenOptions, Video, open_video
from model.frames import Frame
from model.scene.features import extract
from service.capture.capture_messages import (
    Alive,
    CapturedFrame,
    CaptureJob,
    Ended,
    Failed,
    LostFrames,
    Message,
)
from service.capture.clock import TICK_S, Clock
from service.capture.live import Live, LiveFrame
from service.capture.source_policy import read_source_networks
from service.timers import Timer

ALIVE_EVERY_S = 1.0
LATE_S = 1.0
"""A recording that is decoded so much too slowly stops trying to catch up."""
BROKEN_S = 3.0
"""A camera whose snapshots can't be decoded for so long is away."""
PEERS_EVERY_S = 1.0
LONGEST_GAP_S = 10.0
"""A longer gap within a recording isn't waited for."""


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
        self._location = Location.parse(job.location)
        self._options = OpenOptions(
            connect_timeout_s=job.connect_timeout_s,
            read_timeout_s=job.read_timeout_s,
            transport=job.transport,
            device_fps=job.fps,
            networks=read_source_networks(),
        )
        self._closely = closely
        self._peers_due = Timer(PEERS_EVERY_S)
        self._clock = clock or Clock()
        self._fitter = Fitter(job.shape)
        self._sequence = 0
        self._captured_at = 0.0
        self._period_s = 1.0 / (job.fps or UNTIMED_FPS)
        self._said: set[str] = set()
        self._started_at: float | None = None
        """Our time at a recording's time 0; None until its first picture."""
        self._previews = Sampler(1.0 / job.preview_every_s)
        self._close_previews = Sampler(1.0 / min(job.preview_every_s, job.close_preview_every_s))
        self._reported_at = self._clock.now()

    @property
    def frames(self) -> int:
        """How many were handed over."""
        return self._sequence

    def messages(self) -> Iterator[Message]:
        """What the source gives, to its end; a live source goes on until it fails.

        Raises: FootageError: the source can't be opened or read.
        """
        if not self._location.is_live:
            yield from self._play_recordings()
            return
        video = open_video(self._location, self._options)
        yield self._alive()
        if video.is_still:
            yield from self._snapshots(video)
        elif video.is_live:
            with video:
                yield from self._live(self._new_live(), video)
            raise FootageError("the source has stopped sending", SourceFault.UNREACHABLE)
        else:
            video.close()
            yield from self._play_recordings()

    def _new_live(self) -> Live:
        return Live(self._job, self._clock, captured_at=self._captured_at)

    def _live(self, live: Live, video: Video) -> Iterator[Message]:
        for each in live.play(video):
            self._check_peers()
            if isinstance(each, LiveFrame):
                self._captured_at = each.captured_at
                yield self._make_frame(each.picture, each.fitted, each.cut)
            else:
                yield each

    def _check_peers(self) -> None:
        """Raises: FootageError: a redirect or a playlist has led where no camera may be."""
        if self._peers_due.restart_if_due():
            problem = find_refused_peer(self._options.networks)
            if problem is not None:
                raise FootageError(problem, SourceFault.REFUSED)

    def _snapshots(self, video: Video) -> Iterator[Message]:
        """Ask for a picture again and again, at the stream's frame rate."""
        # Each picture was asked for because it is due: none is left out.
        self._job = replace(self._job, fps=None)
        live = self._new_live()
        asked_at = self._clock.now()
        broken_since: float | None = None
        while True:
            before = self._sequence
            with video:
                yield from self._live(live, video)
            if self._sequence > before:
                broken_since = None
            elif not live.withholds:
                yield LostFrames(1)
                broken_since = broken_since or asked_at
                if self._clock.now() - broken_since > BROKEN_S:
                    raise FootageError("its pictures can't be decoded", SourceFault.UNREACHABLE)
            yield from self._wait_until(asked_at + self._period_s)
            asked_at = self._clock.now()
            video = open_video(self._location, self._options)

    def _play_recordings(self) -> Iterator[Message]:
        """Play what is there, once or for ever, each recording at its own pace."""
        while True:
            before, failure = self._sequence, FootageError("it holds no pictures")
            found = find_footage([self._job.location])
            for left_out in found.left_out:
                self._say(f"{left_out.path} is left out: {left_out.reason}")
            for source in found.sources:
                try:
                    yield from self._play_recording(source)
                except FootageError as error:
                    if self._location.is_live and error.fault is not SourceFault.NOT_VIDEO:
                        raise
                    # The others go on: a file may be damaged, a dead link, or just deleted.
                    failure = error
                    self._say(f"{source.name} is left out: {error.reason}")
            if self._sequence == before:
                raise failure
            if not self._job.loop:
                yield Ended()
                return

    def _play_recording(self, source: Source) -> Iterator[Message]:
        reading = FootageReader(source, fps=self._job.fps, options=self._options)
        losses, lost = reading.losses, 0
        self._started_at = None
        for each in reading:
            if losses.damaged > lost:
                yield LostFrames(losses.damaged - lost)
                lost = losses.damaged
            yield from self._pace(each)
        if losses.frames > lost:
            yield LostFrames(losses.frames - lost)
        if losses:
            self._say(f"{source.name}: {losses}")
        if self._location.is_live and losses.end is not None:
            raise losses.end

    def _pace(self, each: TimedPicture) -> Iterator[Message]:
        """Wait until the picture's time has come, then hand it over."""
        now = self._clock.now()
        if self._started_at is None:
            # The next recording begins a period after the last picture of the one before.
            self._started_at = max(now, self._captured_at + self._period_s) - each.time_s
        due = max(self._started_at + each.time_s, self._captured_at + TICK_S)
        if now - due > LATE_S or (not each.continues and due - now > LONGEST_GAP_S):
            self._started_at += now - due
            due = max(now, self._captured_at + TICK_S)
        yield from self._wait_until(due)
        self._captured_at = due
        yield self._make_frame(each.picture, self._fitter.fit(each.picture), not each.continues)

    def _wait_until(self, at: float) -> Iterator[Alive]:
        while (rest_s := at - self._clock.now()) > 0:
            self._clock.wait(min(rest_s, ALIVE_EVERY_S))
            if self._clock.now() - self._reported_at >= ALIVE_EVERY_S:
                yield self._alive()

    def _make_frame(self, picture: SourcePicture, fitted: Frame, cut: bool) -> CapturedFrame:
        self._reported_at = self._clock.now()
        preview = None
        # Both must see every frame: they go by the gaps.
        few = self._previews.takes(self._captured_at)
        many = self._close_previews.takes(self._captured_at)
        if few or (many and self._closely()):
            preview = picture.jpeg(self._job.preview_width)
        features = extract(fitted, self._captured_at)
        frame = CapturedFrame(self._captured_at, self._sequence, fitted, preview, cut, features)
        self._sequence += 1
        return frame

    def _alive(self) -> Alive:
        self._reported_at = self._clock.now()
        return Alive()

    def _say(self, text: str) -> None:
        """Have it logged by the process's parent; once, however often the source is played."""
        if text not in self._said:
            self._said.add(text)
            print(text, file=sys.stderr, flush=True)


def failure_of(job: CaptureJob, error: FootageError, frames: int) -> Failed:
    """What a playback's end is reported as, after so many frames."""
    if not Location.parse(job.location).is_live:
        return Failed(error.reason, SourceFault.NOT_VIDEO)
    if frames and error.fault is SourceFault.NOT_VIDEO:
        # It was video before: the connection broke, or the codec changed; it is opened again.
        return Failed(error.reason, SourceFault.UNREACHABLE)
    return Failed(error.reason, error.fault)
