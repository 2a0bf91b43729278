"""Describes a stream to Home Assistant, in the form of its device-based discovery. It is pure."""

from __future__ import annotations

import json
from functools import cache
from importlib.metadata import version

from service.alert.mqtt.topics import OFFLINE, ONLINE, TopicKind, Topics


def describe_device(
    topics: Topics, stream_id: str, name: str, *, events: bool, outages: bool
) -> bytes:
    """Make the payload of the topic `topics.name_config`.

    Args:
        events: the receiver is notified of the stream's events.
        outages: it is notified of the stream's outages. Home Assistant removes a component that has
            nothing but its platform.
    """
    ident = f"normwatch_{topics.receiver_id}_{stream_id}"
    sw_version = _find_version()
    payload = {
        "device": {
            "identifiers": [ident],
            "name": name,
            "manufacturer": "normwatch",
            "model": "Watched camera",
            "sw_version": sw_version,
        },
        "origin": {"name": "normwatch", "sw_version": sw_version},
        "availability_topic": topics.status,
        "payload_available": ONLINE.decode(),
        "payload_not_available": OFFLINE.decode(),
        "components": {
            key: {
                "platform": platform,
                **_describe_component(topics, stream_id, key, f"{ident}_{key}"),
            }
            if (outages if key == "watched" else events)
            else {"platform": platform}
            for key, platform in _PLATFORMS.items()
        },
    }
    return json.dumps(payload, ensure_ascii=False, separators=(",", ":")).encode()


@cache
def _find_version() -> str:
    return version("normwatch")


_PLATFORMS = {
    "abnormal": "binary_sensor",
    "picture": "image",
    "peak": "sensor",
    "watched": "binary_sensor",
}


def _describe_component(
    topics: Topics, stream_id: str, key: str, unique_id: str
) -> dict[str, object]:
    def topic(kind: TopicKind) -> str:
        return topics.name(stream_id, kind)

    details: dict[str, object]
    match key:
        case "abnormal":
            details = {
                "name": "Abnormal",
                "device_class": "problem",
                "state_topic": topic(TopicKind.ABNORMAL),
                "json_attributes_topic": topic(TopicKind.EVENT),
            }
        case "watched":
            details = {
                "name": "Watched",
                "device_class": "connectivity",
                "entity_category": "diagnostic",
                "state_topic": topic(TopicKind.WATCHED),
                "json_attributes_topic": topic(TopicKind.OUTAGE),
            }
        case "picture":
            details = {
                "name": "Last event",
                "content_type": "image/jpeg",
                "image_topic": topic(TopicKind.PICTURE),
            }
        case _:
            details = {
                "name": "Peak score",
                "icon": "mdi:chart-bell-curve",
                "suggested_display_precision": 2,
                "state_topic": topic(TopicKind.EVENT),
                "value_template": "{{ value_json.peak_score | default(none) }}",
            }
    return {"unique_id": unique_id, "qos": 1, **details}
