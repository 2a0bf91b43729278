"""Decides what is published for messages and for the database's rows. It is pure."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict

from service.alert.attempts import Message
from service.alert.mqtt.broker_session import Publication
from service.alert.mqtt.discovery import describe_device
from service.alert.mqtt.stream_states import MqttStream
from service.alert.mqtt.topics import TopicKind, Topics
from service.alert.outbox import EventData, EventType, Notification, OutageData, iso8601
from service.store.tables import EventRow

_EVENT_ATTRIBUTES = (
    "event_id",
    "started_at",
    "ended_at",
    "peak_score",
    "threshold",
    "region",
    "cause",
    "label",
)
_OUTAGE_ATTRIBUTES = ("outage_id", "state", "reason", "since", "down_for_s")


def publish_message(topics: Topics, stream_id: str, message: Message) -> Publication:
    topic = topics.name(stream_id, TopicKind.EVENTS)
    return Publication(topic, message.body.encode(), retain=False, message_id=message.id)


def publish_notified_state(
    topics: Topics, stream_id: str, notification: Notification, picture: bytes | None
) -> list[Publication]:
    data, at = notification.data, notification.timestamp
    if isinstance(data, EventData):
        attributes = _select(topics, at, asdict(data), _EVENT_ATTRIBUTES)
        abnormal = notification.type == EventType.STARTED
        return _publish_event_state(topics, stream_id, attributes, picture, abnormal=abnormal)
    if isinstance(data, OutageData):
        attributes = _select(topics, at, asdict(data), _OUTAGE_ATTRIBUTES)
        watched = notification.type == EventType.RECOVERED
        return _publish_watched_state(topics, stream_id, attributes, watched=watched)
    return []


def publish_stored_event(
    topics: Topics, stream_id: str, stream: MqttStream, event: EventRow | None, at: float
) -> list[Publication]:
    """Publish whether an event goes on, and the stream's last event, as the database has them."""
    values: dict[str, object] = {}
    if event is not None:
        values = {
            "event_id": event.id,
            "started_at": iso8601(event.started_at),
            "ended_at": None if event.ended_at is None else iso8601(event.ended_at),
            "peak_score": event.peak_score,
            "threshold": event.threshold,
            "region": event.region,
            "cause": event.cause,
            "label": event.label,
        }
    attributes = _select(topics, iso8601(at), values, _EVENT_ATTRIBUTES)
    picture = None if event is None else event.picture
    return _publish_event_state(topics, stream_id, attributes, picture, abnormal=stream.abnormal)


def publish_stored_outage(
    topics: Topics, stream_id: str, stream: MqttStream, at: float
) -> list[Publication]:
    """Publish whether the stream is watched, as the database has it."""
    attributes = _select(topics, iso8601(at), stream.outage or {}, _OUTAGE_ATTRIBUTES)
    return _publish_watched_state(topics, stream_id, attributes, watched=stream.outage is None)


def publish_config(topics: Topics, stream_id: str, stream: MqttStream) -> list[Publication]:
    """Publish what Home Assistant discovers of the stream."""
    topic = topics.name_config(stream_id)
    if topic is None:
        return []
    payload = describe_device(
        topics, stream_id, stream.name, events=stream.events, outages=stream.outages
    )
    return [Publication(topic, payload)]


def _publish_event_state(
    topics: Topics, stream_id: str, attributes: bytes, picture: bytes | None, *, abnormal: bool
) -> list[Publication]:
    """Publish the picture first, so that it is there before ON is.

    Without a picture the topic is cleared: the last one shows another event.
    """
    return [
        Publication(topics.name(stream_id, TopicKind.PICTURE), picture or b""),
        Publication(topics.name(stream_id, TopicKind.EVENT), attributes),
        Publication(topics.name(stream_id, TopicKind.ABNORMAL), _write_on_off(abnormal)),
    ]


def _publish_watched_state(
    topics: Topics, stream_id: str, attributes: bytes, *, watched: bool
) -> list[Publication]:
    return [
        Publication(topics.name(stream_id, TopicKind.OUTAGE), attributes),
        Publication(topics.name(stream_id, TopicKind.WATCHED), _write_on_off(watched)),
    ]


def _select(
    topics: Topics, updated_at: str, values: Mapping[str, object], names: tuple[str, ...]
) -> bytes:
    chosen = {name: values[name] for name in names if name in values}
    attributes = chosen | {"updated_at": updated_at, "receiver_id": topics.receiver_id}
    return json.dumps(attributes, separators=(",", ":")).encode()


def _write_on_off(is_on: bool) -> bytes:
    return b"ON" if is_on else b"OFF"
