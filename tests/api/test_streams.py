"""Registering, changing and removing cameras."""

from __future__ import annotations

import socket
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest
from pytest_httpserver import HTTPServer
from redis import Redis
from sqlalchemy import func, select

from model.network.update_rules import UPDATE_RULES
from service.api import app, source_checks
from service.bus.registry import Registry
from service.history.history_retention import EVERY_S, HistoryRetention
from service.messages import DropReason, StreamState, StreamStatus, WorkerStatus
from service.metrics import Metrics
from service.settings import Settings
from service.store.database import Database
from service.store.deleted_streams import WITH_DELETED
from service.store.tables import EventRow, ScoreRow, StreamLogRow
from tests.support.clips import encoded, video
from tests.support.front_end import add_event, add_scores, client
from tests.support.servers import wait_for


def _create(api: httpx.Client, **body: object) -> dict[str, object]:
    answer = api.post("/streams", json={"name": "gate", "source": "upload"} | body)
    assert answer.status_code == 201, answer.text
    made: dict[str, object] = answer.json()
    return made


def test_a_stream_is_registered_and_published_to_the_workers(
    api: httpx.Client, redis: Redis
) -> None:
    answer = api.post(
        "/streams",
        json={"name": " North gate ", "source": "upload", "model": "small", "threshold": 0.6},
    )
    assert answer.status_code == 201
    made = answer.json()
    assert answer.headers["Location"] == f"/streams/{made['id']}"
    assert made["name"] == "North gate"
    assert (made["model"], made["learning"], made["warnings"]) == ("small", None, [])
    assert made["status"]["state"] == "pending"
    assert made["status"]["threshold"] == 0.6
    assert api.get(f"/streams/{made['id']}").json() == made
    config = Registry(redis).streams()[made["id"]]
    assert (config.source, config.threshold, config.revision) == ("upload", 0.6, 1)


NAMES = (
    "\u6771\u53e3\u3000\u5317",
    "\u0645\u06cc\u200c\u062e",
    "\U0001f468\u200d\U0001f467",
    "5\u00a0m",
)


@pytest.mark.parametrize("name", NAMES)
def test_a_name_may_hold_the_spaces_and_joiners_of_any_script(api: httpx.Client, name: str) -> None:
    made = _create(api, name=name)
    assert made["name"] == name
    answer = api.patch(f"/streams/{made['id']}", json={"name": f"{name}\u200d2"})
    assert answer.json()["name"] == f"{name}\u200d2"


def test_a_file_is_found_by_any_name_that_it_may_have(api: httpx.Client, media: Path) -> None:
    path = media / "Screen Recording at 5.00.00\u202fPM \u3000.mp4"
    path.write_bytes(video(4))
    assert _create(api, source=str(path))["source"] == str(path)


def test_the_status_is_the_workers_word(api: httpx.Client, redis: Redis, stream_id: str) -> None:
    status = StreamStatus(
        state=StreamState.LIVE,
        since=100.0,
        scored=7,
        dropped={DropReason.CAPTURE_RING: 2},
        fps=9.87654,
        target_fps=10.0,
        degraded=True,
        weight=2.0,
        share=0.123456,
        frame_age_s=0.12,
        frame_age_p50_s=0.2,
        frame_age_p99_s=0.45,
        worker="w1",
        updated_at=101.0,
    )
    worker = WorkerStatus(id="w1", started_at=1.0, seen_at=2.0, streams=1, device="cpu")
    Registry(redis).report({stream_id: status}, worker)
    shown = api.get("/streams").json()["items"][0]["status"]
    assert shown["state"] == "live"
    assert shown["since"] == "1970-01-01T00:01:40.000000Z"
    assert (shown["scored"], shown["dropped"], shown["fps"]) == (7, {"capture_ring": 2}, 9.877)
    assert (shown["target_fps"], shown["degraded"]) == (10.0, True)
    assert (shown["weight"], shown["share"]) == (2.0, 0.1235)
    assert (shown["frame_age_p50_s"], shown["frame_age_p99_s"]) == (0.2, 0.45)
    assert shown["threshold"] == 0.5, "the model's"
    metrics = api.get("/metrics").text
    for line in (
        f'normwatch_stream_degraded{{stream="{stream_id}"}} 1.0',
        f'normwatch_stream_weight{{stream="{stream_id}"}} 2.0',
        f'normwatch_target_frames_per_second{{stream="{stream_id}"}} 10.0',
        f'normwatch_frame_age_quantile_seconds{{quantile="0.99",stream="{stream_id}"}} 0.45',
    ):
        assert line in metrics


