"""Sends the pictures of events that the front end asks for, in a thread of its own."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from redis.exceptions import RedisError

from service.bus.footage import Footage, SentShot
from service.infer.publisher import heat_png
from service.infer.reel import Reel, Taken
from service.messages import Shot, WantedEvent

EVERY_S = 0.5
BATCH = 20
"""Pictures in one command: more would keep others waiting in Redis."""
PEAK_EVERY_ROUNDS = 2
"""A peak that rises with every frame is sent once a second."""


@dataclass(frozen=True, slots=True)
class Filmed:
    """A camera that this worker owns."""

    reel: Reel
    epoch: int


@dataclass(slots=True)
class _Sent:
    """What was sent of one event; the front end's word of it comes later."""

    frame: int = -1
    score: float | None = None
    peak_round: int = -PEAK_EVERY_ROUNDS


class FootageSender:
    """Answers what is asked of the cameras that `filmed` gives by their ids."""

    def __init__(self, footage: Footage, filmed: Callable[[], Mapping[str, Filmed]]) -> None:
        self._footage = footage
        self._filmed = filmed
        self._sent: dict[tuple[str, str], _Sent] = {}
        self._round = 0

    def run(self, stop: threading.Event) -> None:
        """Send until `stop` is set. Redis being away is no failure: clips become shorter."""
        while not stop.wait(EVERY_S):
            try:
                self.tick()
            except RedisError:  # the publisher says so in the log
                continue

    def tick(self) -> None:
        """One look at what is asked for. Raises: RedisError: Redis is away."""
        self._round += 1
        filmed = self._filmed()
        asked = self._footage.asked(list(filmed)) if filmed else {}
        wanted = {
            (stream_id, event.event_id): (event, footage.before_s)
            for stream_id, footage in asked.items()
            for event in footage.events
        }
        self._sent = {key: sent for key, sent in self._sent.items() if key in wanted}
        for key, (event, before_s) in wanted.items():
            sent = self._sent.setdefault(key, _Sent())
            self._send(key[0], filmed[key[0]], sent, event, before_s)

    def _send(
        self, stream_id: str, camera: Filmed, sent: _Sent, event: WantedEvent, before_s: float
    ) -> None:
        shots = list(self._peak(camera.reel, sent, event))
        if event.clip:
            after = max(event.after_frame, sent.frame)
            taken = camera.reel.footage(event.first_frame, before_s, after)
            shots += [_shot(event, each) for each in taken]
        for start in range(0, len(shots), BATCH):
            batch = shots[start : start + BATCH]
            count = self._footage.send(stream_id, camera.epoch, batch)
            for shot in batch[: max(0, count)]:
                if shot.meta.peak:
                    sent.score, sent.peak_round = shot.meta.score, self._round
                else:
                    sent.frame = shot.meta.frame
            if count < len(batch):
                return

    def _peak(self, reel: Reel, sent: _Sent, event: WantedEvent) -> Iterator[SentShot]:
        if self._round - sent.peak_round < PEAK_EVERY_ROUNDS:
            return
        known = [score for score in (event.peak_above, sent.score) if score is not None]
        best = reel.peak(event.first_frame, max(known, default=None))
        if best is not None:
            heat = b"" if best.heat is None else heat_png(best.heat)
            yield _shot(event, best, heat, peak=True)


def _shot(event: WantedEvent, taken: Taken, heat: bytes = b"", *, peak: bool = False) -> SentShot:
    meta = Shot(
        event_id=event.event_id,
        frame=taken.frame,
        captured_at=taken.captured_at,
        score=taken.score,
        peak=peak,
    )
    return SentShot(meta, taken.jpeg, heat)
