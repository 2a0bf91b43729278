"""Collects a camera's footage until it is judged to be enough."""

from __future__ import annotations

import shutil
import threading
import time
from typing import Protocol

import structlog

from model.footage.footage_search import Source
from model.footage.locations import Location, LocationKind
from service.capture.probe import Probe, ProbeVerdict
from service.errors import BadInput, SourceError
from service.learn.camera_collector import CameraCollector
from service.learn.collected_review import CollectedReview
from service.learn.frame_recording import FrameRecording, TrainingRecording
from service.learn.job_footage import make_frame_shape
from service.learn.learner_parts import LearnerParts
from service.learn.learning_folder import CollectedFootage, LearningFolder
from service.learn.source_examination import describe_probe, probe_source
from service.learn.work_order import JUDGING, JobStep, WorkOrder
from service.learning_messages import LEAST_FRAMES, LearningJob, LearningState, LearningStatus
from service.logs import hide_secrets
from service.messages import UPLOAD
from service.timers import compute_backoff_s

log = structlog.stdlib.get_logger(__name__)

TICK_S = 0.25
FIRST_REVIEW_S = 20.0
REVIEW_GROWTH = 1.15
"""The footage is judged again when there is so many times as much of it."""
MOST_EXTRA_S = 24 * 3600.0
"""Collecting ends so long after the seconds that were asked for: what there is decides."""
LONGEST_PAUSE_S = 30.0
"""Between two looks at a camera that is away."""


class Reporting(Protocol):
    """A learning, as its collecting and its processes need it."""

    @property
    def job(self) -> LearningJob:
        """The learning as it is required now."""

    @property
    def status(self) -> LearningStatus:
        """What was reported last."""

    def take_status(self, status: LearningStatus) -> None:
        """Report a status."""

    def make_order(self, step: JobStep, collected: CollectedFootage | None) -> WorkOrder:
        """Make the order for a process."""


