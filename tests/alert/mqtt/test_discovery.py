"""What is published for Home Assistant follows the rules of its documentation."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from service.alert.mqtt.discovery import describe_device
from service.alert.mqtt.topics import Topics

TOPICS = Topics("a" * 32, "nw", "homeassistant")
STREAM = "b" * 32
OF_DEVICE = {"identifiers", "name", "manufacturer", "model", "sw_version"}
OF_ALL = {"platform", "unique_id", "name", "qos"}
OF_PLATFORM = {
    "binary_sensor": {
        "state_topic",
        "device_class",
        "json_attributes_topic",
        "entity_category",
    },
    "image": {"image_topic", "content_type"},
    "sensor": {"state_topic", "value_template", "icon", "suggested_display_precision"},
}
"""Options that the platform knows; any other makes Home Assistant refuse it."""


def _payload(*, events: bool = True, outages: bool = True) -> Any:
    return json.loads(describe_device(TOPICS, STREAM, "Yard #1/+", events=events, outages=outages))


def test_the_topic_is_one_that_home_assistant_reads() -> None:
    topic = TOPICS.name_config(STREAM)
    pattern = r"homeassistant/device/[a-zA-Z0-9_-]+/[a-zA-Z0-9_-]+/config"
    assert topic is not None
    assert re.fullmatch(pattern, topic)
    assert Topics("a", "nw", None).name_config(STREAM) is None


def test_a_device_has_what_belongs_to_it() -> None:
    payload = _payload()
    assert payload.keys() == {
        "device",
        "origin",
        "components",
        "availability_topic",
        "payload_available",
        "payload_not_available",
    }
    assert payload["device"].keys() == OF_DEVICE
    assert payload["device"]["name"] == "Yard #1/+"
    assert payload["origin"].keys() == {"name", "sw_version"}
    assert payload["availability_topic"] == "nw/status"


def test_components_have_options_that_their_platforms_know() -> None:
    components = _payload()["components"]
    for component in components.values():
        assert component.keys() - OF_ALL <= OF_PLATFORM[component["platform"]]
        topics = {value for key, value in component.items() if key.endswith("_topic")}
        assert topics
        assert all(topic.startswith(f"nw/{STREAM}/") for topic in topics)
    names = [component["unique_id"] for component in components.values()]
    assert len(set(names)) == len(names) == 4


@pytest.mark.parametrize(
    ("events", "outages", "left"),
    [(True, False, {"abnormal", "picture", "peak"}), (False, True, {"watched"})],
)
def test_home_assistant_forgets_what_is_not_notified(
    events: bool, outages: bool, left: set[str]
) -> None:
    components = _payload(events=events, outages=outages)["components"]
    assert {key for key, value in components.items() if len(value) > 1} == left
    assert all("platform" in component for component in components.values())
