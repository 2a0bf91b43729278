"""What the recorder writes for one stream, all of it in one transaction."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Row, insert, update
from sqlalchemy.orm import Session

from model.events import Change, Detection, Event, EventEnded
from service.alert.outbox import EventData, EventType, enqueue, iso8601
from service.errors import StaleCursor
from service.messages import FrameScore
from service.record.events import to_json
from service.store.tables import CursorRow, EventRow, ScoreRow, StreamRow


@dataclass(frozen=True, slots=True)
class Position:
    """Where a stream's cursor stood when the work for this transaction began."""

    version: int | None
    """None: there is no cursor yet."""
    last_frame: int
    recorded_at: float
    detection: Detection
    told_at: float | None = None
    """When the stream's newest `event.started` message was made."""


@dataclass(frozen=True, slots=True)
class Recording:
    """New scores of a stream, and what follows from them."""

    stream: StreamRow
    position: Position
    scores: Sequence[FrameScore]
    """Above the cursor, rising."""
    detection: Detection
    changes: Sequence[Change]
    snapshot: bytes | None = None
    """JPEG for events that start."""
    cooldown_s: float = 0.0
    """Seconds after a message on a start in which nobody is told of events that start."""


def event_id(stream_id: str, first_frame: int) -> str:
    """The same for the same event, however often it is found."""
    return "evt_" + hashlib.sha256(f"{stream_id}:{first_frame}".encode()).hexdigest()[:24]


def store(session: Session, recording: Recording, now: float) -> int:
    """Write scores, events and messages, and move the cursor.

    Returns: how many events started that nobody is told of.
    Raises: StaleCursor: it was moved meanwhile; the transaction must be rolled back.
    """
    _move_cursor(session, recording, now)
    stream_id = recording.stream.id
    if recording.scores:
        rows = [_score_values(stream_id, score) for score in recording.scores]
        session.execute(insert(ScoreRow), rows)
    told_at, muted = recording.position.told_at, 0
    for change in recording.changes:
        if isinstance(change, EventEnded):
            _end(session, recording.stream, change.event, now)
        elif _is_cooling(told_at, recording.cooldown_s, now):
            muted += 1
            _start(session, recording, change.event, muted=True)
        else:
            _start(session, recording, change.event, muted=False)
            if _tell(session, recording.stream, EventType.STARTED, change.event, now):
                told_at = now
    if told_at != recording.position.told_at:
        cursor = update(CursorRow).where(CursorRow.stream_id == stream_id)
        session.execute(cursor.values(told_at=told_at))
    if recording.detection.told is not None:
        _update_event(session, stream_id, recording.detection.told, ended=False)
    return muted


def _is_cooling(told_at: float | None, cooldown_s: float, now: float) -> bool:
    # A clock that was set back must not mute a stream for as much longer.
    return told_at is not None and 0.0 <= now - told_at < cooldown_s


def _start(session: Session, recording: Recording, event: Event, *, muted: bool) -> None:
    row = _event_row(recording.stream.id, event, recording.snapshot)
    row.muted = muted
    session.add(row)
    session.flush()


def _end(session: Session, stream: StreamRow, event: Event, now: float) -> None:
    ended = _update_event(session, stream.id, event, ended=True)
    if ended is None or not ended.muted:
        label = None if ended is None else ended.label
        _tell(session, stream, EventType.ENDED, event, now, label=label)


def _move_cursor(session: Session, recording: Recording, now: float) -> None:
    stream_id, before = recording.stream.id, recording.position
    last_frame = recording.scores[-1].frame if recording.scores else before.last_frame
    recorded_at = now if recording.scores else before.recorded_at
    detection = to_json(recording.detection)
    if before.version is None:
        # Fails where another recorder has made one meanwhile.
        cursor = CursorRow(
            stream_id=stream_id,
            version=0,
            last_frame=last_frame,
            recorded_at=recorded_at,
            detection=detection,
        )
        session.add(cursor)
        session.flush()
        return
    moved = session.scalar(
        update(CursorRow)
        .where(CursorRow.stream_id == stream_id, CursorRow.version == before.version)
        .values(
            version=before.version + 1,
            last_frame=last_frame,
            recorded_at=recorded_at,
            detection=detection,
        )
        .returning(CursorRow.version)
    )
    if moved is None:
        raise StaleCursor(stream_id)


def _score_values(stream_id: str, score: FrameScore) -> dict[str, object]:
    return {
        "stream_id": stream_id,
        "frame": score.frame,
        "epoch": score.epoch,
        "captured_at": score.captured_at,
        "scored_at": score.scored_at,
        "psnr": score.psnr,
        "distance": score.distance,
        "gate_error": score.gate_error,
        "score": score.score,
        "threshold": score.threshold,
        "memory_updated": score.memory_updated,
        "state": score.state.value,
    }


def _event_row(stream_id: str, event: Event, snapshot: bytes | None) -> EventRow:
    return EventRow(
        id=event_id(stream_id, event.first_frame),
        stream_id=stream_id,
        started_at=event.started_at,
        first_frame=event.first_frame,
        last_frame=event.last_frame,
        peak_score=event.peak_score,
        peak_frame=event.peak_frame,
        threshold=event.threshold,
        region=_region(event),
        snapshot=snapshot,
    )


def _update_event(
    session: Session, stream_id: str, event: Event, *, ended: bool
) -> Row[bool, str | None] | None:
    """Whether it is muted, and how it was labelled; None: it isn't there any more."""
    return session.execute(
        update(EventRow)
        .where(EventRow.id == event_id(stream_id, event.first_frame))
        .values(
            last_frame=event.last_frame,
            peak_score=event.peak_score,
            peak_frame=event.peak_frame,
            region=_region(event),
            ended_at=event.last_at if ended else None,
        )
        .returning(EventRow.muted, EventRow.label)
    ).one_or_none()


def _tell(
    session: Session,
    stream: StreamRow,
    event_type: EventType,
    event: Event,
    now: float,
    *,
    label: str | None = None,
) -> int:
    """For how many webhooks there is a message."""
    ended = event_type is EventType.ENDED
    data = EventData(
        event_id=event_id(stream.id, event.first_frame),
        stream_id=stream.id,
        stream_name=stream.name,
        started_at=iso8601(event.started_at),
        ended_at=iso8601(event.last_at) if ended else None,
        first_frame=event.first_frame,
        last_frame=event.last_frame,
        peak_score=event.peak_score,
        peak_frame=event.peak_frame,
        threshold=event.threshold,
        region=event.region,
        label=label,
    )
    return enqueue(session, stream=stream, event_type=event_type, data=data, now=now)


def _region(event: Event) -> list[float] | None:
    return None if event.region is None else list(event.region)
