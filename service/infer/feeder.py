"""Reads uploaded frames from Redis ahead of their turn, and has them decoded by a few threads."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import cv2
import numpy as np
import structlog
from redis.exceptions import RedisError

from model.footage.source_pictures import encode_preview
from model.frames import FrameShape, fit
from service.bus.uploads import QueuedFrame, Uploads
from service.infer.camera_pictures import EARLY
from service.infer.upload_source import DecodedUpload, UploadSource
from service.timers import Timer

log = structlog.stdlib.get_logger(__name__)

DECODERS = 2
BLOCK_MS = 50
"""A read waits for new entries for so long: meanwhile another camera's room goes unnoticed."""
IDLE_S = 0.01
UNUSED_S = 0.5
"""How often `stop` is checked while no camera is of uploads."""
RETRY_S = 0.5


@dataclass(slots=True)
class _FedSource:
    source: UploadSource
    shape: FrameShape
    picture_every_s: float
    timer: Timer
    captured_at: float = float("-inf")
    """When the last picture was captured, as the client says."""

    def needs_picture(self, captured_at: float) -> bool:
        """Return whether a picture is to be made: it is time by this machine's clock or by the
        times of capture, since a video may be uploaded faster than it was filmed."""
        if not self.timer.is_due and abs(captured_at - self.captured_at) < self.picture_every_s:
            return False
        self.timer.restart()
        self.captured_at = captured_at
        return True


class Feeder:
    """Fills the upload sources of a worker. `run` is a thread; the rest is called by the worker."""

    def __init__(
        self,
        uploads: Uploads,
        *,
        preview_width: int,
        picture_every_s: float,
        on_frame: Callable[[], object],
    ) -> None:
        self._uploads = uploads
        self._preview_width = preview_width
        self._picture_every_s = EARLY * picture_every_s
        self._on_frame = on_frame
        self._lock = threading.Lock()
        self._fed: dict[str, _FedSource] = {}
        self._used = threading.Event()
        self._pool = ThreadPoolExecutor(DECODERS, "decode")

    def feed(self, source: UploadSource, shape: FrameShape) -> None:
        """Fill this source from now on, instead of an older one of the same stream."""
        with self._lock:
            self._fed[source.stream_id] = _FedSource(
                source, shape, self._picture_every_s, Timer(self._picture_every_s)
            )
            self._used.set()

    def run(self, stop: threading.Event) -> None:
        """Read until `stop` is set."""
        while not stop.is_set():
            if not self._used.wait(UNUSED_S):
                continue
            try:
                found = self.tick()
            except RedisError:  # the publisher says so in the log
                stop.wait(RETRY_S)
                continue
            if not found:
                stop.wait(IDLE_S)
        self._pool.shutdown(wait=False, cancel_futures=True)

    def tick(self) -> bool:
        """Read once from the queues that have room. Returns whether anything came.

        Raises: RedisError: Redis is away.
        """
        with self._lock:
            closed = [key for key, fed in self._fed.items() if fed.source.closed]
            for key in closed:
                del self._fed[key]
            if not self._fed:
                self._used.clear()
            hungry = {key: fed for key, fed in self._fed.items() if fed.source.room > 0}
        if not hungry:
            return False
        positions = {key: fed.source.position for key, fed in hungry.items()}
        most = min(fed.source.room for fed in hungry.values())
        found = self._uploads.wait(positions, most, BLOCK_MS)
        for key, frames in found.items():
            fed = hungry[key]
            for queued in frames:
                fed.source.position = queued.entry
                decoding = self._pool.submit(self._decode, fed, queued)
                fed.source.add(queued, decoding)
                decoding.add_done_callback(lambda _: self._on_frame())
        return bool(found)

    def _decode(self, fed: _FedSource, queued: QueuedFrame) -> DecodedUpload | None:
        """Decode and fit a picture; None where the bytes are no picture."""
        try:
            decoded = cv2.imdecode(np.frombuffer(queued.image, np.uint8), cv2.IMREAD_COLOR)
            if decoded is None:
                return None
            picture = np.asarray(decoded, np.uint8)
            preview = None
            if fed.needs_picture(queued.meta.captured_at):
                preview = encode_preview(picture, self._preview_width)
            return DecodedUpload(fit(picture, fed.shape), preview)
        except (cv2.error, ValueError):
            log.warning("an uploaded picture can't be decoded", stream=fed.source.stream_id)
            return None
