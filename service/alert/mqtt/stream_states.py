"""Reads from the database what brokers should hold: each receiver's streams, as they are now."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import select
from sqlalchemy.orm import Session, aliased

from service.alert.attempts import ReceiverKind
from service.alert.outbox import EventType, iso8601, should_notify
from service.store.tables import EventRow, ReceiverRow, StreamHealthRow, StreamRow

ReadEvent = Callable[[str], EventRow | None]
"""Reads a stream's newest event that was notified; it raises what the database raises."""


@dataclass(frozen=True, slots=True)
class MqttStream:
    """A stream that a receiver is notified of."""

    name: str
    events: bool
    """The receiver is notified of its events."""
    outages: bool
    """The receiver is notified of its outages."""
    abnormal: bool
    """An event that was notified goes on."""
    outage: Mapping[str, str] | None
    """What `stream.down` said of an outage that goes on; None: there is none."""


@dataclass(frozen=True, slots=True)
class BrokerContent:
    """All streams that a receiver is notified of, by id."""

    at: float
    """The time of the state."""
    read_at: float
    """Monotonic time just before it was read."""
    streams: Mapping[str, MqttStream]
    read_event: ReadEvent


def read_mqtt_receivers(session: Session) -> Sequence[ReceiverRow]:
    """Read the receivers of kind MQTT that are switched on."""
    query = select(ReceiverRow).where(ReceiverRow.kind == ReceiverKind.MQTT, ReceiverRow.enabled)
    return session.scalars(query).all()


def read_contents(
    session: Session, receivers: Sequence[ReceiverRow], now: float, read_event: ReadEvent
) -> dict[str, BrokerContent]:
    """Read what each of the receivers' brokers should hold, by receiver."""
    read_at = time.monotonic()
    streams = session.scalars(select(StreamRow)).all()
    abnormal, outages = _read_abnormal(session), _read_outages(session)
    contents = {}
    for receiver in receivers:
        states: dict[str, MqttStream] = {}
        for stream in streams:
            types = {kind for kind in EventType if should_notify(receiver, stream, kind)}
            if types:
                states[stream.id] = MqttStream(
                    name=stream.name,
                    events=bool(types & {EventType.STARTED, EventType.ENDED}),
                    outages=bool(types & {EventType.DOWN, EventType.RECOVERED}),
                    abnormal=stream.id in abnormal,
                    outage=outages.get(stream.id),
                )
        contents[receiver.id] = BrokerContent(now, read_at, states, read_event)
    return contents


def read_last_event(session: Session, stream_id: str) -> EventRow | None:
    """Read the newest event of a stream that was notified."""
    query = (
        select(EventRow)
        .where(EventRow.stream_id == stream_id, EventRow.muted.is_(False))
        .order_by(EventRow.started_at.desc())
        .limit(1)
    )
    return session.scalar(query)


def _read_abnormal(session: Session) -> set[str]:
    """Read the streams whose newest event goes on and was notified: no older one can go on."""
    newest = aliased(EventRow)
    ident = (
        select(newest.id)
        .where(newest.stream_id == StreamRow.id)
        .order_by(newest.started_at.desc())
        .limit(1)
        .correlate(StreamRow)
        .scalar_subquery()
    )
    query = (
        select(StreamRow.id)
        .join(EventRow, EventRow.id == ident)
        .where(EventRow.ended_at.is_(None), EventRow.muted.is_(False))
    )
    return set(session.scalars(query))


def _read_outages(session: Session) -> dict[str, Mapping[str, str]]:
    query = select(StreamHealthRow).where(StreamHealthRow.notified)
    return {
        row.stream_id: {"state": row.state, "reason": row.reason, "since": iso8601(row.began_at)}
        for row in session.scalars(query)
    }
