"""Events, their pictures, webhooks and what became of their messages."""

from __future__ import annotations

import httpx

from service.store.database import Database
from service.store.tables import DeliveryRow, ReceiverRow
from tests.support.clips import encoded
from tests.support.front_end import add_event


def _ids(answer: httpx.Response) -> list[str]:
    assert answer.status_code == 200, answer.text
    return [item["id"] for item in answer.json()["items"]]


def test_events_come_newest_first_page_by_page(
    api: httpx.Client, rows: Database, stream_id: str
) -> None:
    for number in range(5):
        # Two that start at the same time must not hide each other at a page's end.
        add_event(rows, stream_id, f"e{number}", 100.0 + number // 2, ended_at=110.0)
    assert _ids(api.get("/events")) == ["e4", "e3", "e2", "e1", "e0"]
    walked: list[str] = []
    before: str | None = None
    while True:
        params = {"limit": "1"} | ({"before": before} if before else {})
        page = api.get("/events", params=params)
        walked += _ids(page)
        before = page.json()["next"]
        if before is None:
            break
    assert walked == ["e4", "e3", "e2", "e1", "e0"]


def test_events_are_filtered(api: httpx.Client, rows: Database, stream_id: str) -> None:
    other = api.post("/streams", json={"name": "other", "source": "upload"}).json()["id"]
    add_event(rows, stream_id, "old", 100.0, ended_at=110.0)
    add_event(rows, stream_id, "open", 200.0)
    add_event(rows, other, "other", 300.0, ended_at=310.0)
    assert _ids(api.get("/events", params={"stream_id": stream_id})) == ["open", "old"]
    assert _ids(api.get("/events", params={"open": "true"})) == ["open"]
    assert _ids(api.get("/events", params={"open": "false"})) == ["other", "old"]
    assert _ids(api.get("/events", params={"from": "105", "to": "150"})) == ["old"]
    assert _ids(api.get("/events", params={"from": "250"})) == ["other", "open"]


def test_an_event_has_its_picture(api: httpx.Client, rows: Database, stream_id: str) -> None:
    picture = encoded()
    add_event(rows, stream_id, "seen", 100.5, picture=picture)
    add_event(rows, stream_id, "blind", 50.0)
    event = api.get("/events/seen").json()
    assert event == {
        "id": "seen",
        "stream_id": stream_id,
        "stream_name": "yard",
        "started_at": "1970-01-01T00:01:40.500000Z",
        "ended_at": None,
        "first_frame": 10,
        "last_frame": 20,
        "peak_score": 0.91,
        "peak_frame": 14,
        "threshold": 0.5,
        "region": [0.1, 0.2, 0.5, 0.6],
        "cause": "motion",
        "picture": "/events/seen/start.jpg",
        "media": [],
        "muted": False,
        "label": None,
        "note": None,
        "labelled_at": None,
    }
    assert api.get(event["picture"]).content == picture
    assert api.get("/events/blind").json()["picture"] is None
    assert api.get("/events/blind/start.jpg").status_code == 404


def test_a_secret_is_displayed_once(api: httpx.Client, rows: Database) -> None:
    made = api.post("/webhooks", json={"url": "http://127.0.0.1:9/hook"})
    assert made.status_code == 201
    secret, path = made.json()["secret"], made.headers["Location"]
    assert secret.startswith("whsec_")
    assert made.headers["Cache-Control"] == "no-store"
    for text in (api.get("/webhooks").text, api.get(path).text):
        assert "whsec_" not in text
    with rows.read() as session:
        row = session.get(ReceiverRow, made.json()["id"])
        assert row is not None
        assert row.secret == secret


def test_a_secret_may_be_brought_along(api: httpx.Client) -> None:
    secret = "whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3"
    body = {"url": "http://127.0.0.1:9/", "secret": secret, "event_types": ["event.ended"]}
    made = api.post("/webhooks", json=body).json()
    assert (made["secret"], made["event_types"]) == (secret, ["event.ended"])


def test_deliveries_report_what_became_of_messages(
    api: httpx.Client, rows: Database, stream_id: str
) -> None:
    # Its port refuses at once; the deliverer, which runs meanwhile, may have tried the waiting one.
    hook = api.post("/webhooks", json={"url": "http://127.0.0.1:9/"}).json()["id"]
    with rows.write() as session:
        for number, state in enumerate(("dead", "delivered")):
            session.add(
                DeliveryRow(
                    id=f"msg_{number}",
                    sequence=number,
                    receiver_id=hook,
                    stream_id=stream_id,
                    event_type="event.started",
                    body="{}",
                    state=state,
                    attempts=number + 1,
                    next_attempt_at=0.0,
                    created_at=4_000_000_000.0 + number,
                    delivered_at=4_000_000_005.0 if state == "delivered" else None,
                    last_status=204 if state == "delivered" else None,
                    last_error=None if state == "delivered" else "no answer",
                )
            )
    newest, oldest = api.get(f"/webhooks/{hook}/deliveries").json()["items"]
    assert (newest["id"], newest["state"], newest["last_status"]) == ("msg_1", "delivered", 204)
    assert (oldest["state"], oldest["attempts"], oldest["last_error"]) == ("dead", 1, "no answer")
    assert oldest["next_attempt_at"] is None
    assert api.delete(f"/webhooks/{hook}").status_code == 204
    assert api.get(f"/webhooks/{hook}/deliveries").status_code == 404
