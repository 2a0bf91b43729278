"""Sends the pictures of events that the front end requests, in a thread of its own."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from redis.exceptions import RedisError

from service.bus.picture_requests import SentShot, Shots
from service.infer.reel import Reel, ReelPicture
from service.infer.result_publisher import encode_heat_map
from service.messages import RequestedEvent, Shot

EVERY_S = 0.5
BATCH = 20
"""Pictures in one command: with more, other commands would wait in Redis."""
PEAK_EVERY_ROUNDS = 2
"""A peak that rises with every frame is sent once a second."""


@dataclass(frozen=True, slots=True)
class OwnedReel:
    """The pictures of a camera that this worker owns."""

    reel: Reel
    epoch: int


@dataclass(slots=True)
class _SentState:
    """The pictures sent for one event; the front end confirms them in a later request."""

    frame: int = -1
    score: float | None = None
    peak_round: int = -PEAK_EVERY_ROUNDS


class ShotSender:
    """Answers requests for pictures of the cameras that `find_reels` returns by their ids."""

    def __init__(self, shots: Shots, find_reels: Callable[[], Mapping[str, OwnedReel]]) -> None:
        self._shots = shots
        self._find_reels = find_reels
        self._sent: dict[tuple[str, str], _SentState] = {}
        self._round = 0

    def run(self, stop: threading.Event) -> None:
        """Send until `stop` is set. Redis being away is no failure: clips become shorter."""
        while not stop.wait(EVERY_S):
            try:
                self.tick()
            except RedisError:  # the publisher says so in the log
                continue

    def tick(self) -> None:
        """Answer the requests once. Raises: RedisError: Redis is away."""
        self._round += 1
        reels = self._find_reels()
        requests = self._shots.read_requests(list(reels)) if reels else {}
        requested = {
            (stream_id, event.event_id): (event, request.before_s)
            for stream_id, request in requests.items()
            for event in request.events
        }
        self._sent = {key: sent for key, sent in self._sent.items() if key in requested}
        for key, (event, before_s) in requested.items():
            sent = self._sent.setdefault(key, _SentState())
            self._send(key[0], reels[key[0]], sent, event, before_s)

    def _send(
        self,
        stream_id: str,
        camera: OwnedReel,
        sent: _SentState,
        event: RequestedEvent,
        before_s: float,
    ) -> None:
        shots = list(self._find_peak(camera.reel, sent, event))
        if event.clip:
            after = max(event.after_frame, sent.frame)
            clip = camera.reel.select_clip(event.first_frame, before_s, after)
            shots += [_build_shot(event, each) for each in clip]
        for start in range(0, len(shots), BATCH):
            batch = shots[start : start + BATCH]
            count = self._shots.send(stream_id, camera.epoch, batch)
            for shot in batch[: max(0, count)]:
                if shot.meta.peak:
                    sent.score, sent.peak_round = shot.meta.score, self._round
                else:
                    sent.frame = shot.meta.frame
            if count < len(batch):
                return

    def _find_peak(self, reel: Reel, sent: _SentState, event: RequestedEvent) -> Iterator[SentShot]:
        if self._round - sent.peak_round < PEAK_EVERY_ROUNDS:
            return
        known = [score for score in (event.peak_above, sent.score) if score is not None]
        best = reel.find_peak(event.first_frame, max(known, default=None))
        if best is not None:
            heat = b"" if best.heat is None else encode_heat_map(best.heat)
            yield _build_shot(event, best, heat, peak=True)


def _build_shot(
    event: RequestedEvent, picture: ReelPicture, heat: bytes = b"", *, peak: bool = False
) -> SentShot:
    meta = Shot(
        event_id=event.event_id,
        frame=picture.frame,
        captured_at=picture.captured_at,
        score=picture.score,
        peak=peak,
    )
    return SentShot(meta, picture.jpeg, heat)
