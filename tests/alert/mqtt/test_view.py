"""What is known of a broker: its own word counts for more than what we sent."""

from __future__ import annotations

from service.alert.mqtt.topics import Topics
from service.alert.mqtt.view import MAX_BYTES, View

TOPICS = Topics("hook", "nw", "homeassistant")
STATE = "nw/cam/abnormal"


def test_what_the_broker_said_since_counts_for_more() -> None:
    view = View(TOPICS)
    mark = view.mark()
    view.suppose(STATE, b"OFF", mark)
    assert view.holds(STATE) == b"OFF"
    mark = view.mark()
    view.hear(STATE, b"ON")
    view.suppose(STATE, b"OFF", mark)
    assert view.holds(STATE) == b"ON"
    mark = view.mark()
    view.hear(STATE, b"")
    view.suppose(STATE, b"OFF", mark)
    assert (view.holds(STATE), view.streams()) == (None, set())
    view.suppose(STATE, b"OFF", view.mark())
    assert (view.holds(STATE), view.streams()) == (b"OFF", {"cam"})


def test_somebody_who_says_that_we_are_gone_is_heard() -> None:
    view = View(TOPICS)
    assert view.is_online
    mark = view.mark()
    view.hear(TOPICS.status, b"offline")
    view.suppose(TOPICS.status, b"online", mark)
    assert not view.is_online
    view.hear(TOPICS.status, b"")
    assert not view.is_online
    view.suppose(TOPICS.status, b"online", view.mark())
    assert view.is_online


def test_only_topics_of_ours_are_kept_and_not_much_of_them() -> None:
    view = View(TOPICS)
    for topic in ("nw/a b/abnormal", "nw/cam/other", "x/cam/abnormal", "nw/cam/snapshot"):
        view.hear(topic, b"x")
        assert view.holds(topic) is None
    view.hear(STATE, bytes(2 * MAX_BYTES))
    assert view.holds(STATE) == bytes(MAX_BYTES)
