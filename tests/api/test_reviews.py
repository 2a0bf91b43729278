"""What people say of events, and events as a file."""

from __future__ import annotations

import csv
import io
import json
import time
from collections.abc import Iterator

import httpx
import pytest
from sqlalchemy import delete, update

from service.api.event_queries import BATCH
from service.settings import Settings
from service.store.database import Database
from service.store.tables import EventRow, StreamRow
from tests.support.front_end import add_event, client


def _ids(answer: httpx.Response) -> list[str]:
    assert answer.status_code == 200, answer.text
    return [item["id"] for item in answer.json()["items"]]


@pytest.fixture(scope="module")
def api(module_settings: Settings) -> Iterator[httpx.Client]:
    """One front end for all of these."""
    with client(module_settings) as made:
        yield made


@pytest.fixture
def rows(api: httpx.Client, module_settings: Settings) -> Iterator[Database]:
    """Its database, without streams; fixtures after this one make some."""
    assert api.get("/healthz").is_success
    database = Database(module_settings.database)
    with database.write() as session:
        session.execute(delete(StreamRow))
    yield database
    database.close()


@pytest.fixture
def events(rows: Database, stream_id: str) -> None:
    """Three: two that ended, one that goes on."""
    for number, ended_at in enumerate((110.0, 210.0, None)):
        add_event(rows, stream_id, f"e{number}", 100.0 * (number + 1), ended_at=ended_at)


@pytest.mark.usefixtures("events")
def test_an_event_is_labelled_and_the_label_is_removed(api: httpx.Client) -> None:
    before = time.time()
    body = {"label": "normal", "note": "The cleaners,\nevery Tuesday."}
    answer = api.patch("/events/e0", json=body)
    assert answer.status_code == 200
    judged = answer.json()
    assert (judged["label"], judged["note"]) == ("normal", "The cleaners,\nevery Tuesday.")
    assert judged["labelled_at"].startswith(time.strftime("%Y-", time.gmtime(before)))
    assert api.get("/events/e0").json() == judged
    kept = api.patch("/events/e0", json={"note": None}).json()
    assert (kept["label"], kept["note"]) == ("normal", None)
    assert kept["labelled_at"] == judged["labelled_at"]
    assert api.patch("/events/e0", json={}).json() == kept
    again = api.patch("/events/e0", json={"label": "real"}).json()
    assert again["label"] == "real"
    assert again["labelled_at"] >= judged["labelled_at"]
    back = api.patch("/events/e0", json={"label": None}).json()
    assert (back["label"], back["labelled_at"]) == (None, None)
    assert api.get("/events/e1").json()["label"] is None, "others stay as they are"


@pytest.mark.usefixtures("events")
def test_a_note_may_hold_the_spaces_and_joiners_of_any_script(api: httpx.Client) -> None:
    note = "\u6771\u53e3\u3000\u5317,\t10\u00a0m\n\U0001f468\u200d\U0001f467"
    answer = api.patch("/events/e0", json={"note": note})
    assert (answer.status_code, answer.json().get("note")) == (200, note)


@pytest.mark.usefixtures("events")
@pytest.mark.parametrize(
    ("body", "field", "reason"),
    [
        ({"label": "maybe"}, "label", "'real' or 'normal'"),
        ({"label": True}, "label", "'real' or 'normal'"),
        ({"note": "x" * 2001}, "note", "at most 2000"),
        ({"note": "a\0b"}, "note", "control characters"),
        ({"note": "a\x85b"}, "note", "control characters"),
        ({"note": 5}, "note", "string"),
        ({"labelled_at": 5}, "labelled_at", "not permitted"),
    ],
)
def test_a_judgement_that_cannot_be_is_refused(
    api: httpx.Client, body: dict[str, object], field: str, reason: str
) -> None:
    answer = api.patch("/events/e0", json=body)
    assert answer.status_code == 422, answer.text
    (found,) = answer.json()["error"]["fields"]
    assert found["field"] == field
    assert reason in found["reason"]
    assert api.get("/events/e0").json()["label"] is None


def test_what_is_not_there_cannot_be_judged(api: httpx.Client) -> None:
    for ident in ("unknown", "%00", "x" * 100):
        assert api.patch(f"/events/{ident}", json={"label": "real"}).status_code == 404


