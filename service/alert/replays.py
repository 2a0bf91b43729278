"""Sends messages again on request, with the same ids, after all messages that wait."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import ColumnElement, func, select, update
from sqlalchemy.orm import Session

from service.alert.outbox import DeliveryState, find_next_sequence
from service.store.tables import DeliveryRow, ReceiverRow

MAX_AT_ONCE = 1000


def lock_receiver(session: Session, receiver_id: str) -> ReceiverRow | None:
    """Lock the receiver until the transaction ends: replays and changes of it take turns.

    Messages may still be written for it meanwhile.
    """
    return session.get(ReceiverRow, receiver_id, with_for_update={"key_share": True})


def replay(session: Session, rows: Sequence[DeliveryRow], *, now: float) -> None:
    """Let messages of one receiver wait again with all attempts before them, in the order given.

    They come after what waits already, so that its order stays. The caller has locked the receiver,
    and none of the rows is waiting.
    """
    if not rows:
        return
    first = find_next_sequence(session, now, DeliveryRow.receiver_id == rows[0].receiver_id)
    values = [
        {
            "id": row.id,
            "sequence": first + place,
            "state": DeliveryState.WAITING.value,
            "attempts_before": row.attempts,
            "next_attempt_at": now,
            "replayed_at": now,
            "delivered_at": None,
        }
        for place, row in enumerate(rows)
    ]
    session.execute(update(DeliveryRow), values)


def replay_dead(session: Session, receiver_id: str, *, now: float, limit: int) -> int:
    """Replay the oldest dead letters of a receiver that the caller has locked; return how many."""
    query = (
        select(DeliveryRow)
        .where(*_match_dead(receiver_id))
        .order_by(DeliveryRow.sequence, DeliveryRow.id)
        .limit(limit)
        .with_for_update()
    )
    rows = session.scalars(query).all()
    replay(session, rows, now=now)
    return len(rows)


def count_dead(session: Session, receiver_id: str) -> int:
    return session.scalar(select(func.count()).where(*_match_dead(receiver_id))) or 0


def _match_dead(receiver_id: str) -> tuple[ColumnElement[bool], ColumnElement[bool]]:
    is_dead = DeliveryRow.state == DeliveryState.DEAD.value
    return DeliveryRow.receiver_id == receiver_id, is_dead
