"""What the database says that brokers should hold: each webhook's streams, as they are now."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import select
from sqlalchemy.orm import Session, aliased

from service.alert.attempts import Way
from service.alert.outbox import DeliveryState, EventType, iso8601, wants
from service.store.tables import DeliveryRow, EventRow, StreamHealthRow, StreamRow, WebhookRow

LastEvent = Callable[[str], EventRow | None]
"""The newest event of a stream that was told. It raises what the database does."""


@dataclass(frozen=True, slots=True)
class StreamState:
    """A stream that a webhook hears of."""

    name: str
    events: bool
    """Whether the webhook hears of its events,"""
    outages: bool
    """and of its outages."""
    abnormal: bool
    """An event that was told goes on."""
    outage: Mapping[str, str] | None
    """One that was told goes on: what `stream.down` said of it."""
    settled: bool
    """No message on it waits for the webhook."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """All streams that a webhook hears of, by id."""

    at: float
    """When this was so, or a little before."""
    streams: Mapping[str, StreamState]
    last_event: LastEvent


def mqtt_webhooks(session: Session) -> Sequence[WebhookRow]:
    """Those that are switched on."""
    query = select(WebhookRow).where(WebhookRow.way == Way.MQTT, WebhookRow.enabled)
    return session.scalars(query).all()


def read_wanted(
    session: Session, webhooks: Sequence[WebhookRow], now: float, last_event: LastEvent
) -> dict[str, Wanted]:
    """For each of the webhooks."""
    streams = session.scalars(select(StreamRow)).all()
    abnormal, outages = _abnormal(session), _outages(session)
    waiting = _waiting(session, [webhook.id for webhook in webhooks])
    found = {}
    for webhook in webhooks:
        states: dict[str, StreamState] = {}
        for stream in streams:
            heard = {kind for kind in EventType if wants(webhook, stream, kind)}
            if heard:
                states[stream.id] = StreamState(
                    name=stream.name,
                    events=bool(heard & {EventType.STARTED, EventType.ENDED}),
                    outages=bool(heard & {EventType.DOWN, EventType.RECOVERED}),
                    abnormal=stream.id in abnormal,
                    outage=outages.get(stream.id),
                    settled=stream.id not in waiting[webhook.id],
                )
        found[webhook.id] = Wanted(now, states, last_event)
    return found


def read_last_event(session: Session, stream_id: str) -> EventRow | None:
    """The newest one of a stream that was told."""
    query = (
        select(EventRow)
        .where(EventRow.stream_id == stream_id, EventRow.muted.is_(False))
        .order_by(EventRow.started_at.desc())
        .limit(1)
    )
    return session.scalar(query)


def _abnormal(session: Session) -> set[str]:
    """Streams whose newest event goes on, and was told: only the newest one can."""
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


def _outages(session: Session) -> dict[str, Mapping[str, str]]:
    query = select(StreamHealthRow).where(StreamHealthRow.told)
    return {
        row.stream_id: {"state": row.state, "reason": row.reason, "since": iso8601(row.began_at)}
        for row in session.scalars(query)
    }


def _waiting(session: Session, webhook_ids: Sequence[str]) -> Mapping[str, set[str]]:
    query = (
        select(DeliveryRow.webhook_id, DeliveryRow.stream_id)
        .where(
            DeliveryRow.state == DeliveryState.WAITING.value,
            DeliveryRow.webhook_id.in_(webhook_ids),
        )
        .distinct()
    )
    waiting: defaultdict[str, set[str]] = defaultdict(set)
    for webhook_id, stream_id in session.execute(query):
        waiting[webhook_id].add(stream_id)
    return waiting
