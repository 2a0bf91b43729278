"""What messages and rows mean for a stream's topics: pure."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from service.alert.attempts import Message
from service.alert.mqtt.session import Publication
from service.alert.mqtt.topics import Kind, Topics
from service.alert.outbox import EventType, iso8601
from service.store.tables import EventRow

_ABOUT_EVENTS = ("event_id", "started_at", "ended_at", "peak_score", "threshold", "region", "label")
_ABOUT_OUTAGES = ("outage_id", "state", "reason", "since", "down_for_s")


def of_message(topics: Topics, stream_id: str, message: Message) -> list[Publication]:
    """The state after the message, and last the message itself: who hears of it finds the rest."""
    body = json.loads(message.body)
    return [*_state(topics, stream_id, message, body), _as_it_is(topics, stream_id, message)]


def of_late_message(topics: Topics, stream_id: str, message: Message) -> list[Publication]:
    """The message alone: the state is of something newer."""
    return [_as_it_is(topics, stream_id, message)]


def told_at(message: Message) -> str:
    """When it was written, as in `updated_at` of attributes."""
    return str(json.loads(message.body)["timestamp"])


def is_about_event(message: Message) -> bool:
    """Or else it is about an outage."""
    return json.loads(message.body)["type"] in (EventType.STARTED, EventType.ENDED)


def event_state(
    topics: Topics, stream_id: str, attributes: bytes, picture: bytes | None, *, abnormal: bool
) -> list[Publication]:
    """The picture comes first: who hears ON finds it there. Without one the last one goes, which
    shows something else."""
    return [
        Publication(topics.of_stream(stream_id, Kind.SNAPSHOT), picture or b""),
        Publication(topics.of_stream(stream_id, Kind.EVENT), attributes),
        Publication(topics.of_stream(stream_id, Kind.ABNORMAL), _on_off(abnormal)),
    ]


def watch_state(
    topics: Topics, stream_id: str, attributes: bytes, *, watched: bool
) -> list[Publication]:
    """Attributes come first, as above."""
    return [
        Publication(topics.of_stream(stream_id, Kind.OUTAGE), attributes),
        Publication(topics.of_stream(stream_id, Kind.WATCHED), _on_off(watched)),
    ]


def event_attributes(topics: Topics, row: EventRow | None, updated_at: str) -> bytes:
    """Of the last event that was told; None: there was none."""
    if row is None:
        return _attributes(topics, updated_at, {}, ())
    values = {
        "event_id": row.id,
        "started_at": iso8601(row.started_at),
        "ended_at": None if row.ended_at is None else iso8601(row.ended_at),
        "peak_score": row.peak_score,
        "threshold": row.threshold,
        "region": row.region,
        "label": row.label,
    }
    return _attributes(topics, updated_at, values, _ABOUT_EVENTS)


def outage_attributes(topics: Topics, values: Mapping[str, Any], updated_at: str) -> bytes:
    """Of an outage; `values` is empty where there is none."""
    return _attributes(topics, updated_at, values, _ABOUT_OUTAGES)


def owner(attributes: bytes) -> str | None:
    """The webhook that published these."""
    return _text(attributes, "webhook_id")


def updated_at(attributes: bytes) -> str:
    """What they are of; "" where that isn't said."""
    return _text(attributes, "updated_at") or ""


def _state(
    topics: Topics, stream_id: str, message: Message, body: Mapping[str, Any]
) -> list[Publication]:
    kind, data, at = body["type"], body["data"], body["timestamp"]
    if kind in (EventType.STARTED, EventType.ENDED):
        attributes = _attributes(topics, at, data, _ABOUT_EVENTS)
        abnormal = kind == EventType.STARTED
        return event_state(topics, stream_id, attributes, message.picture, abnormal=abnormal)
    if kind in (EventType.DOWN, EventType.RECOVERED):
        attributes = _attributes(topics, at, data, _ABOUT_OUTAGES)
        watched = kind == EventType.RECOVERED
        return watch_state(topics, stream_id, attributes, watched=watched)
    return []


def _as_it_is(topics: Topics, stream_id: str, message: Message) -> Publication:
    topic = topics.of_stream(stream_id, Kind.EVENTS)
    return Publication(topic, message.body.encode(), retain=False, message_id=message.id)


def _attributes(
    topics: Topics, updated_at: str, values: Mapping[str, Any], names: tuple[str, ...]
) -> bytes:
    chosen = {name: values[name] for name in names if name in values}
    whole = chosen | {"updated_at": updated_at, "webhook_id": topics.webhook_id}
    return json.dumps(whole, separators=(",", ":")).encode()


def _text(attributes: bytes, name: str) -> str | None:
    try:
        value = json.loads(attributes)[name]
    except (ValueError, LookupError, TypeError):
        return None
    return value if isinstance(value, str) else None


def _on_off(is_on: bool) -> bytes:
    return b"ON" if is_on else b"OFF"
