"""Captures frames of live cameras as a stream does, and records them for training."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from model.frames import FrameShape
from service.capture.camera_capture import CameraCapture, CaptureState
from service.capture.capture_messages import CapturedFrame, CaptureJob
from service.errors import SourceError
from service.stream_choices import Decode, Transport

if TYPE_CHECKING:
    from model.footage.footage_search import Source
    from service.learn.frame_recording import FrameRecording

RING_FRAMES = 500
WAIT_S = 0.25
OUTAGE_S = 60.0
"""A command goes on without a camera that is away for longer."""


@dataclass(frozen=True, slots=True)
class CaptureOptions:
    """How a camera is read, and for how long it may be away."""

    outage_s: float = OUTAGE_S
    transport: Transport = "tcp"
    decode: Decode = "all"
    on_wait: Callable[[str], object] = lambda _: None
    """Gets the reason why no frame comes now; empty while frames come."""


def capture_frames(
    source: Source,
    shape: FrameShape,
    fps: float | None,
    stop: threading.Event,
    *,
    options: CaptureOptions | None = None,
    was_read: bool = False,
) -> Iterator[CapturedFrame]:
    """Yield a camera's frames as they arrive, over reconnections, until `stop` is set.

    Args: was_read: the camera gave frames before, so that an error may be an outage.
    Raises: SourceError: no frame has come for `outage_s`, or it can't be read.
    """
    options = options or CaptureOptions()
    came = threading.Event()
    job = CaptureJob(
        str(source.location), shape, fps, transport=options.transport, decode=options.decode
    )
    capture = CameraCapture(job, ring_frames=RING_FRAMES, on_frame=came.set)
    capture.start()
    try:
        latest = time.monotonic()
        while not stop.is_set():
            came.clear()
            status = capture.status  # before the ring is emptied: the last frames come first
            while (frame := capture.pop()) is not None:
                latest, was_read = time.monotonic(), True
                yield frame
            if status.state is CaptureState.ENDED:
                return
            is_hopeless = status.state is CaptureState.FAILED and not was_read
            if is_hopeless or time.monotonic() - latest > options.outage_s:
                raise SourceError(status.reason or f"no picture for {options.outage_s:g} s")
            options.on_wait("" if status.state is CaptureState.PLAYING else status.reason)
            came.wait(WAIT_S)
    finally:
        capture.close()


def record_camera(
    recording: FrameRecording,
    limit: int | None,
    stop: threading.Event,
    options: CaptureOptions | None = None,
) -> Iterator[int]:
    """Record until there are `limit` frames; yields the count after each.

    Raises: SourceError: the camera went away. The recorded frames are kept.
    """
    if limit is not None and recording.count >= limit:
        return
    captured = capture_frames(
        recording.source,
        recording.shape,
        recording.fps,
        stop,
        options=options,
        was_read=recording.count > 0,
    )
    with recording.open_to_append() as append:
        for frame in captured:
            append(frame.pixels, frame.captured_at, not frame.cut)
            yield recording.count
            if limit is not None and recording.count >= limit:
                return
