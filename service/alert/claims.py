"""Operations on waiting messages, each one transaction: find, claim, settle, clear.

Several front ends may do so at once: a claim compares and raises `attempts`, and only the front end
that raised it to its present number may settle the message.
"""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import ColumnElement, Select, bindparam, delete, func, insert, or_, select, update
from sqlalchemy.orm import Session

from service.alert.attempts import Attempt, Message, Receiver, ReceiverKind
from service.alert.outbox import DeliveryState
from service.store.tables import AttemptRow, DeliveryRow, EventRow, ReceiverRow

KEEP_FINISHED_S = 30 * 86_400.0
KEEP_FINISHED_ROWS = 100_000
KEEP_ATTEMPTS = 20
"""How many attempts of a message are kept, the newest."""
MAX_WAIT_S = 3 * 86_400.0
"""A message that couldn't be delivered for this long is given up, even if others held it up."""
CLEAR_ROWS = 500
"""Rows that one call deletes at most, so that it never locks the database for long."""
CUT_OFF = "it is under way, or was cut off"
"""The error of an attempt until its end is written."""

_WAITING = DeliveryState.WAITING.value
_ATTEMPT_COLUMNS = ("at", "took_s", "status", "answer", "error")
_DELIVERIES = DeliveryRow.__table__.c
_ANY_DUE = (
    select(_DELIVERIES.id)
    .where(_DELIVERIES.state == _WAITING, _DELIVERIES.next_attempt_at <= bindparam("now"))
    .limit(1)
)


@dataclass(frozen=True, slots=True)
class Claim:
    """A message that this front end, and no other, sends now."""

    message: Message
    receiver_id: str
    attempts: int
    """Including this one, from 1; no two claims of a message have the same number."""
    recent_attempts: int
    """The attempts since it was written or replayed."""
    attempt_id: int
    """The row of this attempt."""


def find_due_receivers(session: Session, now: float) -> list[str]:
    # This runs several times a second, and mostly there is none.
    if session.connection().execute(_ANY_DUE, {"now": now}).first() is None:
        return []
    return list(
        session.scalars(
            _select_due_heads(now).with_only_columns(DeliveryRow.receiver_id).distinct()
        )
    )


def claim(
    session: Session, receiver_id: str, *, now: float, hold_s: float, max_attempts: int
) -> Claim | None:
    """Claim the receiver's oldest due message for `hold_s`; unsettled, it is due again after that.

    A message whose last attempt never ended, because the process was killed, is given up here.
    """
    query = _select_due_heads(now).where(DeliveryRow.receiver_id == receiver_id)
    for row, receiver in session.execute(query.order_by(DeliveryRow.sequence)).all():
        recent = row.attempts - row.attempts_before
        exhausted = recent >= max_attempts
        values = (
            {"state": DeliveryState.DEAD.value, "last_error": "the last attempt was cut off"}
            if exhausted
            else {"attempts": row.attempts + 1, "next_attempt_at": now + hold_s}
        )
        claimed = session.scalar(
            update(DeliveryRow)
            .where(
                DeliveryRow.id == row.id,
                DeliveryRow.state == _WAITING,
                DeliveryRow.attempts == row.attempts,
            )
            .values(values)
            .returning(DeliveryRow.id)
            .execution_options(synchronize_session=False)
        )
        if claimed is not None and not exhausted:
            return Claim(
                message=_make_message(session, row, receiver, now),
                receiver_id=receiver_id,
                attempts=row.attempts + 1,
                recent_attempts=recent + 1,
                attempt_id=_begin_attempt(session, row, now),
            )
    return None


def settle_delivery(session: Session, claimed: Claim, attempt: Attempt, *, now: float) -> bool:
    """Mark it delivered. Returns: False if another front end has claimed it since."""
    return _settle(session, claimed, attempt, state=DeliveryState.DELIVERED.value, delivered_at=now)


def settle_retry(session: Session, claimed: Claim, attempt: Attempt, *, at: float) -> bool:
    return _settle(session, claimed, attempt, next_attempt_at=at)


def settle_dead(session: Session, claimed: Claim, attempt: Attempt) -> bool:
    return _settle(session, claimed, attempt, state=DeliveryState.DEAD.value)


def hold_receiver(session: Session, claimed: Claim, until: float) -> None:
    """Send the receiver nothing before then."""
    session.execute(update(ReceiverRow).where(*_match_receiver(claimed)).values(held_until=until))


def disable_receiver(session: Session, claimed: Claim, reason: str) -> bool:
    """Switch the receiver off. Returns: False if its URL has been changed since the claim."""
    disabled = session.scalar(
        update(ReceiverRow)
        .where(*_match_receiver(claimed))
        .values(enabled=False, disabled_reason=reason)
        .returning(ReceiverRow.id)
    )
    return disabled is not None


def give_up_all(session: Session, receiver_id: str, reason: str) -> None:
    """Turn all messages that wait for the receiver into dead letters."""
    session.execute(
        update(DeliveryRow)
        .where(DeliveryRow.receiver_id == receiver_id, DeliveryRow.state == _WAITING)
        .values(state=DeliveryState.DEAD.value, last_error=reason)
    )


