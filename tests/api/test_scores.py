"""Scores by page, as CSV, and live."""

from __future__ import annotations

import csv
import io
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator

import httpx
from sqlalchemy import func, select

from service.api.times import format_time
from service.history import rollups
from service.messages import FrameScore
from service.settings import Settings
from service.store.database import Database
from service.store.tables import ScoreRow
from tests.support.front_end import add_event, add_scores
from tests.support.servers import free_port, wait_for

FIELDS = {
    "frame",
    "captured_at",
    "scored_at",
    "psnr",
    "distance",
    "gate_error",
    "score",
    "standing",
    "threshold",
    "memory_updated",
    "state",
}


def _frames(answer: httpx.Response) -> list[int]:
    assert answer.status_code == 200, answer.text
    return [item["frame"] for item in answer.json()["items"]]


def test_items_have_every_field(api: httpx.Client, rows: Database, stream_id: str) -> None:
    add_scores(rows, stream_id, [None, 0.25], started_at=1000.0)
    warming, scored = api.get(f"/streams/{stream_id}/scores").json()["items"]
    assert set(scored) == FIELDS
    assert scored == {
        "frame": 1,
        "captured_at": "1970-01-01T00:16:40.100000Z",
        "scored_at": "1970-01-01T00:16:40.150000Z",
        "psnr": 30.0,
        "distance": 0.01,
        "gate_error": 0.002,
        "score": 0.25,
        "standing": None,
        "threshold": 0.5,
        "memory_updated": True,
        "state": "live",
    }
    assert (warming["score"], warming["state"]) == (None, "warming")


def test_the_newest_come_without_bounds_and_the_cursor_walks_all(
    api: httpx.Client, rows: Database, stream_id: str
) -> None:
    add_scores(rows, stream_id, [0.1] * 25)
    path = f"/streams/{stream_id}/scores"
    newest = api.get(path, params={"limit": 10})
    assert _frames(newest) == list(range(15, 25))
    assert newest.json()["next"] is None
    walked: list[int] = []
    after: int | None = -1
    while after is not None:
        page = api.get(path, params={"after": after, "limit": 10})
        walked += _frames(page)
        after = page.json()["next"]
    assert walked == list(range(25))


def test_times_bound_a_page_on_both_ends(api: httpx.Client, rows: Database, stream_id: str) -> None:
    add_scores(rows, stream_id, [0.1] * 10, started_at=1_795_507_200.0)
    path = f"/streams/{stream_id}/scores"
    shown = api.get(path).json()["items"]
    bounds = {"from": shown[3]["captured_at"], "to": shown[5]["captured_at"]}
    assert _frames(api.get(path, params=bounds)) == [3, 4, 5], "what was shown finds itself"
    assert _frames(api.get(path, params={"from": "1795507200.75"})) == [8, 9]
    # An unescaped plus sign of a zone arrives as a space.
    assert _frames(api.get(f"{path}?to=2026-11-24T10:00:00.15+02:00")) == [0, 1]
    page = api.get(path, params={"to": "1795507200.65", "after": 2, "limit": 2})
    assert _frames(page) == [3, 4]
    assert page.json()["next"] == 4


def test_csv_comes_by_format_and_by_accept(
    api: httpx.Client, rows: Database, stream_id: str
) -> None:
    add_scores(rows, stream_id, [None, *[0.1] * 2999])
    path = f"/streams/{stream_id}/scores"
    for answer in (
        api.get(path, params={"format": "csv", "after": -1, "limit": 2000}),
        api.get(path, params={"after": -1, "limit": 2000}, headers={"Accept": "text/csv"}),
    ):
        assert answer.headers["Content-Type"].startswith("text/csv")
        assert answer.headers["X-Next"] == "1999"
        table = list(csv.DictReader(io.StringIO(answer.text)))
        assert set(table[0]) == FIELDS
        assert [int(row["frame"]) for row in table] == list(range(2000))
        assert (table[0]["score"], table[1]["score"]) == ("", "0.1")


ROLLUP_FIELDS = {"at", "count", "min", "mean", "max", "threshold"}


