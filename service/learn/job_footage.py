"""The footage of one learning: frames recorded of its camera, or read from videos."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import structlog

from model.footage.clips import Clip
from model.footage.footage_error import FootageError
from model.footage.footage_reader import FootageReader
from model.footage.footage_search import find_footage
from model.footage.source_pictures import Fitter
from model.frames import FrameShape
from service.errors import BadInput
from service.learn.frame_recording import FrameRecording, TrainingRecording
from service.learn.job_reports import JobReports
from service.learn.learning_folder import LearningFolder
from service.learn.source_examination import examine_source
from service.learn.work_order import READING, WorkOrder
from service.learning_messages import LearningState

log = structlog.stdlib.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class JobFootage:
    """The clips of a learning."""

    clips: Sequence[Clip]
    fps: float
    names: Sequence[str]
    """Names of the sources, without credentials."""


def load_footage(order: WorkOrder, folder: LearningFolder, reports: JobReports) -> JobFootage:
    """Load what was recorded of the camera, or read the videos.

    Raises: FootageError, BadInput: there is no footage.
    """
    collected = order.collected
    if collected is not None:
        (source,) = find_footage(order.job.sources).sources
        parts = [FrameRecording(folder.recording / collected.part, source)]
    else:
        recording = TrainingRecording(folder.recording)
        with recording.lock():
            parts = _read_videos(order, recording, reports)
    limit = None if collected is None else collected.frames
    clips = [clip for part in parts for clip in part.read_clips(limit)]
    if not clips:
        raise BadInput("sources", None, "there is no footage")
    rate = parts[0].compute_frame_rate()
    return JobFootage(
        clips, min(order.job.fps, rate or order.job.fps), [part.source.name for part in parts]
    )


def make_frame_shape(side: int, *, has_colour: bool) -> FrameShape:
    """Return the shape of the frames that are recorded for training."""
    return FrameShape(side, side, 3 if has_colour else 1)


def _read_videos(
    order: WorkOrder, recording: TrainingRecording, reports: JobReports
) -> list[FrameRecording]:
    """Read videos until there are as many frames as were asked for. What an earlier process read
    isn't written again. Of several videos, those that can't be read are left out.

    Raises: FootageError, BadInput: none can be read.
    """
    parts: list[FrameRecording] = []
    failure: FootageError | BadInput | None = None
    limit = math.ceil(order.job.seconds * order.job.fps)
    rest = limit

    def count_frame(left: int) -> None:
        reports.report_progress(LearningState.COLLECTING, 1.0 - left / limit, reason=READING)

    for source in find_footage(order.job.sources).sources:
        part = recording.open_source(source)
        try:
            part.info = part.info or examine_source(source)
            has_colour = parts[0].shape.channels == 3 if parts else part.info.has_colour
            shape = make_frame_shape(order.side, has_colour=has_colour)
            part.begin(shape, order.job.fps)
            has_room = _read_video(order, part, rest, count_frame)
        except (FootageError, BadInput) as error:
            log.warning("left out a video", source=source.name, reason=str(error))
            failure = failure or error
            continue
        parts.append(part)
        rest -= part.count
        if rest <= 0 or not has_room:
            break
    if failure is not None and not parts:
        raise failure
    return parts


def _read_video(
    order: WorkOrder, part: FrameRecording, limit: int, on_frame: Callable[[int], object]
) -> bool:
    """Add a video's frames to what was read of it before. Returns whether the disk has room.

    Args: on_frame: gets how many of `limit` frames are left, after each.
    """
    known = part.count
    frame_bytes = math.prod(part.shape.array_shape)
    fitter = Fitter(part.shape)
    reading = FootageReader(part.source, fps=order.job.fps, limit=limit)
    with part.open_to_append() as append:
        for number, each in enumerate(reading):
            if number < known:
                continue
            if (part.count - known + 1) * frame_bytes > order.bytes_left:
                return False
            append(fitter.fit(each.picture), each.time_s, each.continues)
            on_frame(limit - part.count)
    return True