def test_changes_apply_and_null_takes_an_override_back(
    api: httpx.Client, redis: Redis, stream_id: str
) -> None:
    path = f"/streams/{stream_id}"
    changed = api.patch(path, json={"threshold": 0.7, "gamma": 0.01, "paused": True}).json()
    assert (changed["threshold"], changed["gamma"], changed["paused"]) == (0.7, 0.01, True)
    assert changed["revision"] == 2
    assert changed["status"]["state"] == "paused"
    assert "somebody paused it" in changed["status"]["reason"]
    config = Registry(redis).streams()[stream_id]
    assert (config.revision, config.paused, config.threshold) == (2, True, 0.7)
    changed = api.patch(path, json={"threshold": None, "paused": False}).json()
    assert (changed["threshold"], changed["gamma"], changed["paused"]) == (None, 0.01, False)
    assert changed["memory_rule"] is None
    assert api.patch(path, json={"paused": False}).json()["revision"] == 3, "nothing changed"
    assert api.patch(path, json={}).json()["revision"] == 3
    for rule in UPDATE_RULES:
        assert api.patch(path, json={"memory_rule": rule}).json()["memory_rule"] == rule
        assert Registry(redis).streams()[stream_id].memory_rule == rule
    assert api.patch(path, json={"memory_rule": None}).json()["memory_rule"] is None


def test_a_weight_is_one_until_it_is_set(api: httpx.Client, redis: Redis) -> None:
    assert _create(api)["weight"] == 1.0
    made = _create(api, weight=2.5)
    path = f"/streams/{made['id']}"
    assert Registry(redis).streams()[str(made["id"])].weight == 2.5
    assert api.patch(path, json={"weight": 0.5}).json()["weight"] == 0.5
    assert Registry(redis).streams()[str(made["id"])].weight == 0.5
    assert api.patch(path, json={"threshold": 0.5}).json()["weight"] == 0.5
    for wrong in (0, -1, 1000, None, "2"):
        answer = api.patch(path, json={"weight": wrong})
        assert answer.status_code == 422
        assert answer.json()["error"]["fields"][0]["field"] == "weight"


def test_a_stream_says_when_it_is_armed_and_whether_it_is_now(
    api: httpx.Client, redis: Redis
) -> None:
    made = _create(api)
    assert (made["schedule"], made["armed"], made["cooldown_s"]) == (None, True, None)
    path = f"/streams/{made['id']}"
    today = datetime.now(UTC)
    # Neither is true at midnight's turn alone.
    days = [f"{today + timedelta(days=shift):%a}".lower() for shift in (-1, 0, 1)]
    others = sorted({"mon", "tue", "wed", "thu", "fri", "sat", "sun"} - set(days))
    for names, armed in ((days, True), (others, False)):
        hours = [{"days": names, "from": "00:00", "to": "24:00"}]
        schedule = {"timezone": "UTC", "hours": hours}
        changed = api.patch(path, json={"schedule": schedule, "cooldown_s": 30}).json()
        assert (changed["schedule"], changed["armed"]) == (schedule, armed)
        assert changed["cooldown_s"] == 30.0
    assert api.patch(path, json={"schedule": schedule}).json()["revision"] == 3, "the same again"
    assert api.get(path).json()["armed"] is False
    back = api.patch(path, json={"schedule": None, "cooldown_s": None}).json()
    assert (back["schedule"], back["armed"], back["cooldown_s"]) == (None, True, None)
    assert _create(api, schedule=schedule)["schedule"] == schedule
    assert _create(api, cooldown_s=0)["cooldown_s"] == 0.0


def test_how_a_camera_is_read_can_be_chosen(api: httpx.Client, redis: Redis) -> None:
    made = _create(api)
    assert (made["transport"], made["decode"]) == ("tcp", "all")
    path = f"/streams/{made['id']}"
    changed = api.patch(path, json={"transport": "udp", "decode": "keyframes"}).json()
    assert (changed["transport"], changed["decode"]) == ("udp", "keyframes")
    config = Registry(redis).streams()[str(made["id"])]
    assert (config.transport, config.decode, config.revision) == ("udp", "keyframes", 2)
    assert _create(api, transport="udp")["transport"] == "udp"
    for field, wrong in (("transport", "quic"), ("decode", None), ("transport", None)):
        answer = api.patch(path, json={field: wrong})
        assert answer.status_code == 422
        assert answer.json()["error"]["fields"][0]["field"] == field