def _roll_up(rows: Database, stream_id: str, first: float, count: int, every_s: float) -> None:
    """Roll-ups of one score each, without the scores, as they are when these are gone."""
    scores = [
        FrameScore(
            frame=place,
            epoch=1,
            captured_at=first + place * every_s,
            scored_at=first,
            score=(place % 4) / 4,
            threshold=0.5,
        )
        for place in range(count)
    ]
    with rows.write() as session:
        rollups.add_scores(session, {stream_id: scores})


def test_rollups_have_every_field(api: httpx.Client, rows: Database, stream_id: str) -> None:
    _roll_up(rows, stream_id, 1_795_507_200.0, 8, 0.25)
    path = f"/streams/{stream_id}/scores"
    answer = api.get(path, params={"resolution": "second"})
    assert answer.headers["X-Resolution"] == "second"
    page = answer.json()
    assert (page["resolution"], page["next"]) == ("second", None)
    assert page["items"][1] == {
        "at": "2026-11-24T08:00:01.000000Z",
        "count": 4,
        "min": 0.0,
        "mean": 0.375,
        "max": 0.75,
        "threshold": 0.5,
    }
    (minute,) = api.get(path, params={"resolution": "minute"}).json()["items"]
    assert set(minute) == ROLLUP_FIELDS
    assert minute["count"] == 8


def test_pages_of_rollups_follow_each_other_by_time(
    api: httpx.Client, rows: Database, stream_id: str
) -> None:
    start = 1_795_507_200.0
    _roll_up(rows, stream_id, start, 25, 1.0)
    path = f"/streams/{stream_id}/scores"
    walked: list[str] = []
    following: str | None = format_time(start)
    while following is not None:
        params = {"from": following, "resolution": "second", "limit": 10}
        page = api.get(path, params=params).json()
        assert len(page["items"]) <= 10
        walked += [item["at"] for item in page["items"]]
        following = page["next"]
    assert walked == [format_time(start + second) for second in range(25)]
    newest = api.get(path, params={"resolution": "second", "limit": 10}).json()
    assert [item["at"] for item in newest["items"]] == walked[15:]
    assert newest["next"] is None


def test_the_resolution_suits_the_span_and_what_is_left(
    api: httpx.Client, rows: Database, stream_id: str
) -> None:
    start = 1_795_507_200.0
    path = f"/streams/{stream_id}/scores"
    _roll_up(rows, stream_id, start, 200, 60.0)

    def resolution(first: float, last: float, **params: str) -> str:
        bounds = {"from": str(start + first), "to": str(start + last)}
        return str(api.get(path, params=bounds | params).json()["resolution"])

    assert resolution(0, 600) == "second", "there are no frames"
    assert resolution(0, 7200) == "second"
    assert resolution(0, 12_000) == "minute"
    assert resolution(0, 600, resolution="minute") == "minute"
    add_scores(rows, stream_id, [0.1] * 600, started_at=start)
    assert resolution(0, 600) == "frame"
    assert resolution(0, 12_000, after="5") == "frame", "its page follows one of frames"
    assert resolution(0, 12_000, resolution="frame") == "frame"
    assert api.get(path, params={"from": start}).json()["resolution"] == "frame"


def test_rollups_come_as_csv(api: httpx.Client, rows: Database, stream_id: str) -> None:
    start = 1_795_507_200.0
    _roll_up(rows, stream_id, start, 100, 1.0)
    params = {"from": start, "resolution": "second", "format": "csv", "limit": 30}
    answer = api.get(f"/streams/{stream_id}/scores", params=params)
    assert answer.headers["X-Next"] == format_time(start + 30)
    assert answer.headers["X-Resolution"] == "second"
    table = list(csv.DictReader(io.StringIO(answer.text)))
    assert set(table[0]) == ROLLUP_FIELDS
    assert [row["at"] for row in table] == [format_time(start + second) for second in range(30)]


def test_a_frame_is_no_place_among_rollups(api: httpx.Client, stream_id: str) -> None:
    params = {"after": 5, "resolution": "minute"}
    answer = api.get(f"/streams/{stream_id}/scores", params=params)
    assert answer.status_code == 422
    (field,) = answer.json()["error"]["fields"]
    assert (field["field"], field["value"]) == ("after", "5")


