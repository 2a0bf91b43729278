"""Rows that tests begin with, and scores as a worker publishes them."""

from __future__ import annotations

from collections.abc import Iterable

from redis import Redis

from service.bus.leases import Leases
from service.bus.scores import OutgoingScore, PublishVerdict, Scores
from service.messages import FrameScore, StreamState
from service.store.database import Database
from service.store.tables import ReceiverRow, StreamRow

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
EPOCH = 1
THRESHOLD = 0.5


def add_stream(
    database: Database, stream_id: str = "cam", receiver_ids: list[str] | None = None
) -> None:
    """A registered stream."""
    row = StreamRow(
        id=stream_id,
        name=f"The {stream_id}",
        source="rtsp://user:secret@camera/1",
        model="small",
        receiver_ids=receiver_ids,
        created_at=1.0,
        revision=3,
        loop=False,
        paused=False,
    )
    with database.write() as session:
        session.add(row)


def add_receiver(
    database: Database,
    receiver_id: str = "hook",
    *,
    url: str = "http://receiver.test/",
    event_types: Iterable[str] = (),
    enabled: bool = True,
) -> None:
    """Register a webhook."""
    row = ReceiverRow(
        id=receiver_id,
        url=url,
        secret=SECRET,
        event_types=list(event_types),
        enabled=enabled,
        created_at=1.0,
    )
    with database.write() as session:
        session.add(row)


def frame_score(
    frame: int,
    score: float | None,
    *,
    threshold: float | None = THRESHOLD,
    at: float | None = None,
    epoch: int = EPOCH,
) -> FrameScore:
    """One frame's score; frames come ten a second unless `at` says when."""
    when = 1000.0 + frame / 10 if at is None else at
    return FrameScore(
        frame=frame,
        epoch=epoch,
        captured_at=when,
        scored_at=when,
        psnr=None if score is None else 30.0,
        distance=None if score is None else 0.1,
        gate_error=None if score is None else 0.01,
        score=score,
        threshold=threshold,
        memory_updated=True,
        state=StreamState.WARMING if score is None else StreamState.LIVE,
        region=None if score is None else (0.1, 0.2, 0.3, 0.4),
    )


class Worker:
    """Publishes scores as the owner of cameras."""

    def __init__(self, redis: Redis) -> None:
        self.redis = redis
        self._leases = Leases(redis, "worker", 600.0)
        self._scores = Scores(redis, 100_000)
        self._epochs: dict[str, int] = {}

    def publish(self, stream_id: str, scores: Iterable[FrameScore]) -> None:
        """Publish; every score must be accepted."""
        if stream_id not in self._epochs:
            epoch = self._leases.acquire(stream_id)
            if epoch is None:
                raise RuntimeError(f"{stream_id} has another owner")
            self._epochs[stream_id] = epoch
        epoch = self._epochs[stream_id]
        batch = [
            OutgoingScore(stream_id, score.model_copy(update={"epoch": epoch})) for score in scores
        ]
        verdicts = {answer.verdict for answer in self._scores.publish(batch)}
        if verdicts != {PublishVerdict.PUBLISHED}:
            raise RuntimeError(f"scores were refused: {verdicts}")
