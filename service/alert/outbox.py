"""The outbox: messages are written in the transaction of what they tell of, and sent later."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from enum import StrEnum

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from service.store.tables import DeliveryRow, StreamRow, WebhookRow

LAST_TIME_S = 253_402_300_799.0
"""The end of the year 9999, the last that ISO 8601 and Python can write."""


class EventType(StrEnum):
    """What webhooks can be told of."""

    STARTED = "event.started"
    ENDED = "event.ended"
    DOWN = "stream.down"
    RECOVERED = "stream.recovered"


class DeliveryState(StrEnum):
    """Where a message is in its life."""

    WAITING = "waiting"
    DELIVERED = "delivered"
    DEAD = "dead"
    """Given up."""


@dataclass(frozen=True, slots=True)
class EventData:
    """`data` of a message on an event: as it stood then, times in ISO 8601."""

    event_id: str
    stream_id: str
    stream_name: str
    started_at: str
    ended_at: str | None
    first_frame: int
    last_frame: int
    peak_score: float
    peak_frame: int
    threshold: float
    region: tuple[float, float, float, float] | None
    label: str | None = None
    """`real` or `normal`, where somebody had judged it by then."""

    @property
    def subject(self) -> str:
        """What messages on the same thing share."""
        return self.event_id


@dataclass(frozen=True, slots=True)
class OutageData:
    """`data` of `stream.down`: why the stream can't be watched, and since when."""

    outage_id: str
    stream_id: str
    stream_name: str
    state: str
    reason: str
    since: str

    @property
    def subject(self) -> str:
        """What messages on the same thing share."""
        return self.outage_id


@dataclass(frozen=True, slots=True)
class RecoveryData(OutageData):
    """`data` of `stream.recovered`: how the stream is now, and since when it is watched again."""

    down_for_s: float


def iso8601(time_s: float) -> str:
    """A time as ISO 8601, UTC, to the millisecond."""
    at = datetime.fromtimestamp(min(max(time_s, 0.0), LAST_TIME_S), tz=UTC)
    return at.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def enqueue(
    session: Session,
    *,
    stream: StreamRow,
    event_type: EventType,
    data: EventData | OutageData,
    now: float,
) -> int:
    """Write the message once for each enabled webhook that wants it; how many were new.

    Must be called by one transaction at a time for a stream: that keeps its messages in order.
    """
    body = json.dumps(
        {"type": event_type.value, "timestamp": iso8601(now), "data": asdict(data)},
        separators=(",", ":"),
        allow_nan=False,
    )
    count = 0
    for webhook in session.scalars(select(WebhookRow).where(WebhookRow.enabled)):
        if not wants(webhook, stream, event_type):
            continue
        ident = message_id(data.subject, event_type, webhook.id)
        if session.get(DeliveryRow, ident) is not None:
            continue
        session.add(
            DeliveryRow(
                id=ident,
                sequence=_next_sequence(session, webhook.id, stream.id, now),
                webhook_id=webhook.id,
                stream_id=stream.id,
                event_type=event_type.value,
                body=body,
                state=DeliveryState.WAITING.value,
                attempts=0,
                next_attempt_at=now,
                created_at=now,
            )
        )
        count += 1
    return count


def message_id(subject: str, event_type: EventType, webhook_id: str) -> str:
    """The same for the same message, so that a repeated transaction can't send it twice."""
    text = f"{subject}:{event_type.value}:{webhook_id}"
    return "msg_" + hashlib.sha256(text.encode()).hexdigest()[:32]


def wants(webhook: WebhookRow, stream: StreamRow, event_type: EventType) -> bool:
    """Whether the webhook hears of such things from the stream, while it is enabled."""
    if stream.webhook_ids is not None and webhook.id not in stream.webhook_ids:
        return False
    if webhook.stream_ids is not None and stream.id not in webhook.stream_ids:
        return False
    return not webhook.event_types or event_type.value in webhook.event_types


def _next_sequence(session: Session, webhook_id: str, stream_id: str, now: float) -> int:
    """Above all that wait, also when the clock was set back."""
    newest = session.scalar(
        select(func.max(DeliveryRow.sequence)).where(
            DeliveryRow.state == DeliveryState.WAITING.value,
            DeliveryRow.webhook_id == webhook_id,
            DeliveryRow.stream_id == stream_id,
        )
    )
    return max(int(now * 1e9), 0 if newest is None else newest + 1)
