"""Footage that somebody calls normal, from the label to the file that a training takes."""

from __future__ import annotations

import time
from pathlib import Path

import httpx
from sqlalchemy import delete

from service.media.clip import encode_clip
from service.media.shelf import FOLDER, MediaKind, Shelf
from service.settings import Settings
from service.store.database import Database
from service.store.tables import EventRow
from tests.media.shots import play_clip, shot
from tests.support.front_end import add_event
from tests.support.servers import wait_for

FRAMES = 20
NOTHING = {"clips": 0, "seconds": 0.0, "bytes": 0, "items": []}


def _add_clips(rows: Database, settings: Settings, stream_id: str, *event_ids: str) -> None:
    """Add events with clips of two seconds, as the collector writes them."""
    shelf = Shelf(settings.data_dir / FOLDER, rows)
    shots = [shot(frame) for frame in range(FRAMES)]
    for ident in event_ids:
        add_event(rows, stream_id, ident, 100.0, ended_at=101.0)
        assert shelf.put(ident, {MediaKind.CLIP: encode_clip(shots, 10.0)}, time.time())


def _label(api: httpx.Client, event_id: str, label: str | None) -> None:
    answer = api.patch(f"/events/{event_id}", json={"label": label})
    assert answer.status_code == 200, answer.text


def _footage(api: httpx.Client, stream_id: str) -> dict[str, object]:
    answer = api.get(f"/streams/{stream_id}/normal-footage")
    assert answer.status_code == 200, answer.text
    found: dict[str, object] = answer.json()
    return found


def _await(api: httpx.Client, stream_id: str, clips: int) -> None:
    wait_for(lambda: _footage(api, stream_id)["clips"] == clips, f"{clips} clips", 20)


def test_what_is_called_normal_can_be_fetched_until_it_is_not(
    api: httpx.Client, rows: Database, settings: Settings, stream_id: str, tmp_path: Path
) -> None:
    folder = settings.data_dir.absolute() / "normal" / stream_id
    assert _footage(api, stream_id) == {
        "stream_id": stream_id,
        "folder": str(folder),
        **NOTHING,
    }
    _add_clips(rows, settings, stream_id, "evt_a", "evt_b")
    _label(api, "evt_a", "normal")
    _label(api, "evt_b", "normal")
    _await(api, stream_id, 2)
    found = _footage(api, stream_id)
    first, second = found["items"]  # type: ignore[misc]
    assert [first["event_id"], second["event_id"]] == ["evt_a", "evt_b"]
    assert first["started_at"] == "1970-01-01T00:01:40.000000Z"
    assert first["seconds"] == 2.0
    assert first["fps"] == 10.0
    assert found["bytes"] == first["bytes"] + second["bytes"]
    assert found["seconds"] == first["seconds"] + second["seconds"]
    assert (folder / "evt_a.mp4").stat().st_size == first["bytes"]
    _check_file(api, first["video"], tmp_path / "fetched.mp4")

    _label(api, "evt_b", "real")
    _await(api, stream_id, 1)
    assert api.get(second["video"]).status_code == 404
    with rows.write() as session:
        session.execute(delete(EventRow))
    (left,) = _footage(api, stream_id)["items"]  # type: ignore[misc]
    assert (left["event_id"], left["started_at"]) == ("evt_a", None)
    text = api.get("/metrics").text
    assert 'normwatch_normal_footage_total{outcome="kept"} 2.0' in text
    assert 'normwatch_normal_footage_deleted_total{reason="label"} 1.0' in text

    assert api.delete(f"/streams/{stream_id}").status_code == 204
    assert api.get(first["video"]).status_code == 404
    wait_for(lambda: not folder.exists(), "the deletion of the folder", 20)


def _check_file(api: httpx.Client, path: str, copy: Path) -> None:
    whole = api.get(path)
    assert (whole.status_code, whole.headers["content-type"]) == (200, "video/mp4")
    copy.write_bytes(whole.content)
    assert play_clip(copy)[0] == list(range(FRAMES))
    part = api.get(path, headers={"Range": "bytes=10-29"})
    assert (part.status_code, part.content) == (206, whole.content[10:30])
    head = api.head(path)
    assert (head.status_code, head.content) == (200, b"")
    assert head.headers["content-length"] == str(len(whole.content))
    known = api.get(path, headers={"If-None-Match": whole.headers["etag"]})
    assert (known.status_code, known.content) == (304, b"")


def test_what_is_not_there_is_said_so(
    api: httpx.Client, settings: Settings, stream_id: str
) -> None:
    secret = settings.data_dir / "normal" / "secret.mp4"
    secret.parent.mkdir(exist_ok=True)
    secret.write_bytes(b"secret")
    assert api.get("/streams/none/normal-footage").status_code == 404
    for stream, event in (
        ("none", "evt"),
        (stream_id, "evt_none"),
        (stream_id, "..%2Fsecret"),
        (stream_id, "a" * 99),
        ("..", "secret"),
        (".", "secret"),
    ):
        answer = api.get(f"/streams/{stream}/normal-footage/{event}.mp4")
        assert answer.status_code == 404
        assert answer.json()["error"]["code"] == "not_found"