class CameraCollecting:
    """Collects for one learning. `run` is called once."""

    def __init__(
        self,
        learning: Reporting,
        folder: LearningFolder,
        parts: LearnerParts,
        stop: threading.Event,
    ) -> None:
        self._learning = learning
        self._folder = folder
        self._space, self._side = parts.space, parts.side
        self._stop = stop
        self._review = CollectedReview(folder.path, learning.make_order)
        self._was_anyway = learning.job.train_anyway
        """Whether that was so from the beginning: then `seconds` are collected first."""

    def run(self) -> CollectedFootage | None:
        """Record until the footage is enough, or `stop` is set.

        Returns: what to train on; None where the sources are videos.
        Raises: BadInput, SourceError: the source can't be recorded.
        """
        source = self._find_camera()
        if source is None:
            return None
        recording = TrainingRecording(self._folder.recording)
        with self._folder.lock(), recording.lock():
            camera = self._examine(recording, source)
            if camera is None or self._stop.is_set():
                return None
            collector = CameraCollector(camera, self._space)
            collector.start(self._learning.job)
            try:
                collected = self._watch(collector)
            finally:
                collector.stop()
                self._review.stop()
        if collected is not None:
            self._folder.write_footage(collected)
        return collected

    def _find_camera(self) -> Source | None:
        """Return the source, if it may be a camera. Raises: BadInput: it can't be collected."""
        sources = self._learning.job.sources
        if UPLOAD in sources:
            reason = "the stream's pictures are uploaded: name videos to learn from"
            raise BadInput("sources", UPLOAD, reason)
        live = [text for text in sources if Location.parse(text).is_live]
        if any(not Location.parse(text).is_http for text in live) and len(sources) > 1:
            raise BadInput("sources", None, "one camera, or videos, can be learned from")
        if len(sources) != 1 or not live:
            return None
        return Source(Location.parse(live[0]).redacted, live[0])

    def _examine(self, recording: TrainingRecording, source: Source) -> FrameRecording | None:
        """Wait until the camera answers, and prepare its recording. Returns: None: it is a video.

        Raises: SourceError: it answers, and can't be recorded; or it was away for too long.
        """
        camera, location = self._open(recording, source), Location.parse(str(source.location))
        failures = 0
        if camera.info is None:
            self._report(0.0, "")
        while camera.info is None and not self._stop.is_set():
            seen = probe_source(source)
            if seen.verdict is ProbeVerdict.VIDEO:
                camera.info = describe_probe(seen)
                break
            # A device can be opened once, and the worker displays its picture meanwhile.
            if is_hopeless(seen) or location.kind is LocationKind.DEVICE:
                raise SourceError(seen.reason)
            if self._is_overdue():
                raise SourceError(f"the camera was away for a day or longer: {seen.reason}")
            failures += 1
            self._report(0.0, f"the camera is away: {seen.reason}", is_waiting=True)
            self._stop.wait(compute_backoff_s(failures, first_s=1.0, longest_s=LONGEST_PAUSE_S))
        if camera.info is None or not camera.info.is_live:
            return None
        shape = make_frame_shape(self._side, has_colour=camera.info.has_colour)
        camera.begin(shape, self._learning.job.fps)
        return camera

    def _open(self, recording: TrainingRecording, source: Source) -> FrameRecording:
        """Open the camera's recording; one that is damaged is begun again."""
        try:
            return recording.open_source(source)
        except BadInput as error:
            log.warning("a recording begins again", reason=error.reason)
            for folder in recording.folder.iterdir():
                if folder.is_dir():
                    shutil.rmtree(folder)
            return recording.open_source(source)

    def _watch(self, collector: CameraCollector) -> CollectedFootage | None:
        """Report, and have the footage judged, until it is enough. Returns: what to train on."""
        recording, review = collector.recording, self._review
        while not self._stop.wait(TICK_S):
            job, seconds = self._learning.job, recording.recorded_s
            if (failure := collector.failure or review.failure) is not None:
                raise SourceError(failure)
            is_over = collector.has_ended or self._is_overdue()
            is_whole = is_over or collector.is_full or seconds >= job.seconds
            is_hurried = job.train_now or (job.train_anyway and not self._was_anyway)
            is_due = is_hurried or (job.train_anyway and is_whole)
            if is_due and recording.count >= LEAST_FRAMES:
                return _describe_footage(recording)
            if review.take_result() and review.decides and review.footage.is_enough:
                return review.collected
            if is_over and self._has_judged_all(seconds):
                raise SourceError(self._describe_end(collector))
            if review.is_running and is_whole and not review.decides:
                review.stop()  # otherwise the one that decides would wait for it
            no_more = is_over or collector.is_full
            if self._must_review(seconds, is_whole=is_whole, no_more=no_more):
                collected = _describe_footage(recording)
                review.start(collected, seconds, decides=is_whole, is_last=is_over)
            is_waiting = is_whole or bool(collector.waiting_for)
            self._report(seconds, self._explain(collector), is_waiting=is_waiting)
        return None

    def _must_review(self, seconds: float, *, is_whole: bool, no_more: bool) -> bool:
        """Decide whether to judge the footage now."""
        review, asked_s = self._review, self._learning.job.seconds
        if review.is_running or seconds == 0.0:
            return False
        if is_whole and not review.decides:
            return True
        if seconds <= review.seconds:
            return False
        if no_more or review.seconds < asked_s <= seconds:
            return True
        # The review that decides mustn't wait for one that doesn't.
        has_time = is_whole or seconds + review.took_s < asked_s
        return has_time and seconds >= max(FIRST_REVIEW_S, REVIEW_GROWTH * review.seconds)

    def _has_judged_all(self, seconds: float) -> bool:
        """Decide whether the last review, of all that there is, has been made."""
        review = self._review
        is_last = review.decides and (review.is_last or review.seconds >= seconds)
        return seconds == 0.0 or (is_last and not review.is_running)

    def _is_overdue(self) -> bool:
        """Decide whether the learning has collected for as long as it may."""
        return time.time() - self._folder.began_at > self._learning.job.seconds + MOST_EXTRA_S

    def _describe_end(self, collector: CameraCollector) -> str:
        advice = self._review.footage.advice or "nothing was recorded"
        if collector.has_ended:
            return f"the source has ended: {advice}"
        return f"it isn't enough after a day more than was asked for: {advice}"

    def _explain(self, collector: CameraCollector) -> str:
        """Explain what the collecting waits for."""
        review, asked_s = self._review, self._learning.job.seconds
        if review.is_running and review.decides and not review.has_decided:
            return JUDGING
        if collector.is_full:
            limit = f"{self._space.limit / 1024**3:.1f} GiB"
            return (
                f"the recordings of all learnings take {limit}, or the disk is full: train with "
                f"what there is, or cancel. {review.footage.advice}"
            ).strip()
        if collector.waiting_for:
            return f"the camera is away: {collector.waiting_for}"
        return review.footage.advice if collector.recording.recorded_s >= asked_s else ""

    def _report(self, seconds: float, reason: str, *, is_waiting: bool = False) -> None:
        """Report. Args: is_waiting: nobody can say how long it takes."""
        asked_s = self._learning.job.seconds
        self._learning.take_status(
            LearningStatus(
                id=self._learning.job.id,
                state=LearningState.COLLECTING,
                reason=hide_secrets(reason),
                progress=min(1.0, seconds / asked_s),
                remaining_s=None if is_waiting else max(0.0, asked_s - seconds),
                footage=self._review.footage.model_copy(update={"seconds": round(seconds, 1)}),
                updated_at=time.time(),
            )
        )


def _describe_footage(recording: FrameRecording) -> CollectedFootage:
    return CollectedFootage(part=recording.folder.name, frames=recording.count)


def is_hopeless(seen: Probe) -> bool:
    """Returns whether a camera that can't be read must not be asked again: it sends no video, or
    refuses our password, and attempts may lock the account."""
    return seen.is_refused or seen.verdict is ProbeVerdict.NOT_VIDEO
