"""Scores, snapshots and previews on their way to Redis, in a thread that may wait for it: a Redis
that is away stops no camera. What waits is bounded for each camera.
"""

from __future__ import annotations

import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from itertools import islice

import cv2
import numpy as np
import structlog
from numpy.typing import NDArray
from redis.exceptions import RedisError

from service.bus.registry import Preview, Registry
from service.bus.scores import Outgoing, Published, Scores, Verdict
from service.bus.uploads import QueuedFrame, Uploads
from service.messages import DropReason, FrameScore

log = structlog.stdlib.get_logger(__name__)

MAX_HELD = 2000
"""Scores of one camera that wait while Redis is away; the oldest goes first."""
MAX_ROUND = 256
"""Scores in one round trip."""
IDLE_S = 0.25
GATHER_S = 0.03
"""So long scores are gathered before they go: one round trip and one disk write for several."""
LONGEST_PAUSE_S = 2.0
SUSPENDED_S = 1.0


@dataclass(frozen=True, slots=True)
class Shown:
    """A picture to show, with the error by place."""

    jpeg: bytes
    heat: NDArray[np.float32] | None
    frame: int
    captured_at: float


@dataclass(slots=True)
class Outbox:
    """What one camera has to send. The worker fills it, the publisher empties it."""

    stream_id: str
    epoch: int
    waiting: deque[Outgoing] = field(default_factory=deque)
    discards: deque[QueuedFrame] = field(default_factory=deque)
    snapshot: bytes | None = None
    shown: Shown | None = None
    scored: int = 0
    dropped: Counter[DropReason] = field(default_factory=Counter)
    stale: bool = False
    suspended_until: float = float("-inf")
    """Monotonic: after a refusal nothing is sent until it is known whose the camera is."""
    lock: threading.Lock = field(default_factory=threading.Lock)

    def put(self, score: FrameScore, upload: QueuedFrame | None) -> None:
        """Add a score; makes room by dropping the oldest."""
        with self.lock:
            if self.stale:
                self.dropped[DropReason.STALE_OWNER] += 1
                return
            if len(self.waiting) >= MAX_HELD:
                self.waiting.popleft()
                self.dropped[DropReason.BACKLOG] += 1
            self.waiting.append(Outgoing(self.stream_id, score, upload))

    def take(self, count: int) -> list[Outgoing]:
        """Take the oldest out, with the epoch of now; nothing while it is suspended."""
        with self.lock:
            if self.suspended:
                return []
            taken = [self.waiting.popleft() for _ in range(min(count, len(self.waiting)))]
        return [
            out
            if out.score.epoch == self.epoch
            else Outgoing(
                out.stream_id, out.score.model_copy(update={"epoch": self.epoch}), out.upload
            )
            for out in taken
        ]

    @property
    def suspended(self) -> bool:
        """Whether its last score was refused, a moment ago."""
        return time.monotonic() < self.suspended_until

    def adopt(self, epoch: int) -> None:
        """The camera is ours under this epoch."""
        with self.lock:
            if epoch != self.epoch:
                self.epoch = epoch
                self.suspended_until = float("-inf")

    def put_back(self, taken: Sequence[Outgoing]) -> None:
        """They could not be sent."""
        with self.lock:
            if self.stale:
                self.dropped[DropReason.STALE_OWNER] += len(taken)
            else:
                self.waiting.extendleft(reversed(taken))

    def next_discard(self) -> QueuedFrame | None:
        """An upload that was given up, and still waits in Redis."""
        with self.lock:
            return self.discards[0] if self.discards else None

    def discarded(self, upload: QueuedFrame) -> None:
        """It waits no more."""
        with self.lock:
            if self.discards and self.discards[0] is upload:
                self.discards.popleft()

    def put_snapshot(self, data: bytes) -> None:
        """The newest state; an older one that waits is of no use."""
        with self.lock:
            self.snapshot = None if self.stale else data

    def sent_snapshot(self, data: bytes) -> None:
        """It is in Redis, or refused for good."""
        with self.lock:
            if self.snapshot is data:
                self.snapshot = None

    def shut(self) -> None:
        """The camera is another's: what waits is dropped, and counted."""
        with self.lock:
            self.stale = True
            self.dropped[DropReason.STALE_OWNER] += len(self.waiting)
            self.waiting.clear()
            self.discards.clear()
            self.snapshot = self.shown = None


class Publisher:
    """Empties outboxes. `flush` is called by one thread at a time."""

    def __init__(
        self,
        scores: Scores,
        uploads: Uploads,
        registry: Registry,
        *,
        on_stale: Callable[[], object],
    ) -> None:
        self._scores = scores
        self._uploads = uploads
        self._registry = registry
        self._on_stale = on_stale
        self._lock = threading.Lock()
        self._outboxes: dict[str, Outbox] = {}
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
        outbox.shut()

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
        for answer in answers:
            if answer.verdict is Verdict.PUBLISHED:
                outbox.scored += 1
                outbox.dropped[DropReason.BACKLOG] += answer.evicted
        refused = [
            out
            for out, answer in zip(taken, answers, strict=True)
            if answer.verdict is Verdict.STALE_OWNER
        ]
        if refused:
            # Another worker's camera, or a Redis without its data: the leases will tell.
            outbox.put_back(refused)
            outbox.suspended_until = time.monotonic() + SUSPENDED_S
            self._on_stale()

    def _send_rest(self, outbox: Outbox) -> None:
        while (given_up := outbox.next_discard()) is not None:
            self._uploads.discard(outbox.stream_id, given_up)
            outbox.discarded(given_up)
        snapshot = outbox.snapshot
        if snapshot is not None:
            self._registry.save_snapshot(outbox.stream_id, outbox.epoch, snapshot)
            outbox.sent_snapshot(snapshot)
        shown, outbox.shown = outbox.shown, None
        if shown is not None and not (outbox.stale or outbox.suspended):
            heat = b"" if shown.heat is None else heat_png(shown.heat)
            preview = Preview(shown.jpeg, heat, shown.frame, shown.captured_at)
            self._registry.put_preview(outbox.stream_id, preview)


def heat_png(heat: NDArray[np.float32]) -> bytes:
    """(rows, columns), 1 and more being strong, as an 8-bit grey PNG."""
    grey = np.round(np.clip(heat, 0.0, 1.0) * 255.0).astype(np.uint8)
    done, data = cv2.imencode(".png", grey)
    if not done:
        raise ValueError(f"cannot encode a heat map of shape {heat.shape}")
    return data.tobytes()