def clear(session: Session, now: float) -> int:
    """Give up what waited too long, delete finished messages that are old or too many, and delete
    old secrets that have expired.

    Returns: messages deleted; `CLEAR_ROWS` means that there may be more.
    """
    session.execute(
        update(ReceiverRow)
        .where(ReceiverRow.old_secret_until <= now)
        .values(old_secret=None, old_secret_until=None)
    )
    waits_since = func.coalesce(DeliveryRow.replayed_at, DeliveryRow.created_at)
    session.execute(
        update(DeliveryRow)
        .where(DeliveryRow.state == _WAITING, waits_since < now - MAX_WAIT_S)
        .values(state=DeliveryState.DEAD.value, last_error="it waited too long")
    )
    finished = DeliveryRow.state != _WAITING
    excess = (session.scalar(select(func.count()).where(finished)) or 0) - KEEP_FINISHED_ROWS
    oldest = select(DeliveryRow.id).where(finished).order_by(DeliveryRow.created_at)
    if excess <= 0:
        oldest = oldest.where(DeliveryRow.created_at < now - KEEP_FINISHED_S)
    limit = min(excess, CLEAR_ROWS) if excess > 0 else CLEAR_ROWS
    doomed = list(session.scalars(oldest.limit(limit)))
    if doomed:
        session.execute(delete(DeliveryRow).where(DeliveryRow.id.in_(doomed)))
    return len(doomed)


def count(session: Session) -> dict[DeliveryState, int]:
    """Count the messages that wait, and those that were given up."""
    states = (DeliveryState.WAITING, DeliveryState.DEAD)
    query = (
        select(DeliveryRow.state, func.count())
        .where(DeliveryRow.state.in_([state.value for state in states]))
        .group_by(DeliveryRow.state)
    )
    found = {DeliveryState(state): number for state, number in session.execute(query)}
    return {state: found.get(state, 0) for state in states}


def _select_due_heads(now: float) -> Select[DeliveryRow, ReceiverRow]:
    """Select due messages that are the oldest waiting one of their receiver and stream."""
    heads = (
        select(
            DeliveryRow.receiver_id,
            DeliveryRow.stream_id,
            func.min(DeliveryRow.sequence).label("sequence"),
        )
        .where(DeliveryRow.state == _WAITING)
        .group_by(DeliveryRow.receiver_id, DeliveryRow.stream_id)
        .subquery()
    )
    return (
        select(DeliveryRow, ReceiverRow)
        .join(
            heads,
            (heads.c.receiver_id == DeliveryRow.receiver_id)
            & (heads.c.stream_id == DeliveryRow.stream_id)
            & (heads.c.sequence == DeliveryRow.sequence),
        )
        .join(ReceiverRow, ReceiverRow.id == DeliveryRow.receiver_id)
        .where(
            DeliveryRow.state == _WAITING,
            DeliveryRow.next_attempt_at <= now,
            ReceiverRow.enabled,
            or_(ReceiverRow.held_until.is_(None), ReceiverRow.held_until <= now),
        )
    )


def _match_receiver(claimed: Claim) -> tuple[ColumnElement[bool], ColumnElement[bool]]:
    return ReceiverRow.id == claimed.receiver_id, ReceiverRow.url == claimed.message.receiver.url


def make_receiver(row: ReceiverRow, now: float) -> Receiver:
    """Make what senders need to know, with the old secret while it still signs."""
    until = row.old_secret_until
    return Receiver(
        id=row.id,
        kind=ReceiverKind(row.kind),
        url=row.url,
        secret=row.secret,
        old_secret=row.old_secret if until is not None and now < until else None,
    )


def _make_message(session: Session, row: DeliveryRow, receiver: ReceiverRow, now: float) -> Message:
    made = make_receiver(receiver, now)
    picture = None
    if made.kind is not ReceiverKind.WEBHOOK and row.event_id is not None:
        picture = session.scalar(select(EventRow.picture).where(EventRow.id == row.event_id))
    return Message(
        id=row.id,
        body=row.body,
        receiver=made,
        stream_id=row.stream_id,
        picture=picture,
        is_replay=row.replayed_at is not None,
    )


def _begin_attempt(session: Session, row: DeliveryRow, now: float) -> int:
    """Write that an attempt began, before it can be cut off, and delete the oldest attempts."""
    values = {"delivery_id": row.id, "at": now, "took_s": 0.0, "error": CUT_OFF}
    ident = session.execute(insert(AttemptRow).values(values).returning(AttemptRow.id)).scalar_one()
    if row.attempts >= KEEP_ATTEMPTS:
        of_row = AttemptRow.delivery_id == row.id
        newest = select(AttemptRow.id).where(of_row).order_by(AttemptRow.id.desc())
        last_kept = session.scalar(newest.offset(KEEP_ATTEMPTS - 1).limit(1))
        session.execute(delete(AttemptRow).where(of_row, AttemptRow.id < last_kept))
    return ident


def _settle(session: Session, claimed: Claim, attempt: Attempt, **values: object) -> bool:
    columns = {name: getattr(attempt, name) for name in _ATTEMPT_COLUMNS}
    session.execute(update(AttemptRow).where(AttemptRow.id == claimed.attempt_id).values(columns))
    settled = session.scalar(
        update(DeliveryRow)
        .where(
            DeliveryRow.id == claimed.message.id,
            DeliveryRow.state == _WAITING,
            DeliveryRow.attempts == claimed.attempts,
        )
        .values(last_status=attempt.status, last_error=attempt.error, **values)
        .returning(DeliveryRow.id)
    )
    return settled is not None
