"""Sends what cameras have for Redis, in a thread that may wait for it: a Redis that is away stops
no camera. What waits is bounded for each camera.
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

from service.bus.notes import Notes
from service.bus.registry import Preview, Registry
from service.bus.scores import Outgoing, Published, Scores, Verdict
from service.bus.uploads import Uploads
from service.infer.outbox import Lost, Outbox

log = structlog.stdlib.get_logger(__name__)

MAX_ROUND = 256
"""Scores in one round trip."""
IDLE_S = 0.25
GATHER_S = 0.03
"""So long scores are gathered before they go: one round trip and one disk write for several."""
LONGEST_PAUSE_S = 2.0


class Publisher:
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
        self._outboxes: dict[str, Outbox] = {}
        self._past = Lost()
        self._work = threading.Event()

    def open(self, stream_id: str, epoch: int) -> Outbox:
        """An outbox for a camera."""
        outbox = Outbox(stream_id, epoch)
        with self._lock:
            self._outboxes[stream_id] = outbox
        return outbox

    def remove(self, outbox: Outbox) -> None:
        """Send nothing more of it."""
        with self._lock:
            if self._outboxes.get(outbox.stream_id) is outbox:
                del self._outboxes[outbox.stream_id]
                self._past += outbox.lost
        outbox.shut()

    @property
    def lost(self) -> Lost:
        """What was given up so far, of all cameras."""
        with self._lock:
            return sum((outbox.lost for outbox in self._outboxes.values()), self._past)

    def notify(self) -> None:
        """There is something to send."""
        self._work.set()

    def run(self, stop: threading.Event, on_tick: Callable[[], object]) -> None:
        """Send until `stop` is set; `on_tick` is called between, several times a second.

        Redis being away is no failure: what waits is sent when it is back.
        """
        failures = 0
        while not stop.is_set():
            if self._work.wait(IDLE_S):
                stop.wait(GATHER_S)
            self._work.clear()
            try:
                self.flush()
                on_tick()
                failures = 0
            except RedisError as error:
                failures += 1
                if failures == 1:
                    log.error("Redis is away; scores wait", error=type(error).__name__)
                stop.wait(min(LONGEST_PAUSE_S, IDLE_S * 2.0 ** min(failures, 5)))

    def flush(self) -> None:
        """Send all that waits. Raises: RedisError: it waits on."""
        with self._lock:
            outboxes = list(self._outboxes.values())
        while self._send_scores(outboxes):
            pass
        for outbox in outboxes:
            self._send_rest(outbox)

    def _send_scores(self, outboxes: Iterable[Outbox]) -> bool:
        batch: list[tuple[Outbox, list[Outgoing]]] = []
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
            answers = iter(self._scores.publish([out for _, taken in batch for out in taken]))
        except RedisError:
            for outbox, taken in batch:
                outbox.put_back(taken)
            raise
        for outbox, taken in batch:
            self._settle(outbox, taken, list(islice(answers, len(taken))))
        return True

    def _settle(
        self, outbox: Outbox, taken: Sequence[Outgoing], answers: Sequence[Published]
    ) -> None:
        pairs = list(zip(taken, answers, strict=True))
        outbox.settle([a for _, a in pairs if a.verdict is not Verdict.STALE_OWNER])
        refused = [out for out, a in pairs if a.verdict is Verdict.STALE_OWNER]
        if refused:
            # Another worker's camera, or a Redis without its data: the leases will tell.
            outbox.put_back(refused)
            outbox.refuse_for_a_moment()
            self._on_stale()

    def _send_rest(self, outbox: Outbox) -> None:
        while (given_up := outbox.next_discard()) is not None:
            self._uploads.discard(outbox.stream_id, given_up)
            outbox.discarded(given_up)
        while (note := outbox.next_note()) is not None:
            if self._notes.publish(outbox.stream_id, note):
                outbox.noted(note)
            else:
                outbox.refuse_for_a_moment()
                self._on_stale()
        snapshot = outbox.snapshot
        if snapshot is not None:
            self._registry.save_snapshot(outbox.stream_id, outbox.epoch, snapshot)
            outbox.sent_snapshot(snapshot)
        shown = None if outbox.suspended else outbox.take_shown()
        if shown is not None:
            heat = b"" if shown.heat is None else heat_png(shown.heat)
            preview = Preview(shown.jpeg, heat, shown.frame, shown.captured_at)
            self._registry.put_preview(outbox.stream_id, preview, outbox.epoch)


def heat_png(heat: NDArray[np.float32]) -> bytes:
    """(rows, columns), 1 and more being strong, as an 8-bit grey PNG."""
    grey = np.round(np.clip(heat, 0.0, 1.0) * 255.0).astype(np.uint8)
    done, data = cv2.imencode(".png", grey)
    if not done:
        raise ValueError(f"cannot encode a heat map of shape {heat.shape}")
    return data.tobytes()