def test_a_deleted_stream_is_gone_from_all_answers_while_its_rows_are_there(
    api: httpx.Client, rows: Database, stream_id: str
) -> None:
    add_scores(rows, stream_id, [0.1] * 2000)
    add_event(rows, stream_id, "evt_1", 1_795_507_200.0)
    with api.stream("GET", f"/streams/{stream_id}/scores/live?after=5") as answer:
        assert answer.is_success
        assert httpx.delete(f"{api.base_url}/streams/{stream_id}").status_code == 204
    with rows.read() as session:
        left = select(func.count()).select_from(ScoreRow).where(ScoreRow.stream_id == stream_id)
        assert session.scalar(left) == 2000
    assert api.get("/streams").json()["items"] == []
    assert api.get("/events").json()["items"] == []
    for path in (
        f"/streams/{stream_id}",
        f"/streams/{stream_id}/scores",
        f"/streams/{stream_id}/scores/live",
        f"/streams/{stream_id}/log",
        "/events/evt_1",
        "/events/evt_1/start.jpg",
    ):
        assert api.get(path).status_code == 404, path
    assert api.patch(f"/streams/{stream_id}", json={"paused": True}).status_code == 404


def _events(lines: Iterator[str], count: int) -> list[dict[str, str]]:
    """The next events that aren't comments."""
    found: list[dict[str, str]] = []
    event: dict[str, str] = {}
    while len(found) < count:
        line = next(lines)
        if line and not line.startswith(":"):
            name, _, value = line.partition(": ")
            event[name] = value
        elif "event" in event:
            found.append(event)
            event = {}
        elif not line:
            event = {}
    return found


def test_live_scores_begin_with_the_next_one(
    api: httpx.Client, rows: Database, stream_id: str
) -> None:
    path = f"/streams/{stream_id}/scores"
    with api.stream("GET", f"{path}/live") as answer:
        assert answer.headers["Content-Type"].startswith("text/event-stream")
        lines = answer.iter_lines()
        assert next(lines).startswith(":")
        add_scores(rows, stream_id, [0.1, 0.9])
        first, second = _events(lines, 2)
    assert (first["event"], first["id"], second["id"]) == ("score", "0", "1")
    assert json.loads(second["data"]) == api.get(path).json()["items"][1]


def test_a_client_that_comes_back_misses_none(
    api: httpx.Client, rows: Database, stream_id: str
) -> None:
    add_scores(rows, stream_id, [0.1] * 1200)
    path = f"/streams/{stream_id}/scores/live"
    with api.stream("GET", path, headers={"Last-Event-ID": "3"}) as answer:
        found = _events(answer.iter_lines(), 1196)
    assert [int(event["id"]) for event in found] == list(range(4, 1200))
    with api.stream("GET", path, params={"after": 1197}) as answer:
        assert [event["id"] for event in _events(answer.iter_lines(), 2)] == ["1198", "1199"]


def test_live_scores_end_with_the_stream(api: httpx.Client, stream_id: str) -> None:
    with api.stream("GET", f"/streams/{stream_id}/scores/live") as answer:
        lines = answer.iter_lines()
        next(lines)
        assert httpx.delete(f"{api.base_url}/streams/{stream_id}").status_code == 204
        assert _events(lines, 1)[0]["event"] == "end"
        assert not [line for line in lines if line.startswith("event")]


def test_a_server_that_stops_ends_its_live_answers(settings: Settings) -> None:
    port = free_port()
    environment = os.environ | {
        "NORMWATCH_REDIS_URL": settings.redis_url or "",
        "NORMWATCH_DATA_DIR": str(settings.data_dir),
        "NORMWATCH_MODELS_DIR": str(settings.models_dir),
        "NORMWATCH_PORT": str(port),
    }
    command = [sys.executable, "-m", "service", "api"]
    with (
        subprocess.Popen(command, env=environment) as server,
        httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=60, trust_env=False) as api,
    ):

        def answers() -> bool:
            try:
                return api.get("/readyz").is_success
            except httpx.TransportError:
                return False

        try:
            wait_for(answers, "the front end")
            made = api.post("/streams", json={"name": "a", "source": "upload"}).json()
            ended = threading.Event()
            with api.stream("GET", f"/streams/{made['id']}/scores/live") as answer:
                lines = answer.iter_lines()
                next(lines)
                server.send_signal(signal.SIGTERM)
                for _ in lines:
                    pass
                ended.set()
            assert ended.is_set()
            assert server.wait(30) in (0, -signal.SIGTERM)
        finally:
            server.kill()
