"""Records a camera for a learning, in a thread, until it is stopped."""

from __future__ import annotations

import math
import threading
from dataclasses import dataclass, field

import structlog

from service.errors import SourceError
from service.learn.camera_recording import CaptureOptions, record_camera
from service.learn.frame_recording import FrameRecording
from service.learn.recording_space import RecordingSpace
from service.learning_messages import LearningJob

log = structlog.stdlib.get_logger(__name__)

SPACE_EVERY_FRAMES = 20
SPACE_WAIT_S = 5.0
JOIN_S = 5.0


@dataclass(slots=True)
class CameraCollector:
    """Adds a camera's frames to its recording. An absence of the camera is waited for.

    The thread writes the fields; others read them.
    """

    recording: FrameRecording
    space: RecordingSpace
    waiting_for: str = ""
    """Why no frame comes now; empty while frames come."""
    is_full: bool = False
    """There is no room for more."""
    failure: str | None = None
    """Why the camera can't be recorded at all."""
    has_ended: bool = False
    _stop: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread | None = None

    def start(self, job: LearningJob) -> None:
        """Begin to record."""
        options = CaptureOptions(math.inf, job.transport, job.decode, self._note_wait)
        self._thread = threading.Thread(
            target=self._run, args=(options,), name="collector", daemon=True
        )
        self._thread.start()

    def stop(self) -> None:
        """Stop recording, and wait until no more is written."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join(JOIN_S)

    def _run(self, options: CaptureOptions) -> None:
        try:
            while not self._stop.is_set() and not self.has_ended:
                self.is_full = self.space.measure_left() <= 0
                if self.is_full:
                    self._stop.wait(SPACE_WAIT_S)
                else:
                    self._record(options)
        except SourceError as error:
            self.failure = str(error)
        except OSError as error:
            self.failure = f"the frames can't be written: {error.strerror}"
        except Exception:
            log.exception("the recording of a camera failed", source=self.recording.source.name)
            self.failure = "the recording failed; the learner's log says why"

    def _record(self, options: CaptureOptions) -> None:
        """Record until there is no room, the stream ends, or this is stopped."""
        for count in record_camera(self.recording, None, self._stop, options):
            if count % SPACE_EVERY_FRAMES == 0 and self.space.measure_left() <= 0:
                return
        self.has_ended = not self._stop.is_set()

    def _note_wait(self, reason: str) -> None:
        self.waiting_for = reason