def test_a_streams_log_is_read_newest_first_by_page(
    api: httpx.Client, rows: Database, stream_id: str
) -> None:
    assert api.get(f"/streams/{stream_id}/log").json() == {"items": [], "next": None}
    reasons = [f"rtsp://u:geheim@camera/{number}" for number in range(5)]
    with rows.write() as session:
        for number, reason in enumerate(reasons):
            session.add(
                StreamLogRow(
                    stream_id=stream_id,
                    kind="state" if number else "scene.changed",
                    at=100.0 - number,
                    state="down",
                    reason=reason,
                    worker="w",
                )
            )
    seen: list[dict[str, object]] = []
    before: object = None
    for size in (2, 2, 1):
        query = {"limit": 2} | ({} if before is None else {"before": before})
        page = api.get(f"/streams/{stream_id}/log", params=query).json()
        assert len(page["items"]) == size
        seen += page["items"]
        before = page["next"]
    assert before is None
    assert [item["reason"] for item in seen] == [f"rtsp://***@camera/{n}" for n in (4, 3, 2, 1, 0)]
    assert [item["kind"] for item in seen] == ["state"] * 4 + ["scene.changed"]
    assert seen[0]["at"] == "1970-01-01T00:01:36.000000Z"
    assert api.get("/streams/nobody/log").status_code == 404
    for query in ({"limit": 0}, {"before": -1}, {"before": 2**63}):
        assert api.get(f"/streams/{stream_id}/log", params=query).status_code == 422


def test_a_removed_stream_is_gone_with_all_it_had(
    api: httpx.Client, redis: Redis, rows: Database, stream_id: str
) -> None:
    add_scores(rows, stream_id, [0.1, 0.9])
    add_event(rows, stream_id, "e1", 100.0)
    api.post(f"/streams/{stream_id}/frames", files={"file": ("a.jpg", encoded())})
    assert api.delete(f"/streams/{stream_id}").status_code == 204
    assert api.get(f"/streams/{stream_id}").status_code == 404
    assert api.delete(f"/streams/{stream_id}").status_code == 404
    with rows.read() as session:
        assert session.scalar(select(func.count()).select_from(EventRow)) == 0
    retention = HistoryRetention(rows, Settings(), Metrics())
    for now in (0.0, EVERY_S):
        retention.take_turn(now)
    with rows.read() as session:
        for table in (ScoreRow, EventRow):
            left = select(func.count()).select_from(table)
            assert session.scalar(left.execution_options(**{WITH_DELETED: True})) == 0
    assert not [key for key in redis.scan_iter() if stream_id.encode() in key]


def test_a_path_in_a_media_folder_is_accepted(api: httpx.Client, media: Path) -> None:
    (media / "clip.mp4").write_bytes(video(5))
    (media / "link.mp4").symlink_to(media / "clip.mp4")
    folder = media / "pictures"
    folder.mkdir()
    (folder / "1.jpg").write_bytes(encoded())
    assert _create(api, source=str(media / "clip.mp4"))["source"] == str(media / "clip.mp4")
    assert _create(api, source=str(media / "link.mp4"))["source"] == str(media / "clip.mp4")
    assert _create(api, source=str(folder))["source"] == str(folder)


def test_a_device_is_accepted_where_the_operator_lists_it(settings: Settings) -> None:
    """Any file stands for one: what is listed may be the device itself, or its folder."""
    device = settings.data_dir.parent / "video7"
    device.write_bytes(video(5))
    body = {"name": "x", "source": str(device)}
    with client(settings) as api:
        refused = api.post("/streams", json=body)
        assert refused.status_code == 422
        assert "NORMWATCH_MEDIA_DIRS" in refused.json()["error"]["fields"][0]["reason"]
    with client(settings.model_copy(update={"media_dirs": (device,)})) as api:
        assert api.post("/streams", json=body).json()["source"] == str(device)


def test_a_path_outside_is_refused_whether_it_exists_or_not(
    api: httpx.Client, media: Path, tmp_path: Path
) -> None:
    outside = tmp_path / "secret.mp4"
    outside.write_bytes(video(5))
    (media / "sneaky.mp4").symlink_to(outside)
    reasons = set()
    for source in (
        outside,
        tmp_path / "nothing.mp4",
        media / "sneaky.mp4",
        media / ".." / "secret.mp4",
    ):
        answer = api.post("/streams", json={"name": "x", "source": str(source)})
        assert answer.status_code == 422, source
        reasons.add(answer.json()["error"]["fields"][0]["reason"])
    assert len(reasons) == 1
    assert "NORMWATCH_MEDIA_DIRS" in reasons.pop()


