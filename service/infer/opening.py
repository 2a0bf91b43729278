"""Where a camera's frames come from, as it is configured: uploads, or a capture process."""

from __future__ import annotations

import math
from collections.abc import Callable

from service.capture.camera import CameraCapture
from service.capture.wire import CaptureJob
from service.infer.camera import Camera
from service.infer.feeder import Feeder
from service.infer.sources import CaptureSource, FrameSource, UploadSource
from service.messages import UPLOAD
from service.settings import Settings

MOST_RING_FRAMES = 500


def open_configured(
    camera: Camera, settings: Settings, feeder: Feeder, on_frame: Callable[[], object]
) -> FrameSource:
    """Open the camera's source; `on_frame` is called when it has a frame.

    Raises: RuntimeError: the camera's model isn't loaded.
    """
    config = camera.config
    if camera.model is None:
        raise RuntimeError("a source is opened after its model is loaded")
    bundle = camera.model.detector.bundle
    if config.source == UPLOAD:
        source = UploadSource(config.id, camera.next_frame, camera.outbox.discards.append)
        feeder.feed(source, bundle.frame_shape)
        return source
    job = CaptureJob(
        location=config.source,
        shape=bundle.frame_shape,
        fps=camera.target_fps,
        loop=config.loop,
        connect_timeout_s=settings.connect_timeout_s,
        read_timeout_s=settings.read_timeout_s,
        preview_width=settings.preview_width,
        preview_every_s=settings.quiet_picture_every_s,
        close_preview_every_s=settings.picture_every_s,
        transport=config.transport,
        decode=config.decode,
        freeze_after_s=settings.freeze_after_s,
    )
    capture = CameraCapture(job, ring_frames=_ring_frames(job.fps, settings), on_frame=on_frame)
    return CaptureSource(capture, camera.next_frame)


def _ring_frames(fps: float | None, settings: Settings) -> int:
    """Room for what comes until it is too old: what the ring drops is missing in what follows."""
    aging = math.ceil(2.0 * settings.max_frame_age_s * (fps or 0.0))
    return max(settings.capture_ring_frames, min(aging, MOST_RING_FRAMES))
