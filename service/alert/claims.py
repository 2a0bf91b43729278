"""Operations on waiting messages, each one transaction: find, claim, settle, clear away.

Several front ends may do so at once: a claim compares and raises `attempts`, and only who raised it
to the present number may settle the message.
"""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Select, delete, func, select, update
from sqlalchemy.orm import Session

from service.alert.outbox import DeliveryState
from service.store.tables import DeliveryRow, WebhookRow

KEEP_FINISHED_S = 30 * 86_400.0
KEEP_FINISHED_ROWS = 100_000
MAX_WAIT_S = 3 * 86_400.0
"""A message that couldn't be delivered for this long, behind others or not, is given up."""
CLEAR_ROWS = 500
"""Rows that one turn of clearing deletes at most, so that it never holds the database for long."""

_WAITING = DeliveryState.WAITING.value


@dataclass(frozen=True, slots=True)
class Claim:
    """A message that is this front end's to send now."""

    message_id: str
    webhook_id: str
    url: str
    secret: str
    body: str
    attempts: int
    """With the one that was claimed, from 1."""


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
        exhausted = row.attempts >= max_attempts
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
                row.id, webhook_id, webhook.url, webhook.secret, row.body, row.attempts + 1
            )
    return None


def settle_delivered(session: Session, claimed: Claim, *, now: float, status: int) -> bool:
    """The receiver has it. False where the message is somebody else's by now."""
    return _settle(
        session,
        claimed,
        state=DeliveryState.DELIVERED.value,
        delivered_at=now,
        last_status=status,
        last_error=None,
    )


def settle_retry(
    session: Session, claimed: Claim, *, at: float, status: int | None, error: str
) -> bool:
    """It is tried again at that time."""
    return _settle(session, claimed, next_attempt_at=at, last_status=status, last_error=error)


def settle_dead(session: Session, claimed: Claim, *, status: int | None, error: str) -> bool:
    """It is given up."""
    return _settle(
        session, claimed, state=DeliveryState.DEAD.value, last_status=status, last_error=error
    )


def disable_webhook(session: Session, webhook_id: str, reason: str) -> None:
    """The receiver wants nothing any more: all that waits for it is given up."""
    session.execute(
        update(WebhookRow)
        .where(WebhookRow.id == webhook_id)
        .values(enabled=False, disabled_reason=reason)
    )
    session.execute(
        update(DeliveryRow)
        .where(DeliveryRow.webhook_id == webhook_id, DeliveryRow.state == _WAITING)
        .values(state=DeliveryState.DEAD.value, last_error=reason)
    )


def clear(session: Session, now: float) -> int:
    """Give up what waited too long, and delete finished messages that are old or too many.

    Returns: rows deleted; `CLEAR_ROWS` means that there may be more.
    """
    session.execute(
        update(DeliveryRow)
        .where(DeliveryRow.state == _WAITING, DeliveryRow.created_at < now - MAX_WAIT_S)
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
        )
    )


def _settle(session: Session, claimed: Claim, **values: object) -> bool:
    settled = session.scalar(
        update(DeliveryRow)
        .where(
            DeliveryRow.id == claimed.message_id,
            DeliveryRow.state == _WAITING,
            DeliveryRow.attempts == claimed.attempts,
        )
        .values(values)
        .returning(DeliveryRow.id)
    )
    return settled is not None
