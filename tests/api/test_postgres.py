"""The front end on PostgreSQL: each noun once, where its SQL differs from SQLite's."""

from __future__ import annotations

import time

import httpx

from service.settings import Settings
from service.store.database import Database
from tests.support.clips import encoded
from tests.support.front_end import add_event, add_messages, add_scores, client


def test_every_noun_works_on_postgresql(settings: Settings, postgres_url: str) -> None:
    database = Database(postgres_url)
    with database.engine.begin() as connection:
        connection.exec_driver_sql("DROP SCHEMA public CASCADE")
        connection.exec_driver_sql("CREATE SCHEMA public")
    on_postgres = Settings(**(settings.model_dump() | {"database_url": postgres_url}))
    with client(on_postgres) as api:
        hook = api.post("/webhooks", json={"url": "http://127.0.0.1:9/"}).json()["id"]
        body = {"name": "a", "source": "upload", "model": "small", "receiver_ids": [hook]}
        stream_id = api.post("/streams", json=body).json()["id"]
        path = f"/streams/{stream_id}"
        assert api.patch(path, json={"threshold": 0.25}).json()["revision"] == 2
        upload = {"file": ("a.jpg", encoded())}
        assert api.post(f"{path}/frames", files=upload).status_code == 202
        now = time.time()
        add_scores(database, stream_id, [None, 0.5, 0.75], started_at=now)
        assert len(api.get(f"{path}/scores", params={"from": str(now)}).json()["items"]) == 3
        add_event(database, stream_id, "e1", now, picture=encoded())
        (event,) = api.get("/events", params={"open": "true"}).json()["items"]
        assert api.get(event["picture"]).content == encoded()
        assert api.patch("/events/e1", json={"label": "real", "note": "näher"}).is_success
        for label, count in (("real", 1), ("none", 0)):
            found = api.get("/events", params={"label": label}).json()["items"]
            assert len(found) == count
        assert "näher" in api.get("/events/export", params={"format": "jsonl"}).text
        _sends_again(api, database, hook)
        assert api.delete(f"/webhooks/{hook}").status_code == 204
        assert api.get(path).json()["receiver_ids"] == []
        assert api.get("/readyz").is_success
        _refuses_what_postgresql_cannot_hold(api, path)
        assert api.delete(path).status_code == 204
        assert api.get("/events").json()["items"] == []
    database.close()


def _sends_again(api: httpx.Client, database: Database, hook: str) -> None:
    """Its port refuses at once; what waits is due in the far future."""
    add_messages(database, hook, "dead", "dead", "waiting")
    path = f"/webhooks/{hook}/deliveries"
    page = api.get(path, params={"limit": 2}).json()
    rest = api.get(path, params={"before": page["next"]}).json()
    shown = [item["id"] for item in page["items"] + rest["items"]]
    assert shown == ["msg_2", "msg_1", "msg_0"]
    assert api.post(f"{path}/msg_2/replay").status_code == 409
    assert api.post(f"{path}/msg_1/replay").json()["state"] == "waiting"
    assert api.post(f"/webhooks/{hook}/replay").json() == {"replayed": 1, "dead": 0}
    assert api.get(f"{path}/msg_2").json()["history"] == []
    assert api.post(f"/webhooks/{hook}/secret").json()["old_secret_until"] is not None
    assert "connection failed" in api.post(f"/webhooks/{hook}/test").json()["error"]
    assert api.patch(f"/webhooks/{hook}", json={"enabled": False}).json()["enabled"] is False


def _refuses_what_postgresql_cannot_hold(api: httpx.Client, path: str) -> None:
    assert api.patch(path, json={"name": "a\0b"}).status_code == 422
    assert api.patch(path, json={"receiver_ids": ["a\0b"]}).status_code == 422
    assert api.get("/events", params={"stream_id": "a\0b"}).status_code == 404
    assert api.get("/events", params={"before": "5_a\0b"}).status_code == 422
    assert api.post("/webhooks", json={"url": "http://h/\0"}).status_code == 422
