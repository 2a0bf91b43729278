"""Bad input gets a 4xx that names the field, the value and the reason."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest

from service.settings import Settings
from tests.support.front_end import client

GOOD = '"name": "gate", "source": "upload"'
HOURS = '"days": ["mon"], "from": "08:00"'
ZONE = '"timezone": "UTC"'


@pytest.fixture(scope="module")
def api(module_settings: Settings) -> Iterator[httpx.Client]:
    """One front end for all of these."""
    with client(module_settings) as made:
        yield made


@pytest.mark.parametrize(
    ("body", "field", "value", "reason"),
    [
        ('{"source": "upload"}', "name", None, "required"),
        ('{"name": " ", "source": "upload"}', "name", " ", "at least 1 character"),
        (f'{{"name": "{"x" * 201}", "source": "upload"}}', "name", "x" * 200, "at most 200"),
        ('{"name": "a\\u0000b", "source": "upload"}', "name", "a\\x00b", "control characters"),
        ('{"name": "a\\u0085b", "source": "upload"}', "name", "a\\x85b", "control characters"),
        ('{"name": "\\ud800", "source": "upload"}', "name", "\\ud800", "unicode"),
        (f'{{{GOOD}, "threshold": NaN}}', "threshold", "nan", "finite"),
        (f'{{{GOOD}, "threshold": Infinity}}', "threshold", "inf", "finite"),
        (f'{{{GOOD}, "threshold": 1.5}}', "threshold", "1.5", "less than or equal to 1"),
        (f'{{{GOOD}, "threshold": "0.5"}}', "threshold", "0.5", "valid number"),
        (f'{{{GOOD}, "gamma": NaN}}', "gamma", "nan", "finite"),
        (f'{{{GOOD}, "gamma": -1}}', "gamma", "-1", "greater than or equal to 0"),
        (f'{{{GOOD}, "memory_rule": "fast"}}', "memory_rule", "fast", "'paper', 'reference'"),
        (f'{{{GOOD}, "appearance_weight": NaN}}', "appearance_weight", "nan", "finite"),
        (f'{{{GOOD}, "appearance_weight": 2}}', "appearance_weight", "2", "less than"),
        (f'{{{GOOD}, "fps": 0}}', "fps", "0", "greater than 0"),
        (f'{{{GOOD}, "loop": "yes"}}', "loop", "yes", "boolean"),
        (f'{{{GOOD}, "thresold": 0.5}}', "thresold", "0.5", "not permitted"),
        (f'{{{GOOD}, "\\ud800": 1}}', "body", "\\ud800", "valid string"),
        (f'{{{GOOD}, "model": "missing"}}', "model", "missing", "there are: small"),
        (f'{{{GOOD}, "model": "../small"}}', "model", "../small", "no such model"),
        (f'{{{GOOD}, "receiver_ids": ["x\\u0000"]}}', "receiver_ids[0]", "x\\x00", "no such"),
        (f'{{{GOOD}, "cooldown_s": -1}}', "cooldown_s", "-1", "greater than or equal to 0"),
        (f'{{{GOOD}, "cooldown_s": Infinity}}', "cooldown_s", "inf", "finite"),
        ('{"name": "x", "source": "ftp://h/x"}', "source", "ftp://h/x", "schemes rtsp"),
        ('{"name": "x", "source": "file:///etc"}', "source", "file:///etc", "schemes"),
        ('{"name": "x", "source": "rtsp://"}', "source", "rtsp://", "must name a host"),
        ('{"name": "x", "source": "rtsp:cam"}', "source", "rtsp:cam", "must name a host"),
        ('{"name": "x", "source": "rtsp://h:99999/"}', "source", "rtsp://h:99999/", "host"),
        ('{"name": "x", "source": "a.mp4"}', "source", "a.mp4", "absolute path"),
        ('{"name": "x", "source": "a\\u202fb"}', "source", "a\u202fb", "absolute path"),
        ('{"name": "x", "source": "/a\\u0000"}', "source", "/a\\x00", "control characters"),
        ("{", "body", None, "not valid JSON"),
        ("", "body", None, "required"),
        ("[]", "body", "[]", "valid dictionary"),
    ],
)
def test_a_stream_that_cannot_be_is_refused(
    api: httpx.Client, body: str, field: str, value: object, reason: str
) -> None:
    before = api.get("/streams").json()
    answer = api.post(
        "/streams", content=body.encode(), headers={"Content-Type": "application/json"}
    )
    assert answer.status_code == 422, answer.text
    error = answer.json()["error"]
    assert error["code"] == "invalid"
    (found,) = error["fields"]
    assert (found["field"], found["value"]) == (field, value)
    assert reason in found["reason"]
    assert field in error["message"]
    assert api.get("/streams").json() == before


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ('{"name": null}', "name"),
        ('{"source": null}', "source"),
        ('{"paused": null}', "paused"),
        ('{"loop": null}', "loop"),
        ('{"threshold": NaN}', "threshold"),
        ('{"model": "missing"}', "model"),
        ('{"source": "gopher://h/"}', "source"),
        ('{"receiver_ids": ["nobody"]}', "receiver_ids[0]"),
        ('{"revision": 5}', "revision"),
    ],
)
def test_a_change_that_cannot_be_is_refused_and_changes_nothing(
    api: httpx.Client, stream_id: str, change: str, field: str
) -> None:
    before = api.get(f"/streams/{stream_id}").json()
    answer = api.patch(
        f"/streams/{stream_id}",
        content=change.encode(),
        headers={"Content-Type": "application/json"},
    )
    assert answer.status_code == 422, answer.text
    assert [found["field"] for found in answer.json()["error"]["fields"]] == [field]
    assert api.get(f"/streams/{stream_id}").json() == before


@pytest.mark.parametrize(
    ("schedule", "field", "value"),
    [
        (f'{{{ZONE}, "hours": []}}', "schedule.hours", "[]"),
        (
            f'{{"timezone": "CET/X", "hours": [{{{HOURS}, "to": "24:00"}}]}}',
            "schedule.timezone",
            "CET/X",
        ),
        (f'{{{ZONE}, "hours": [{{{HOURS}, "to": "25:00"}}]}}', "schedule.hours[0].to", "25:00"),
        (f'{{{ZONE}, "hours": [{{{HOURS}, "to": "08:00"}}]}}', "schedule.hours[0]", None),
        (f'{{{ZONE}, "hours": [{{{HOURS}}}]}}', "schedule.hours[0].to", None),
        ("[]", "schedule", "[]"),
    ],
)
def test_a_schedule_that_cannot_be_names_the_hours(
    api: httpx.Client, stream_id: str, schedule: str, field: str, value: str | None
) -> None:
    path = f"/streams/{stream_id}"
    answer = api.patch(
        path,
        content=f'{{"schedule": {schedule}}}'.encode(),
        headers={"Content-Type": "application/json"},
    )
    assert answer.status_code == 422, answer.text
    found = {each["field"]: each["value"] for each in answer.json()["error"]["fields"]}
    assert found == {field: value}
    assert api.get(path).json()["schedule"] is None


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ({"from": "yesterday"}, "from"),
        ({"from": "NaN"}, "from"),
        ({"to": "1e400"}, "to"),
        ({"from": "-5"}, "from"),
        ({"from": "2026-01-02T00:00:00Z", "to": "2026-01-01T00:00:00Z"}, "from"),
        ({"limit": "0"}, "limit"),
        ({"limit": "10001"}, "limit"),
        ({"after": "-2"}, "after"),
        ({"after": str(2**63)}, "after"),
        ({"format": "xml"}, "format"),
        ({"resolution": "hour"}, "resolution"),
    ],
)
def test_scores_are_asked_for_properly(
    api: httpx.Client, stream_id: str, query: dict[str, str], field: str
) -> None:
    answer = api.get(f"/streams/{stream_id}/scores", params=query)
    assert answer.status_code == 422, answer.text
    (found,) = answer.json()["error"]["fields"]
    assert found["field"] == field
    assert found["value"] is not None
    assert found["reason"]


@pytest.mark.parametrize(
    "query",
    [
        {"from": "200", "to": "100"},
        {"before": "nonsense"},
        {"before": "1e999_abc"},
        {"limit": "5000"},
        {"open": "maybe"},
    ],
)
def test_events_are_asked_for_properly(api: httpx.Client, query: dict[str, str]) -> None:
    answer = api.get("/events", params=query)
    assert answer.status_code == 422, answer.text
    assert answer.json()["error"]["fields"][0]["field"] in query


@pytest.mark.parametrize(
    "path",
    [
        "/streams/unknown",
        "/streams/%00",
        "/streams/" + "x" * 500,
        "/streams/unknown/scores",
        "/streams/unknown/scores/live",
        "/streams/unknown/frame.jpg",
        "/events?stream_id=unknown",
        "/events/unknown",
        "/events/%00/start.jpg",
        "/webhooks/unknown",
        "/webhooks/unknown/deliveries",
        "/webhooks/unknown/deliveries/unknown",
        "/nothing/here",
        "/static/nothing.js",
    ],
)
def test_what_is_not_there_is_a_404_in_the_one_form(api: httpx.Client, path: str) -> None:
    answer = api.get(path)
    assert answer.status_code == 404
    assert answer.json()["error"]["code"] == "not_found"
    assert answer.json()["error"]["message"]


def test_a_wrong_method_says_which_are_right(api: httpx.Client) -> None:
    answer = api.put("/models")
    assert answer.status_code == 405
    assert answer.json()["error"]["code"] == "method_not_allowed"
    assert "GET" in answer.headers["Allow"]


def test_a_body_that_is_too_large_is_refused_while_it_is_read(api: httpx.Client) -> None:
    def parts() -> object:
        for _ in range(40):
            yield b" " * 10_000

    declared = api.post("/streams", content=b" " * 300_000)
    streamed = api.post("/streams", content=parts(), headers={"Content-Type": "application/json"})
    for answer in (declared, streamed):
        assert answer.status_code == 413
        assert answer.json()["error"]["code"] == "too_large"


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "url"),
        ({"url": "ftp://example.com/"}, "url"),
        ({"url": "https://u:geheim@example.com/"}, "url"),
        ({"url": "https://example.com/", "event_types": ["event.never"]}, "event_types[0]"),
        ({"url": "https://example.com/", "secret": "whsec_geheim"}, "secret"),
        ({"url": "https://example.com/", "secret": "geheim"}, "secret"),
        ({"url": "https://example.com/", "extra": 1}, "extra"),
        ({"url": "https://example.com/", "name": "x\x00"}, "name"),
        ({"url": "https://example.com/", "stream_ids": ["x\x00"]}, "stream_ids[0]"),
    ],
)
def test_a_webhook_that_cannot_be_is_refused(
    api: httpx.Client, body: dict[str, object], field: str
) -> None:
    answer = api.post("/webhooks", json=body)
    assert answer.status_code == 422, answer.text
    assert answer.json()["error"]["fields"][0]["field"] == field
    assert "geheim" not in answer.text


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("PUT", "/streams/0123", "DELETE, GET, HEAD, PATCH"),
        ("DELETE", "/webhooks", "GET, HEAD, POST"),
        ("POST", "/events/export", "GET, HEAD, PATCH"),
    ],
)
def test_all_methods_that_are_allowed_are_named(
    api: httpx.Client, method: str, path: str, allowed: str
) -> None:
    answer = api.request(method, path)
    assert answer.status_code == 405
    assert answer.headers["Allow"] == allowed
    assert answer.json()["error"]["message"].endswith(f"allowed: {allowed}")


@pytest.mark.parametrize(
    ("method", "path", "unknown"),
    [
        ("GET", "/events?limt=3&limit=2", "limt"),
        ("GET", "/events?stream=x", "stream"),
        ("GET", "/models?verbose=true", "verbose"),
        ("GET", "/metrics?name=x", "name"),
        ("DELETE", "/webhooks/0123?force=true", "force"),
    ],
)
def test_parameters_that_nothing_takes_are_refused(
    api: httpx.Client, method: str, path: str, unknown: str
) -> None:
    answer = api.request(method, path)
    assert answer.status_code == 422, answer.text
    (field,) = answer.json()["error"]["fields"]
    assert field["field"] == unknown
    assert "no query parameter here" in field["reason"]


def test_a_refused_parameter_names_those_that_there_are(api: httpx.Client) -> None:
    reason = api.get("/events?limt=3").json()["error"]["fields"][0]["reason"]
    assert "limit" in reason


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", "/webhooks/0123/replay", b'{"limit":2}'),
        ("POST", "/webhooks/0123/test", b"[1]"),
        ("DELETE", "/streams/0123", b'{"force":true}'),
        ("GET", "/events", b"x"),
    ],
)
def test_bodies_that_nothing_takes_are_refused(
    api: httpx.Client, method: str, path: str, body: bytes
) -> None:
    answer = api.request(method, path, content=body)
    assert answer.status_code == 422, answer.text
    (field,) = answer.json()["error"]["fields"]
    assert field["field"] == "body"
    assert api.request(method, path, content=b" {} ").status_code in (200, 404)


def test_a_parameter_is_given_once_unless_it_is_a_list(api: httpx.Client) -> None:
    answer = api.get("/events?limit=1&limit=2")
    assert answer.status_code == 422
    assert answer.json()["error"]["fields"][0] == {
        "field": "limit",
        "value": "[1, 2]",
        "reason": "is given more than once",
    }


def test_a_wrong_list_is_repeated_in_the_error(api: httpx.Client) -> None:
    body = {"name": "x", "source": "upload", "threshold": [1, "rtsp://u:secret@cam/", None]}
    field = api.post("/streams", json=body).json()["error"]["fields"][0]
    assert (field["field"], field["value"]) == ("threshold", "[1, rtsp://***@cam/, …]")
