"""The outbox: a message is written in the same transaction as what it reports, and sent later.

It is also the one place where messages are turned into JSON and back.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from enum import StrEnum
from functools import cache

from pydantic import TypeAdapter
from sqlalchemy import ColumnElement, func, select
from sqlalchemy.orm import Session

from service.store.tables import DeliveryRow, ReceiverRow, StreamRow

LAST_TIME_S = 253_402_300_799.0
"""The end of the year 9999, the last that ISO 8601 and Python can write."""


class EventType(StrEnum):
    """What receivers can be notified of."""

    STARTED = "event.started"
    ENDED = "event.ended"
    DOWN = "stream.down"
    RECOVERED = "stream.recovered"


TEST_TYPE = "test"
"""The type of the message that the test button sends."""


class DeliveryState(StrEnum):
    """The state of a message's delivery."""

    WAITING = "waiting"
    DELIVERED = "delivered"
    DEAD = "dead"
    """Given up."""


@dataclass(frozen=True, slots=True)
class EventData:
    """`data` of a message on an event, as it stood then; times are ISO 8601."""

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
    cause: str = "motion"
    """`motion` or `standing`, at the peak."""
    label: str | None = None
    """`real` or `normal`, if a person had judged it by then."""


@dataclass(frozen=True, slots=True)
class OutageData:
    """`data` of `stream.down`: why the stream can't be watched, and since when."""

    outage_id: str
    stream_id: str
    stream_name: str
    state: str
    reason: str
    since: str


@dataclass(frozen=True, slots=True)
class RecoveryData(OutageData):
    """`data` of `stream.recovered`: how the stream is now, and since when it is watched again."""

    down_for_s: float


@dataclass(frozen=True, slots=True)
class ReceiverTestData:
    """`data` of a test message."""

    receiver_id: str


NotificationData = EventData | OutageData | ReceiverTestData
_DATA_TYPES: Mapping[str, type[NotificationData]] = {
    EventType.STARTED: EventData,
    EventType.ENDED: EventData,
    EventType.DOWN: OutageData,
    EventType.RECOVERED: RecoveryData,
    TEST_TYPE: ReceiverTestData,
}


@dataclass(frozen=True, slots=True)
class Notification:
    """What a message's body says."""

    type: str
    """A value of `EventType`, or `TEST_TYPE`."""
    timestamp: str
    """When it was written, ISO 8601."""
    data: NotificationData


def serialise_notification(notification: Notification) -> str:
    """Return the JSON body that receivers get: `type`, `timestamp` and `data`."""
    return json.dumps(asdict(notification), separators=(",", ":"), allow_nan=False)


def parse_notification(body: str) -> Notification:
    """Read what `serialise_notification` wrote. Raises: ValueError: it wrote no such thing."""
    try:
        content = json.loads(body)
        kind, timestamp, data = content["type"], content["timestamp"], content["data"]
        return Notification(kind, timestamp, _make_adapter(kind).validate_python(data))
    except (KeyError, TypeError) as error:
        raise ValueError(f"a message's body can't be read: {error!r}") from error


def iso8601(time_s: float) -> str:
    """Format a time as ISO 8601, UTC, to the millisecond."""
    at = datetime.fromtimestamp(min(max(time_s, 0.0), LAST_TIME_S), tz=UTC)
    return at.isoformat(timespec="milliseconds").replace("+00:00", "Z")


@cache
def _make_adapter(kind: str) -> TypeAdapter[NotificationData]:
    return TypeAdapter(_DATA_TYPES[kind])


def enqueue(
    session: Session,
    *,
    stream: StreamRow,
    event_type: EventType,
    data: EventData | OutageData,
    now: float,
) -> int:
    """Write the message once for each enabled receiver that is notified of such things.

    Only one transaction at a time may do so for a stream: that keeps its messages in order.

    Returns: how many messages were new.
    """
    body = serialise_notification(Notification(event_type.value, iso8601(now), data))
    subject = data.event_id if isinstance(data, EventData) else data.outage_id
    count = 0
    for receiver in session.scalars(select(ReceiverRow).where(ReceiverRow.enabled)):
        if not should_notify(receiver, stream, event_type):
            continue
        ident = make_message_id(subject, event_type, receiver.id)
        if session.get(DeliveryRow, ident) is not None:
            continue
        session.add(
            DeliveryRow(
                id=ident,
                sequence=find_next_sequence(
                    session,
                    now,
                    DeliveryRow.receiver_id == receiver.id,
                    DeliveryRow.stream_id == stream.id,
                ),
                receiver_id=receiver.id,
                stream_id=stream.id,
                event_type=event_type.value,
                event_id=data.event_id if isinstance(data, EventData) else None,
                body=body,
                state=DeliveryState.WAITING.value,
                attempts=0,
                next_attempt_at=now,
                created_at=now,
            )
        )
        count += 1
    return count


def make_message_id(subject: str, event_type: EventType, receiver_id: str) -> str:
    """Derive the id from the message, so that a repeated transaction can't send it twice."""
    text = f"{subject}:{event_type.value}:{receiver_id}"
    return "msg_" + hashlib.sha256(text.encode()).hexdigest()[:32]


def should_notify(receiver: ReceiverRow, stream: StreamRow, event_type: EventType) -> bool:
    """Return whether the receiver, while it is enabled, gets such messages on the stream."""
    if stream.receiver_ids is not None and receiver.id not in stream.receiver_ids:
        return False
    if receiver.stream_ids is not None and stream.id not in receiver.stream_ids:
        return False
    return not receiver.event_types or event_type.value in receiver.event_types


def find_next_sequence(session: Session, now: float, *of: ColumnElement[bool]) -> int:
    """Return a number above those of such messages that wait, even if the clock was set back."""
    waiting = DeliveryRow.state == DeliveryState.WAITING.value
    newest = session.scalar(select(func.max(DeliveryRow.sequence)).where(waiting, *of))
    return max(int(now * 1e9), 0 if newest is None else newest + 1)
