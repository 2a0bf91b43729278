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
from service.learn.frame_recording import FrameRecording, TrainingRecording
from service.learn.job_footage import make_frame_shape
from service.learn.job_process import JobProcess
from service.learn.learner_parts import LearnerParts
from service.learn.learning_folder import CollectedFootage, LearningFolder
from service.learn.source_examination import describe_probe, probe_source
from service.learn.work_order import JobStep, WorkOrder
from service.learning_messages import FootageSummary, LearningJob, LearningState, LearningStatus
from service.logs import hide_secrets
from service.messages import UPLOAD
from service.timers import compute_backoff_s

log = structlog.stdlib.get_logger(__name__)

TICK_S = 0.25
FIRST_REVIEW_S = 20.0
REVIEW_GROWTH = 1.15
"""The footage is judged again when there is so many times as much of it."""
LEAST_FRAMES = 60
"""Less footage can't be trained on."""
MOST_S = 24 * 3600.0
"""A learning whose footage isn't enough after so long fails."""
LONGEST_PAUSE_S = 30.0
"""Between two looks at a camera that is away."""


class Reporting(Protocol):
    """A learning, as its collecting needs it."""

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
        self._review: JobProcess | None = None
        self._review_decides = False
        """Whether the review that runs is of all that was asked for."""
        self._reviewed_s = 0.0
        self._reviewed: CollectedFootage | None = None
        self._review_failure: str | None = None
        self._footage = FootageSummary()
        """What the newest review found."""
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
                if self._review is not None:
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

        Raises: SourceError: it answers, and can't be recorded.
        """
        camera, location = self._open(recording, source), Location.parse(str(source.location))
        failures = 0
        while camera.info is None and not self._stop.is_set():
            self._report(0.0, "")
            seen = probe_source(source)
            if seen.verdict is ProbeVerdict.VIDEO:
                camera.info = describe_probe(seen)
                break
            # A device can be opened once, and the worker displays its picture meanwhile.
            if is_hopeless(seen) or location.kind is LocationKind.DEVICE:
                raise SourceError(seen.reason)
            failures += 1
            self._report(0.0, f"the camera is away: {seen.reason}")
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
        recording = collector.recording
        while not self._stop.wait(TICK_S):
            job, seconds = self._learning.job, recording.recorded_s
            if (failure := collector.failure or self._review_failure) is not None:
                raise SourceError(failure)
            no_more = collector.has_ended or collector.is_full
            is_whole = no_more or seconds >= job.seconds
            is_hurried = job.train_now or (job.train_anyway and not self._was_anyway)
            is_due = is_hurried or (job.train_anyway and is_whole)
            if is_due and recording.count >= LEAST_FRAMES:
                return _describe_footage(recording)
            if self._take_review():
                return self._reviewed
            if collector.has_ended and self._review is None and self._reviewed_s >= seconds:
                raise SourceError(f"the source has ended: {self._footage.advice}")
            if time.time() - self._folder.began_at > MOST_S:
                raise SourceError(f"it isn't enough after a day: {self._footage.advice}")
            if self._review is None and seconds > self._reviewed_s:
                due_s = max(FIRST_REVIEW_S, REVIEW_GROWTH * self._reviewed_s)
                if self._reviewed_s < job.seconds:
                    due_s = min(due_s, job.seconds)
                if no_more or seconds >= due_s:
                    self._start_review(recording, seconds, is_whole=is_whole)
            self._report(seconds, self._explain(collector))
        return None

    def _start_review(self, recording: FrameRecording, seconds: float, *, is_whole: bool) -> None:
        self._reviewed_s, self._reviewed = seconds, _describe_footage(recording)
        self._review_decides = is_whole
        self._review = JobProcess(
            self._folder.path,
            self._learning.make_order(JobStep.REVIEW, self._reviewed),
            self._take_summary,
        )

    def _take_summary(self, status: LearningStatus) -> None:
        if status.footage is not None:
            self._footage = status.footage
        elif status.state is LearningState.FAILED:
            self._review_failure = status.reason

    def _take_review(self) -> bool:
        """Take the result of a review, if one is done. Returns whether the footage is enough."""
        if self._review is None or not self._review.wait(0.0):
            return False
        self._review = None
        return self._review_decides and self._footage.is_enough

    def _explain(self, collector: CameraCollector) -> str:
        """Explain what the collecting waits for."""
        if collector.is_full:
            limit = f"{self._space.limit / 1024**3:.1f} GiB"
            return (
                f"the recordings of all learnings take {limit}, or the disk is full: train with "
                f"what there is, or cancel. {self._footage.advice}"
            ).strip()
        if collector.waiting_for:
            return f"the camera is away: {collector.waiting_for}"
        is_late = collector.recording.recorded_s >= self._learning.job.seconds
        return self._footage.advice if is_late else ""

    def _report(self, seconds: float, reason: str) -> None:
        left_s = max(0.0, self._learning.job.seconds - seconds)
        self._learning.take_status(
            LearningStatus(
                id=self._learning.job.id,
                state=LearningState.COLLECTING,
                reason=hide_secrets(reason),
                progress=min(1.0, seconds / self._learning.job.seconds),
                remaining_s=left_s or None,
                footage=self._footage.model_copy(update={"seconds": round(seconds, 1)}),
                updated_at=time.time(),
            )
        )


def _describe_footage(recording: FrameRecording) -> CollectedFootage:
    return CollectedFootage(part=recording.folder.name, frames=recording.count)


def is_hopeless(seen: Probe) -> bool:
    """Returns whether a camera that can't be read must not be asked again: it sends no video, or
    refuses our password, and attempts may lock the account."""
    return seen.is_refused or seen.verdict is ProbeVerdict.NOT_VIDEO