def test_a_url_that_answers_and_is_no_video_is_refused(
    api: httpx.Client, httpserver: HTTPServer
) -> None:
    httpserver.expect_request("/page").respond_with_data("<html></html>", content_type="text/html")
    answer = api.post("/streams", json={"name": "x", "source": httpserver.url_for("/page")})
    assert answer.status_code == 422
    (field,) = answer.json()["error"]["fields"]
    assert field["field"] == "source"
    assert "no video" in field["reason"]


def test_a_camera_that_is_off_is_accepted(api: httpx.Client) -> None:
    made = _create(api, source="rtsp://127.0.0.1:9/stream")
    assert made["source"] == "rtsp://127.0.0.1:9/stream"


@pytest.mark.parametrize(
    "source",
    [
        "rtsp://viewer:geheim@127.0.0.1:9/stream",
        "rtsp://viewer:ge@heim#1!@127.0.0.1:9/stream",
        "rtsp://viewer:geheim/x@127.0.0.1:9/stream",
        "rtsp://viewer:a@geheim/x@127.0.0.1:9/stream",
        "http://127.0.0.1:9/video?user=viewer&password=geheim",
        "rtsp://127.0.0.1:9/user=viewer&password=geheim&channel=1",
    ],
)
def test_credentials_reach_the_worker_and_nobody_else(
    api: httpx.Client, redis: Redis, source: str
) -> None:
    made = api.post("/streams", json={"name": "x", "source": source})
    assert made.status_code == 201, made.text
    path = made.headers["Location"]
    texts = [
        made.text,
        api.get(path).text,
        api.get("/streams").text,
        api.patch(path, json={"name": "y"}).text,
        api.patch(path, json={"source": source, "threshold": 7}).text,
        api.patch(path, json={"source": source + "\n"}).text,
        api.get("/metrics").text,
    ]
    for text in texts:
        assert "viewer" not in text
        assert "geheim" not in text
        assert "heim" not in text
    assert Registry(redis).streams()[made.json()["id"]].source == source


def test_a_hidden_source_cannot_be_written_back(api: httpx.Client) -> None:
    source = _create(api, source="rtsp://u:p@127.0.0.1:9/s")["source"]
    answer = api.post("/streams", json={"name": "again", "source": source})
    assert answer.status_code == 422
    assert "***" in answer.json()["error"]["fields"][0]["reason"]


def test_a_stream_names_its_webhooks(api: httpx.Client) -> None:
    hook = api.post("/webhooks", json={"url": "http://127.0.0.1:9/"}).json()["id"]
    stream = _create(api, receiver_ids=[hook, hook])
    assert stream["receiver_ids"] == [hook]
    answer = api.patch(f"/streams/{stream['id']}", json={"receiver_ids": [hook, "nobody"]})
    assert answer.status_code == 422
    assert answer.json()["error"]["fields"] == [
        {"field": "receiver_ids[1]", "value": "nobody", "reason": "no such receiver"}
    ]
    assert api.delete(f"/webhooks/{hook}").status_code == 204
    assert api.get(f"/streams/{stream['id']}").json()["receiver_ids"] == []


def test_silent_sources_keep_nothing_else_waiting(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(app, "PROBES", 2)
    monkeypatch.setattr(source_checks, "PROBE_TIMEOUT_S", 1.0)
    with client(settings) as api, socket.create_server(("127.0.0.1", 0)) as silent:
        source = f"rtsp://127.0.0.1:{silent.getsockname()[1]}/x"

        def register(number: int) -> int:
            body = {"name": f"silent {number}", "source": source}
            return api.post("/streams", json=body, timeout=120).status_code

        with ThreadPoolExecutor(60) as pool:
            answers = [pool.submit(register, number) for number in range(60)]
            wait_for(lambda: sum(each.done() for each in answers) >= 50, "refusals")
            assert api.get("/readyz").status_code == 200
            assert not all(each.done() for each in answers)
            statuses = [each.result() for each in answers]
    assert statuses.count(201) == 10, "two that are looked at, eight that wait"
    assert statuses.count(429) == 50


def test_a_source_is_no_link_local_address(api: httpx.Client) -> None:
    for source in ("http://169.254.169.254/latest", "rtsp://[fe80::1]/x", "http://2852039166/"):
        answer = api.post("/streams", json={"name": "metadata", "source": source})
        assert answer.status_code == 422
        assert "link-local" in answer.json()["error"]["fields"][0]["reason"]
