"""The media folder: files and rows together, its limits, and what crashes leave behind."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from sqlalchemy import delete, select

from service.media import media_retention
from service.media.media_retention import DAY_S, FOLDERS, YOUNG_S, MediaRetention
from service.media.shelf import MARK, MediaKind, Shelf, find_media_kinds, make_media_path
from service.metrics import Metrics
from service.settings import Settings
from service.store.database import Database
from service.store.tables import EventMediaRow, EventRow, StreamRow
from tests.record.rows import add_stream
from tests.support.front_end import add_event

NOW = 1_800_000_000.0


CLIP = {MediaKind.CLIP: b"data"}


def _shelf(root: Path, database: Database, events: int = 1) -> Shelf:
    add_stream(database)
    for number in range(events):
        add_event(database, "cam", f"evt_{number}", NOW)
    return Shelf(root / "media", database)


def _files(shelf: Shelf) -> set[str]:
    return {path.name for path in shelf.root.glob("??/*")}


def _rows(database: Database) -> list[tuple[str, str]]:
    query = select(EventMediaRow.event_id, EventMediaRow.kind)
    with database.read() as session:
        return sorted((ident, kind) for ident, kind in session.execute(query).all())


def _retention(
    database: Database,
    shelf: Shelf,
    metrics: Metrics | None = None,
    *,
    now: float = NOW,
    **limits: float,
) -> MediaRetention:
    settings = Settings.model_validate(limits)
    return MediaRetention(database, shelf, settings, metrics or Metrics(), clock=lambda: now)


def _sweep(retention: MediaRetention) -> None:
    for _ in range(FOLDERS + 1):
        retention.step()


def test_a_file_has_its_row_and_a_newer_one_takes_its_place(
    each_database: Database, tmp_path: Path
) -> None:
    shelf = _shelf(tmp_path, each_database)
    assert shelf.put("evt_0", {MediaKind.PEAK: b"data", MediaKind.HEAT: b"data"}, NOW)
    assert shelf.put("evt_0", {MediaKind.PEAK: b"better"}, NOW + 1)
    with each_database.read() as session:
        assert find_media_kinds(session, ["evt_0"]) == {"evt_0": [MediaKind.PEAK, MediaKind.HEAT]}
        row = session.get_one(EventMediaRow, ("evt_0", "peak"))
    assert (row.size, row.created_at, row.content_type) == (6, NOW + 1, "image/jpeg")
    path = shelf.find_path(row)
    assert path is not None and path.read_bytes() == b"better"
    assert _files(shelf) == {"evt_0.peak.jpg", "evt_0.heat.jpg"}


def test_an_event_that_has_gone_leaves_no_file(database: Database, tmp_path: Path) -> None:
    shelf = _shelf(tmp_path, database, events=0)
    assert not shelf.put("evt_0", CLIP, NOW)
    assert (_files(shelf), _rows(database)) == (set(), [])


def test_what_fails_half_way_leaves_neither_file_nor_row(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shelf = _shelf(tmp_path, database)

    def fail(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OSError, match="No space"):
        shelf.put("evt_0", CLIP, NOW)
    assert (_files(shelf), _rows(database)) == (set(), [])


@pytest.mark.parametrize("ident", ["", "..", "../evt", "a/b", "a" * 33, "evt\0"])
def test_no_id_leads_out_of_the_folder(ident: str) -> None:
    with pytest.raises(ValueError, match="event_id must be"):
        make_media_path(ident, MediaKind.CLIP)


def test_no_row_leads_out_of_the_folder(database: Database, tmp_path: Path) -> None:
    shelf = _shelf(tmp_path, database)
    secret = tmp_path / "secret"
    secret.write_text("secret")
    (shelf.root / "ab").mkdir(parents=True)
    (shelf.root / "ab" / "link").symlink_to(secret)
    (shelf.root / "ab" / "other").write_text("of another event")
    (shelf.root / "ab" / "inner").symlink_to(shelf.root / "ab" / "other")
    for path in ("../secret", str(secret), "ab/link", "ab/inner", "ab/../../secret"):
        row = EventMediaRow(event_id="evt_0", kind="clip", shelf=shelf.make_name(), path=path)
        assert shelf.find_path(row) is None


def test_a_file_of_another_machine_is_not_mistaken_for_an_own_one(
    database: Database, tmp_path: Path
) -> None:
    shelf = _shelf(tmp_path / "a", database)
    other = Shelf(tmp_path / "b" / "media", database)
    shelf.put("evt_0", CLIP, NOW)
    other.make_name()
    assert shelf.make_name() == shelf.make_name() != other.make_name()
    with database.read() as session:
        row = session.get_one(EventMediaRow, ("evt_0", "clip"))
    assert shelf.find_path(row) is not None
    assert other.find_path(row) is None


def test_the_old_goes(database: Database, tmp_path: Path) -> None:
    shelf, metrics = _shelf(tmp_path, database, 3), Metrics()
    for number, age_days in enumerate((9.0, 7.5, 6.5)):
        shelf.put(f"evt_{number}", CLIP, NOW - age_days * DAY_S)
    retention = _retention(database, shelf, metrics, event_media_days=7.0)
    assert not retention.step()
    assert _rows(database) == [("evt_2", "clip")]
    assert _files(shelf) == {"evt_2.clip.mp4"}
    value = metrics.registry.get_sample_value
    assert value("normwatch_event_media_deleted_total", {"reason": media_retention.AGE}) == 2
    assert value("normwatch_event_media_bytes") == 4


def test_of_too_much_the_oldest_goes_in_steps(
    each_database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(media_retention, "STEP_ROWS", 2)
    shelf = _shelf(tmp_path, each_database, 6)
    for number in range(6):
        shelf.put(f"evt_{number}", {MediaKind.CLIP: bytes(10)}, NOW - number)
    retention = _retention(each_database, shelf, event_media_bytes=25)
    assert retention.step(), "there is more to do"
    assert len(_rows(each_database)) == 4
    assert not retention.step()
    assert _rows(each_database) == [("evt_0", "clip"), ("evt_1", "clip")]
    assert _files(shelf) == {"evt_0.clip.mp4", "evt_1.clip.mp4"}


def test_files_of_deleted_events_and_of_crashes_go(database: Database, tmp_path: Path) -> None:
    shelf = _shelf(tmp_path, database, 2)
    for number in range(2):
        shelf.put(f"evt_{number}", {MediaKind.PEAK: b"data"} | CLIP, NOW)
    folder = (shelf.root / make_media_path("evt_1", MediaKind.CLIP)).parent
    (folder / "evt_1.clip.mp4.part").write_bytes(b"half")
    (folder / "evt_9.heat.jpg").write_bytes(b"no row")
    with database.write() as session:
        session.execute(delete(EventRow).where(EventRow.id == "evt_0"))
    for path in shelf.root.glob("??/*"):
        os.utime(path, (NOW, NOW))
    _sweep(_retention(database, shelf, now=NOW + YOUNG_S - 1))
    assert len(_files(shelf)) == 6, "their rows may be on their way"
    _sweep(_retention(database, shelf, now=NOW + YOUNG_S + 1))
    assert _files(shelf) == {"evt_1.peak.jpg", "evt_1.clip.mp4"}
    with database.write() as session:
        session.execute(delete(StreamRow))
    _sweep(_retention(database, shelf, now=NOW + YOUNG_S + 1))
    assert _files(shelf) == set()


def test_rows_without_a_file_go_and_others_stay(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(media_retention, "STEP_ROWS", 3)
    shelf, metrics = _shelf(tmp_path, database, 8), Metrics()
    for number in range(8):
        shelf.put(f"evt_{number}", CLIP, NOW)
    for number in (0, 3, 7):
        (shelf.root / make_media_path(f"evt_{number}", MediaKind.CLIP)).unlink()
    retention = _retention(database, shelf, metrics)
    for _ in range(4):
        retention.step()
    assert [ident for ident, _ in _rows(database)] == [
        "evt_1",
        "evt_2",
        "evt_4",
        "evt_5",
        "evt_6",
    ]
    labels = {"reason": media_retention.MISSING}
    deleted = metrics.registry.get_sample_value("normwatch_event_media_deleted_total", labels)
    assert deleted == 3


def test_a_disk_that_is_not_there_costs_no_row(database: Database, tmp_path: Path) -> None:
    shelf = _shelf(tmp_path, database)
    shelf.put("evt_0", CLIP, NOW)
    shelf.root.rename(tmp_path / "unmounted")
    shelf.root.mkdir()
    _sweep(_retention(database, shelf, now=NOW + 90 * DAY_S, event_media_bytes=0))
    assert _rows(database) == [("evt_0", "clip")]


def test_rows_of_another_machine_are_its_own_until_they_are_past_their_time(
    database: Database, tmp_path: Path
) -> None:
    shelf = _shelf(tmp_path / "a", database, 2)
    other = Shelf(tmp_path / "b" / "media", database)
    other.make_name()
    shelf.put("evt_0", CLIP, NOW - 7.5 * DAY_S)
    shelf.put("evt_1", CLIP, NOW - 8.5 * DAY_S)
    limits = {"event_media_days": 7.0, "event_media_bytes": 0}
    _sweep(_retention(database, other, **limits))
    assert _rows(database) == [("evt_0", "clip")]
    assert _files(shelf) == {"evt_0.clip.mp4", "evt_1.clip.mp4"}


def test_a_damaged_mark_is_an_error_and_nothing_is_cleaned(
    database: Database, tmp_path: Path
) -> None:
    shelf = _shelf(tmp_path, database)
    shelf.put("evt_0", CLIP, NOW)
    (shelf.root / MARK).write_text("damaged")
    assert shelf.read_name() is None
    with pytest.raises(OSError, match=r"\.shelf"):
        shelf.make_name()
