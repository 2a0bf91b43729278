"""The texts that people read."""

from __future__ import annotations

from dataclasses import replace

from service.alert.apprise.message_text import MessageText, write_text
from service.alert.outbox import (
    TEST_TYPE,
    EventData,
    EventType,
    Notification,
    OutageData,
    ReceiverTestData,
    RecoveryData,
    iso8601,
)

AT = 1_795_507_200.25


def _event(ended_at: float | None = None, label: str | None = None) -> EventData:
    return EventData(
        event_id="e",
        stream_id="s",
        stream_name="Entrance <b>",
        started_at=iso8601(AT),
        ended_at=None if ended_at is None else iso8601(ended_at),
        first_frame=3,
        last_frame=9,
        peak_score=0.8154,
        peak_frame=5,
        threshold=0.4,
        region=None,
        label=label,
    )


def _text(kind: EventType, data: EventData | OutageData) -> MessageText:
    return write_text(Notification(kind.value, iso8601(AT), data))


def test_an_event_that_starts() -> None:
    text = _text(EventType.STARTED, _event())
    assert text.title == "Entrance <b>: something unusual"
    assert text.body == "Since 2026-11-24 08:00:00 UTC. Score 0.82, threshold 0.40."
    assert text.tone == "warning"


def test_something_that_stands_still() -> None:
    text = _text(EventType.STARTED, replace(_event(), cause="standing"))
    assert text.title == "Entrance <b>: something new stands still"


def test_an_event_that_is_over() -> None:
    text = _text(EventType.ENDED, _event(AT + 200, "normal"))
    assert text.title == "Entrance <b>: over"
    assert "for 3 min 20 s" in text.body
    assert "Highest score 0.82" in text.body
    assert "Somebody called it normal." in text.body
    assert "for" not in _text(EventType.ENDED, _event()).body


def test_an_outage_and_its_end() -> None:
    down = OutageData("o", "s", "Yard", "down", "the camera refuses the connection", iso8601(AT))
    text = _text(EventType.DOWN, down)
    assert (text.title, text.tone) == ("Yard: not watched", "failure")
    assert text.body == "Since 2026-11-24 08:00:00 UTC: the camera refuses the connection"
    back = RecoveryData("o", "s", "Yard", "live", "", iso8601(AT), down_for_s=18_130.0)
    text = _text(EventType.RECOVERED, back)
    assert (text.title, text.tone) == ("Yard: watched again", "success")
    assert text.body.endswith("after 5 h 2 min.")


def test_a_test() -> None:
    assert "test" in write_text(Notification(TEST_TYPE, iso8601(AT), ReceiverTestData("w"))).title
