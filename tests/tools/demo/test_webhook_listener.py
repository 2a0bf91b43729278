"""The demo's webhook receiver: what is signed gets through, and nothing else does."""

from __future__ import annotations

import json
import time
from contextlib import closing
from http.client import HTTPConnection

import httpx
import pytest

from service.alert.outbox import EventData, EventType
from service.alert.webhook.webhook_sender import make_secret, sign
from service.tools.demo.demo_run import describe_alert
from service.tools.demo.webhook_listener import MAX_BODY_BYTES, Alert, WebhookListener

DATA: dict[str, object] = {
    "event_id": "e1",
    "stream_id": "s1",
    "stream_name": "North [gate]",
    "started_at": "2026-11-24T08:00:00.000Z",
    "ended_at": None,
    "first_frame": 203,
    "last_frame": 207,
    "peak_score": 0.9,
    "peak_frame": 206,
    "threshold": 0.5,
    "region": [0.1, 0.2, 0.3, 0.4],
}

OUTAGE: dict[str, object] = {
    "outage_id": "out_1",
    "stream_id": "s1",
    "stream_name": "North [gate]",
    "state": "stalled",
    "reason": "silence",
    "since": "2026-11-24T08:00:00.000Z",
}


def _body(kind: str = "event.started", **changes: object) -> str:
    return json.dumps({"type": kind, "timestamp": "2026-11-24T08:00:01Z", "data": DATA | changes})


def _post(url: str, body: str, secret: str) -> int:
    headers = sign(secret, message_id="msg_1", body=body, now=time.time())
    return httpx.post(url, content=body, headers=headers, trust_env=False).status_code


def test_a_signed_message_arrives() -> None:
    taken: list[Alert] = []
    with WebhookListener(make_secret(), taken.append) as receiver:
        assert _post(receiver.url, _body(), receiver.secret) == 204
    assert [alert.type for alert in taken] == [EventType.STARTED]
    assert isinstance(taken[0].data, EventData) and taken[0].data.first_frame == 203


def test_a_message_of_another_secret_is_refused() -> None:
    taken: list[Alert] = []
    with WebhookListener(make_secret(), taken.append) as receiver:
        assert _post(receiver.url, _body(), make_secret()) == 401
        assert httpx.post(receiver.url, content=_body(), trust_env=False).status_code == 401
    assert not taken


@pytest.mark.parametrize("body", ["{}", "[]", "no json", '{"type": "event.started", "data": {}}'])
def test_a_signed_message_of_another_shape_is_refused(body: str) -> None:
    taken: list[Alert] = []
    with WebhookListener(make_secret(), taken.append) as receiver:
        assert _post(receiver.url, body, receiver.secret) == 422
    assert not taken


def test_a_body_beyond_the_limit_is_refused_unread() -> None:
    with WebhookListener(make_secret(), lambda alert: None) as receiver:
        url = httpx.URL(receiver.url)
        with closing(HTTPConnection(url.host, url.port or 0, timeout=10)) as connection:
            connection.putrequest("POST", url.path)
            connection.putheader("Content-Length", str(MAX_BODY_BYTES + 1))
            connection.endheaders()
            assert connection.getresponse().status == 413


@pytest.mark.parametrize(
    ("message", "words"),
    [
        ({"type": "test", "data": {"receiver_id": "abc"}}, ("test", "abc")),
        ({"type": "stream.down", "data": OUTAGE}, ("down", "North \\[gate]", "stalled", "silence")),
        (
            {"type": "stream.recovered", "data": OUTAGE | {"state": "live", "down_for_s": 61.0}},
            ("back", "North \\[gate]", "live", "61 s"),
        ),
    ],
)
def test_every_kind_of_message_is_taken_and_told(
    message: dict[str, object], words: tuple[str, ...]
) -> None:
    line = describe_alert(Alert.model_validate_json(json.dumps(message)), 0.0)
    assert all(word in line for word in words)


def test_alerts_are_told_in_words() -> None:
    started = Alert.model_validate_json(_body())
    at = 1795507200.0  # 2026-11-24 08:00:00 UTC
    line = describe_alert(started, at + 1.5)
    assert "North \\[gate]" in line
    assert "frame 203" in line
    assert "sent 1.5 s later" in line
    ended = Alert.model_validate_json(
        _body("event.ended", ended_at="2026-11-24T08:00:04.500Z", last_frame=248)
    )
    assert "frames 203 to 248, 4.5 s" in describe_alert(ended, at + 6)