def test_events_are_filtered_by_their_label(
    api: httpx.Client, events: None, stream_id: str
) -> None:
    api.patch("/events/e0", json={"label": "normal"})
    api.patch("/events/e1", json={"label": "real"})
    assert _ids(api.get("/events", params={"label": "normal"})) == ["e0"]
    assert _ids(api.get("/events", params={"label": "real"})) == ["e1"]
    assert _ids(api.get("/events", params={"label": "none"})) == ["e2"]
    both = {"label": "real", "stream_id": stream_id, "from": "205"}
    assert _ids(api.get("/events", params=both)) == ["e1"]
    assert _ids(api.get("/events", params=both | {"from": "215"})) == []
    wrong = api.get("/events", params={"label": "maybe"})
    assert wrong.json()["error"]["fields"][0]["field"] == "label"


def test_a_file_holds_what_the_filters_leave_with_what_was_said(
    api: httpx.Client, rows: Database, events: None
) -> None:
    note = 'He said "hello",\nand left; näher'
    api.patch("/events/e1", json={"label": "real", "note": note})
    with rows.write() as session:
        session.execute(update(EventRow).where(EventRow.id == "e2").values(muted=True))
    answer = api.get("/events/export")
    assert answer.headers["content-type"].startswith("text/csv")
    assert 'filename="events.csv"' in answer.headers["content-disposition"]
    table = list(csv.DictReader(io.StringIO(answer.text)))
    assert [line["id"] for line in table] == ["e0", "e1", "e2"], "the oldest first"
    assert {line["stream_name"] for line in table} == {"yard"}
    assert [line["label"] for line in table] == ["", "real", ""]
    assert table[1]["note"] == note
    assert [line["muted"] for line in table] == ["False", "False", "True"]
    assert json.loads(table[0]["region"]) == [0.1, 0.2, 0.5, 0.6]
    lines = api.get("/events/export", params={"format": "jsonl", "label": "real"})
    assert lines.headers["content-type"].startswith("application/x-ndjson")
    (event,) = map(json.loads, lines.text.splitlines())
    assert event == api.get("/events/e1").json()


@pytest.mark.usefixtures("rows")
def test_a_file_of_nothing_is_a_line_of_names_or_empty(api: httpx.Client) -> None:
    assert api.get("/events/export").text.startswith("id,stream_id,stream_name,")
    assert api.get("/events/export").text.count("\n") == 1
    empty = api.get("/events/export", params={"format": "jsonl"})
    assert (empty.status_code, empty.text) == (200, "")


@pytest.mark.parametrize(
    ("query", "status", "field"),
    [
        ({"format": "xml"}, 422, "format"),
        ({"from": "200", "to": "100"}, 422, "from"),
        ({"stream_id": "unknown"}, 404, None),
    ],
)
def test_a_file_is_asked_for_properly(
    api: httpx.Client, query: dict[str, str], status: int, field: str | None
) -> None:
    answer = api.get("/events/export", params=query)
    assert answer.status_code == status
    assert [found["field"] for found in answer.json()["error"]["fields"]] == (
        [field] if field else []
    )


@pytest.mark.parametrize(
    "note", ['=HYPERLINK("http://x")', "\uff1d1+1", "\uff0b1", "@SUM(1)", "-1", "\uff20x"]
)
def test_no_spreadsheet_takes_a_note_for_a_formula(
    api: httpx.Client, rows: Database, stream_id: str, note: str
) -> None:
    add_event(rows, stream_id, "e", 100.0)
    assert api.patch("/events/e", json={"note": note}).is_success
    (line,) = csv.DictReader(io.StringIO(api.get("/events/export").text))
    assert line["note"] == f"'{note}"


def test_a_long_file_has_each_event_once(api: httpx.Client, rows: Database, stream_id: str) -> None:
    """More than are held at once, many of them at the same time."""
    count = 2 * BATCH + 7
    with rows.write() as session:
        session.add_all(
            EventRow(
                id=f"e{number:05}",
                stream_id=stream_id,
                started_at=100.0 + number // 700,
                first_frame=number,
                last_frame=number,
                peak_score=0.9,
                peak_frame=number,
                threshold=0.5,
                picture=b"x" * 100,
            )
            for number in range(count)
        )
    text = api.get("/events/export", params={"format": "jsonl"}).text
    found = [json.loads(line)["id"] for line in text.splitlines()]
    assert found == [f"e{number:05}" for number in range(count)]
