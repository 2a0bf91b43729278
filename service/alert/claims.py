"""Operations on waiting messages, each one transaction: find, claim, settle, clear away.

Several front ends may do so at once: a claim compares and raises `attempts`, and only who raised it
to the present number may settle the message.
"""

from __future__ import annotations

import json
from dataclasses import dataclass

from sqlalchemy import ColumnElement, Select, delete, func, insert, or_, select, update
from sqlalchemy.orm import Session

from service.alert.attempts import Attempt, Message, Receiver, Way
from service.alert.outbox import DeliveryState
from service.store.tables import AttemptRow, DeliveryRow, EventRow, WebhookRow

KEEP_FINISHED_S = 30 * 86_400.0
KEEP_FINISHED_ROWS = 100_000
KEEP_ATTEMPTS = 20
"""The newest of a message."""
MAX_WAIT_S = 3 * 86_400.0
"""A message that couldn't be delivered for this long, behind others or not, is given up."""
CLEAR_ROWS = 500
"""Rows that one turn of clearing deletes at most, so that it never holds the database for long."""
CUT_OFF = "it is under way, or was cut off"
"""What an attempt says until its end is written."""

_WAITING = DeliveryState.WAITING.value


@dataclass(frozen=True, slots=True)
class Claim:
    """A message that is this front end's to send now."""

    message: Message
    webhook_id: str
    attempts: int
    """With the one that was claimed, from 1; no two claims of a message have the same."""
    recent_attempts: int
    """Those of them since it was written, or replayed."""
    attempt_id: int
    """The row that tells of this one."""


def due_webhooks(session: Session, now: float) -> list[str]:
    """Webhooks that have a message to send now."""
    return list(
        session.scalars(_due_heads(now).with_only_columns(DeliveryRow.webhook_id).distinct())
    )


