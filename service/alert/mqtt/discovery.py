"""What Home Assistant is told of a stream, in its device-based form: pure."""

from __future__ import annotations

import json
from functools import cache
from importlib.metadata import version

from service.alert.mqtt.topics import OFFLINE, ONLINE, Kind, Topics


def config(topics: Topics, stream_id: str, name: str, *, events: bool, outages: bool) -> bytes:
    """The payload of the topic `topics.config`.

    Args:
        events: whether the webhook hears of the stream's events.
        outages: whether it hears of its outages. A component that has only its platform is one
            that Home Assistant is to forget.
    """
    ident = f"normwatch_{topics.webhook_id}_{stream_id}"
    sw_version = _version()
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
            key: {"platform": platform, **_details(topics, stream_id, key, f"{ident}_{key}")}
            if (outages if key == "watched" else events)
            else {"platform": platform}
            for key, platform in _PLATFORMS.items()
        },
    }
    return json.dumps(payload, ensure_ascii=False, separators=(",", ":")).encode()


@cache
def _version() -> str:
    return version("normwatch")


_PLATFORMS = {
    "abnormal": "binary_sensor",
    "snapshot": "image",
    "peak": "sensor",
    "watched": "binary_sensor",
}


def _details(topics: Topics, stream_id: str, key: str, unique_id: str) -> dict[str, object]:
    def topic(kind: Kind) -> str:
        return topics.of_stream(stream_id, kind)

    shown: dict[str, object]
    match key:
        case "abnormal":
            shown = {
                "name": "Abnormal",
                "device_class": "problem",
                "state_topic": topic(Kind.ABNORMAL),
                "json_attributes_topic": topic(Kind.EVENT),
            }
        case "watched":
            shown = {
                "name": "Watched",
                "device_class": "connectivity",
                "entity_category": "diagnostic",
                "state_topic": topic(Kind.WATCHED),
                "json_attributes_topic": topic(Kind.OUTAGE),
            }
        case "snapshot":
            shown = {
                "name": "Last event",
                "content_type": "image/jpeg",
                "image_topic": topic(Kind.SNAPSHOT),
            }
        case _:
            shown = {
                "name": "Peak score",
                "icon": "mdi:chart-bell-curve",
                "suggested_display_precision": 2,
                "state_topic": topic(Kind.EVENT),
                "value_template": "{{ value_json.peak_score | default(none) }}",
            }
    return {"unique_id": unique_id, "qos": 1, **shown}
