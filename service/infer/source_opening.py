"""Opens a camera's source as it is configured: uploads, or a capture process."""

from __future__ import annotations

import math
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass

from model.frames import FrameShape
from service.bus.uploads import QueuedFrame
from service.capture.camera_capture import CameraCapture
from service.capture.capture_messages import CaptureJob
from service.infer.capture_source import CaptureSource
from service.infer.feeder import Feeder
from service.infer.frame_sources import FrameSource
from service.infer.model_pool import LoadedModel
from service.infer.upload_source import UploadSource
from service.messages import UPLOAD, StreamConfig
from service.settings import Settings

MOST_RING_FRAMES = 500
CLOSERS = 64
"""Sources that are closed at a time, each of which may hang."""
DISPLAYED_SHAPE = FrameShape(256, 256, 1)
"""The shape of the frames of a camera without a model: only its previews are used."""


@dataclass(frozen=True, slots=True)
class SourceRequest:
    """All that a camera's source is opened with."""

    config: StreamConfig
    model: LoadedModel | None
    """None: its frames are only displayed."""
    fps: float | None
    """Frames a second to capture; None: all that come."""
    first_frame: int
    """The number of the first frame."""
    discard: Callable[[QueuedFrame], object]
    """Called with each upload that can't be used."""

    @property
    def shape(self) -> FrameShape:
        """The shape of the frames that it gives."""
        return DISPLAYED_SHAPE if self.model is None else self.model.detector.bundle.frame_shape


OpenSource = Callable[[SourceRequest, Callable[[], object]], FrameSource]
"""Opens a source, which calls the second argument when it has a frame."""


def open_configured(
    request: SourceRequest, on_frame: Callable[[], object], *, settings: Settings, feeder: Feeder
) -> FrameSource:
    config, shape = request.config, request.shape
    if config.source == UPLOAD:
        source = UploadSource(config.id, request.first_frame, request.discard)
        feeder.feed(source, shape)
        return source
    job = CaptureJob(
        location=config.source,
        shape=shape,
        fps=request.fps,
        loop=config.loop,
        connect_timeout_s=settings.connect_timeout_s,
        read_timeout_s=settings.read_timeout_s,
        preview_width=settings.preview_width,
        preview_every_s=settings.preview_every_s
        if request.model is None
        else settings.quiet_picture_every_s,
        close_preview_every_s=settings.picture_every_s,
        transport=config.transport,
        decode=config.decode,
        freeze_after_s=settings.freeze_after_s,
    )
    ring_frames = _choose_ring_frames(job.fps, settings)
    capture = CameraCapture(job, ring_frames=ring_frames, on_frame=on_frame)
    return CaptureSource(capture, request.first_frame)


def _choose_ring_frames(fps: float | None, settings: Settings) -> int:
    """Return room for what comes until it is too old: a frame that the ring drops is missing in
    the next ones' windows."""
    aging = math.ceil(2.0 * settings.max_frame_age_s * (fps or 0.0))
    return max(settings.capture_ring_frames, min(aging, MOST_RING_FRAMES))


def list_playback(config: StreamConfig) -> tuple[object, ...]:
    """List the settings whose change needs the source to be opened again."""
    if config.source == UPLOAD:
        return (config.paused,)
    return config.paused, config.fps, config.loop, config.transport, config.decode


class SourceHandler:
    """Opens sources, and closes them in threads of its own, since each may take its time."""

    def __init__(self, opener: OpenSource, on_frame: Callable[[], object]) -> None:
        self._opener = opener
        self._on_frame = on_frame
        self._threads = ThreadPoolExecutor(CLOSERS, "close")
        self._closing: set[Future[None]] = set()

    def open_source(self, request: SourceRequest) -> FrameSource:
        return self._opener(request, self._on_frame)

    def close_source(self, source: FrameSource) -> None:
        """Ask a source to end, and wait for its end in another thread."""
        source.stop()
        self._closing = {each for each in self._closing if not each.done()}
        self._closing.add(self._threads.submit(source.close))

    def shut_down(self, timeout_s: float) -> None:
        """Wait for the sources that are ending, but no longer than that."""
        wait(self._closing, timeout_s)
        self._threads.shutdown(wait=False, cancel_futures=True)