def claim(
    session: Session, webhook_id: str, *, now: float, hold_s: float, max_attempts: int
) -> Claim | None:
    """Take the webhook's oldest due message for `hold_s`; it is due again after that if unsettled.

    A message whose last attempt never came to an end (the process was killed) is given up here.
    """
    query = _due_heads(now).where(DeliveryRow.webhook_id == webhook_id)
    for row, webhook in session.execute(query.order_by(DeliveryRow.sequence)).all():
        recent = row.attempts - row.attempts_before
        exhausted = recent >= max_attempts
        values = (
            {"state": DeliveryState.DEAD.value, "last_error": "the last attempt was cut off"}
            if exhausted
            else {"attempts": row.attempts + 1, "next_attempt_at": now + hold_s}
        )
        taken = session.scalar(
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
        if taken is not None and not exhausted:
            return Claim(
                message=_message(session, row, webhook, now),
                webhook_id=webhook_id,
                attempts=row.attempts + 1,
                recent_attempts=recent + 1,
                attempt_id=_begin_attempt(session, row, now),
            )
    return None


def settle_delivered(session: Session, claimed: Claim, attempt: Attempt, *, now: float) -> bool:
    """The receiver has it. False where the message is somebody else's by now."""
    return _settle(session, claimed, attempt, state=DeliveryState.DELIVERED.value, delivered_at=now)


def settle_retry(session: Session, claimed: Claim, attempt: Attempt, *, at: float) -> bool:
    """It is tried again at that time."""
    return _settle(session, claimed, attempt, next_attempt_at=at)


def settle_dead(session: Session, claimed: Claim, attempt: Attempt) -> bool:
    """It is given up."""
    return _settle(session, claimed, attempt, state=DeliveryState.DEAD.value)


def hold_webhook(session: Session, claimed: Claim, until: float) -> None:
    """Send the receiver nothing before then."""
    session.execute(update(WebhookRow).where(*_same_receiver(claimed)).values(held_until=until))


def disable_webhook(session: Session, claimed: Claim, reason: str) -> bool:
    """The receiver wants nothing any more. False where the webhook has another one by now."""
    disabled = session.scalar(
        update(WebhookRow)
        .where(*_same_receiver(claimed))
        .values(enabled=False, disabled_reason=reason)
        .returning(WebhookRow.id)
    )
    return disabled is not None


def give_up_all(session: Session, webhook_id: str, reason: str) -> None:
    """All that waits for the webhook becomes dead letters."""
    session.execute(
        update(DeliveryRow)
        .where(DeliveryRow.webhook_id == webhook_id, DeliveryRow.state == _WAITING)
        .values(state=DeliveryState.DEAD.value, last_error=reason)
    )


def clear(session: Session, now: float) -> int:
    """Give up what waited too long, delete finished messages that are old or too many, and forget
    secrets whose time is over.

    Returns: messages deleted; `CLEAR_ROWS` means that there may be more.
    """
    session.execute(
        update(WebhookRow)
        .where(WebhookRow.old_secret_until <= now)
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
    """Messages that wait, and those that were given up."""
    states = (DeliveryState.WAITING, DeliveryState.DEAD)
    query = (
        select(DeliveryRow.state, func.count())
        .where(DeliveryRow.state.in_([state.value for state in states]))
        .group_by(DeliveryRow.state)
    )
    found = {DeliveryState(state): number for state, number in session.execute(query)}
    return {state: found.get(state, 0) for state in states}


def _due_heads(now: float) -> Select[DeliveryRow, WebhookRow]:
    """Due messages that are the oldest waiting one of their webhook and stream."""
    heads = (
        select(
            DeliveryRow.webhook_id,
            DeliveryRow.stream_id,
            func.min(DeliveryRow.sequence).label("sequence"),
        )
        .where(DeliveryRow.state == _WAITING)
        .group_by(DeliveryRow.webhook_id, DeliveryRow.stream_id)
        .subquery()
    )
    return (
        select(DeliveryRow, WebhookRow)
        .join(
            heads,
            (heads.c.webhook_id == DeliveryRow.webhook_id)
            & (heads.c.stream_id == DeliveryRow.stream_id)
            & (heads.c.sequence == DeliveryRow.sequence),
        )
        .join(WebhookRow, WebhookRow.id == DeliveryRow.webhook_id)
        .where(
            DeliveryRow.state == _WAITING,
            DeliveryRow.next_attempt_at <= now,
            WebhookRow.enabled,
            or_(WebhookRow.held_until.is_(None), WebhookRow.held_until <= now),
        )
    )


def _same_receiver(claimed: Claim) -> tuple[ColumnElement[bool], ColumnElement[bool]]:
    return WebhookRow.id == claimed.webhook_id, WebhookRow.url == claimed.message.receiver.url


def receiver_of(webhook: WebhookRow, now: float) -> Receiver:
    """Where its messages go now; with the secret before the present one while it signs, too."""
    until = webhook.old_secret_until
    return Receiver(
        id=webhook.id,
        way=Way(webhook.way),
        url=webhook.url,
        secret=webhook.secret,
        old_secret=webhook.old_secret if until is not None and now < until else None,
    )


def _message(session: Session, row: DeliveryRow, webhook: WebhookRow, now: float) -> Message:
    receiver = receiver_of(webhook, now)
    picture = None if receiver.way is Way.WEBHOOK else _picture(session, row)
    return Message(row.id, row.body, receiver, row.stream_id, picture)


def _picture(session: Session, row: DeliveryRow) -> bytes | None:
    """Of the event that the message tells of."""
    event_id = json.loads(row.body)["data"].get("event_id")
    return event_id and session.scalar(select(EventRow.snapshot).where(EventRow.id == event_id))


def _begin_attempt(session: Session, row: DeliveryRow, now: float) -> int:
    """Write that an attempt began, before it can be cut off; only the newest are kept."""
    values = {"delivery_id": row.id, "at": now, "took_s": 0.0, "error": CUT_OFF}
    ident = session.execute(insert(AttemptRow).values(values).returning(AttemptRow.id)).scalar_one()
    if row.attempts >= KEEP_ATTEMPTS:
        of_row = AttemptRow.delivery_id == row.id
        newest = select(AttemptRow.id).where(of_row).order_by(AttemptRow.id.desc())
        last_kept = session.scalar(newest.offset(KEEP_ATTEMPTS - 1).limit(1))
        session.execute(delete(AttemptRow).where(of_row, AttemptRow.id < last_kept))
    return ident


def _settle(session: Session, claimed: Claim, attempt: Attempt, **values: object) -> bool:
    session.execute(
        update(AttemptRow)
        .where(AttemptRow.id == claimed.attempt_id)
        .values(
            at=attempt.at,
            took_s=attempt.took_s,
            status=attempt.status,
            answer=attempt.answer,
            error=attempt.error,
        )
    )
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
