"""Sends what cameras have for Redis, in a thread of its own, so that a Redis that is away stops no
camera. What waits is bounded for each camera.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Sequence
from itertools import islice

import cv2
import numpy as np
import structlog
from numpy.typing import NDArray
from redis.exceptions import RedisError

from service.bus.log_entries import Notes
from service.bus.registry import Preview, Registry
from service.bus.scores import OutgoingScore, PublishResult, PublishVerdict, Scores
from service.bus.uploads import Uploads
from service.infer.camera_outbox import CameraOutbox, LostCounts
from service.timers import compute_backoff_s

log = structlog.stdlib.get_logger(__name__)

MAX_ROUND = 256
"""Scores in one round trip."""
IDLE_S = 0.25
GATHER_S = 0.15
"""Scores are gathered for so long before they go: one round trip and one disk write for several."""
URGENT_S = 0.03
"""Where one of them reaches its threshold, they are gathered for so long: it may be an alert."""
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.5, 2.0
"""Between attempts while Redis is away."""


class ResultPublisher:
    """Empties outboxes. `flush` is called by one thread at a time."""

    def __init__(
        self,
        scores: Scores,
        uploads: Uploads,
        registry: Registry,
        notes: Notes,
        *,
        on_stale: Callable[[], object],
    ) -> None:
        self._scores = scores
        self._uploads = uploads
        self._registry = registry
        self._notes = notes
        self._on_stale = on_stale
        self._lock = threading.Lock()
        self._outboxes: dict[str, CameraOutbox] = {}
        self._past = LostCounts()
        self._work = threading.Event()
        self._urgent = threading.Event()

    def open(self, stream_id: str, epoch: int) -> CameraOutbox:
        outbox = CameraOutbox(stream_id, epoch, urgent=self._urgent)
        with self._lock:
            self._outboxes[stream_id] = outbox
        return outbox

    def remove(self, outbox: CameraOutbox) -> None:
        """Close an outbox, and send nothing more of it."""
        with self._lock:
            if self._outboxes.get(outbox.stream_id) is outbox:
                del self._outboxes[outbox.stream_id]
                self._past += outbox.lost
        outbox.close()

    @property
    def lost(self) -> LostCounts:
        """Return how much was given up so far, over all cameras."""
        with self._lock:
            return sum((outbox.lost for outbox in self._outboxes.values()), self._past)

    def notify(self) -> None:
        """Wake the sending thread: there is something to send."""
        self._work.set()

    def run(self, stop: threading.Event, on_tick: Callable[[], object]) -> None:
        """Send until `stop` is set; `on_tick` is called between, several times a second.

        Redis being away is no failure: what waits is sent when it is back.
        """
        failures = 0
        while not stop.is_set():
            if self._work.wait(IDLE_S):
                self._gather(stop)
            try:
                self.flush()
                on_tick()
                failures = 0
            except RedisError as error:
                failures += 1
                if failures == 1:
                    log.error("Redis is away; scores wait", error=type(error).__name__)
                pause_s = compute_backoff_s(
                    failures, first_s=FIRST_PAUSE_S, longest_s=LONGEST_PAUSE_S
                )
                stop.wait(pause_s)

    def _gather(self, stop: threading.Event) -> None:
        """Wait for more scores to send together, but not long once one of them is urgent."""
        if self._urgent.wait(GATHER_S):
            stop.wait(URGENT_S)
        # Cleared before the outboxes are emptied: what is put later has its own round.
        self._urgent.clear()
        self._work.clear()

    def flush(self) -> None:
        """Send all that waits. Raises: RedisError: it waits on."""
        with self._lock:
            outboxes = list(self._outboxes.values())
        while self._send_scores(outboxes):
            pass
        for outbox in outboxes:
            self._send_rest(outbox)

    def _send_scores(self, outboxes: Iterable[CameraOutbox]) -> bool:
        batch: list[tuple[CameraOutbox, list[OutgoingScore]]] = []
        room = MAX_ROUND
        for outbox in outboxes:
            taken = outbox.take(room)
            if taken:
                room -= len(taken)
                batch.append((outbox, taken))
            if not room:
                break
        if not batch:
            return False
        try:
            answers = iter(self._scores.publish([out for _, pending in batch for out in pending]))
        except RedisError:
            for outbox, pending in batch:
                outbox.put_back(pending)
            raise
        for outbox, pending in batch:
            self._settle(outbox, pending, list(islice(answers, len(pending))))
        return True

    def _settle(
        self, outbox: CameraOutbox, taken: Sequence[OutgoingScore], answers: Sequence[PublishResult]
    ) -> None:
        pairs = list(zip(taken, answers, strict=True))
        outbox.settle([a for _, a in pairs if a.verdict is not PublishVerdict.STALE_OWNER])
        refused = [out for out, a in pairs if a.verdict is PublishVerdict.STALE_OWNER]
        if refused:
            # Another worker's camera, or a Redis without its data: renewing the leases finds out.
            outbox.put_back(refused)
            outbox.suspend()
            self._on_stale()

    def _send_rest(self, outbox: CameraOutbox) -> None:
        while (given_up := outbox.next_discard()) is not None:
            self._uploads.discard(outbox.stream_id, given_up)
            outbox.remove_discard(given_up)
        while (note := outbox.next_note()) is not None:
            if self._notes.publish(outbox.stream_id, note):
                outbox.remove_note(note)
            else:
                outbox.suspend()
                self._on_stale()
        snapshot = outbox.snapshot
        if snapshot is not None:
            self._registry.save_snapshot(outbox.stream_id, outbox.epoch, snapshot)
            outbox.remove_snapshot(snapshot)
        picture = None if outbox.is_suspended else outbox.take_preview()
        if picture is not None:
            heat = b"" if picture.heat is None else encode_heat_map(picture.heat)
            preview = Preview(picture.jpeg, heat, picture.frame, picture.captured_at)
            self._registry.put_preview(outbox.stream_id, preview, outbox.epoch)


def encode_heat_map(heat: NDArray[np.float32]) -> bytes:
    """Encode a map of errors by place as an 8-bit grey PNG.

    Args: heat: shape (rows, columns), from 0; 1 and more are strong.
    """
    grey = np.round(np.clip(heat, 0.0, 1.0) * 255.0).astype(np.uint8)
    done, data = cv2.imencode(".png", grey)
    if not done:
        raise ValueError(f"cannot encode a heat map of shape {heat.shape}")
    return data.tobytes()
