"""What labels do to the folder of normal footage, with a real database and real files."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from sqlalchemy import delete, update

from service.history.deletion import hide_stream
from service.media import normal_keeper
from service.media.media_retention import MediaRetention
from service.media.normal_clips import MARK_EVERY_S, NormalClipFolder
from service.media.normal_keeper import NormalKeeper
from service.media.shelf import MediaKind, Shelf, make_media_path
from service.metrics import Metrics
from service.settings import Settings
from service.store.database import Database
from service.store.tables import EventRow, StreamRow
from tests.record.rows import add_stream
from tests.support.front_end import add_event

NOW = 1_800_000_000.0


class Machine:
    """A front end's disk, and a part that follows the labels."""

    def __init__(self, root: Path, database: Database, **limits: float) -> None:
        self.database = database
        self.settings = Settings.model_validate(limits)
        self.metrics = Metrics()
        self.shelf = Shelf(root / "media", database)
        self.folder = NormalClipFolder(root / "normal")
        self.now = NOW
        self.keeping = NormalKeeper(
            database,
            self.shelf,
            self.folder,
            self.settings,
            self.metrics,
            clock=lambda: self.now,
        )

    def clip(self, event_id: str, data: bytes = b"clip", written_at: float = NOW) -> None:
        """The event's clip is written."""
        assert self.shelf.put(event_id, {MediaKind.CLIP: data}, written_at)
        path = self.shelf.root / make_media_path(event_id, MediaKind.CLIP)
        os.utime(path, (written_at, written_at))

    def label(self, event_id: str, label: str | None, *, noticed: bool = True) -> None:
        """Label an event."""
        with self.database.write() as session:
            session.execute(update(EventRow).where(EventRow.id == event_id).values(label=label))
        if noticed:
            self.keeping.notice(event_id)

    def kept(self, stream_id: str = "cam") -> list[str]:
        """Events whose clips are there, the oldest first."""
        return [clip.event_id for clip in self.folder.clips(stream_id)]

    def value(self, name: str, **labels: str) -> float | None:
        """Return a metric's value."""
        return self.metrics.registry.get_sample_value(name, labels)


def _machine(root: Path, database: Database, events: int = 1, **limits: float) -> Machine:
    add_stream(database)
    for number in range(events):
        add_event(database, "cam", f"evt_{number}", NOW + number)
    return Machine(root, database, **limits)


def test_a_label_keeps_the_clip_and_another_lets_it_go(
    each_database: Database, tmp_path: Path
) -> None:
    machine = _machine(tmp_path, each_database, 3)
    for number in range(3):
        machine.clip(f"evt_{number}")
    machine.keeping.step()
    assert machine.kept() == []
    assert machine.folder.stream_folder("cam").is_dir(), "a stream without labels has a folder, too"
    for number, label in enumerate(("normal", "real", "normal")):
        machine.label(f"evt_{number}", label)
    machine.keeping.step()
    assert machine.kept() == ["evt_0", "evt_2"]
    assert machine.value("normwatch_normal_footage_total", outcome="kept") == 2
    assert machine.value("normwatch_normal_footage_bytes") == 8
    machine.label("evt_0", "real")
    machine.label("evt_2", None)
    machine.keeping.step()
    assert machine.kept() == []
    assert machine.value("normwatch_normal_footage_deleted_total", reason="label") == 2
    assert machine.value("normwatch_normal_footage_bytes") == 0


def test_what_nobody_noticed_is_found_page_by_page(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(normal_keeper, "PAGE", 2)
    machine = _machine(tmp_path, database, 5)
    for number in range(5):
        machine.clip(f"evt_{number}", written_at=NOW + number)
        machine.label(f"evt_{number}", "normal", noticed=False)
    machine.keeping.step()
    assert machine.kept() == ["evt_0", "evt_1"]
    for _ in range(2):
        machine.keeping.step()
    assert machine.kept() == [f"evt_{number}" for number in range(5)]
    # Of clips that have left the shelf, the kept files are looked at.
    _retention(machine, event_media_days=0.001).step()
    machine.label("evt_1", "real", noticed=False)
    machine.label("evt_4", None, noticed=False)
    for _ in range(4):
        machine.keeping.step()
    assert machine.kept() == ["evt_0", "evt_2", "evt_3"]


def _retention(machine: Machine, **limits: float) -> MediaRetention:
    settings = Settings.model_validate(limits)
    later = NOW + normal_keeper.SURVEY_EVERY_S + 86_400.0
    return MediaRetention(machine.database, machine.shelf, settings, Metrics(), clock=lambda: later)


def test_a_clip_that_is_written_after_the_label_is_kept(database: Database, tmp_path: Path) -> None:
    machine = _machine(tmp_path, database)
    machine.shelf.make_name()
    machine.label("evt_0", "normal")
    machine.keeping.step()
    assert machine.kept() == []
    machine.clip("evt_0", b"short")
    machine.keeping.notice("evt_0")
    machine.keeping.step()
    assert machine.kept() == ["evt_0"]
    machine.clip("evt_0", b"written again")
    machine.keeping.step()
    assert machine.folder.clips("cam")[0].path.read_bytes() == b"written again"


def test_it_stays_when_the_event_and_its_media_go_for_their_age(
    database: Database, tmp_path: Path
) -> None:
    machine = _machine(tmp_path, database)
    machine.clip("evt_0")
    machine.label("evt_0", "normal")
    machine.keeping.step()
    _retention(machine, event_media_days=0.5).step()
    assert not (machine.shelf.root / make_media_path("evt_0", MediaKind.CLIP)).exists()
    with database.write() as session:
        session.execute(delete(EventRow))
    for _ in range(3):
        machine.now += normal_keeper.SURVEY_EVERY_S
        machine.keeping.notice("evt_0")
        machine.keeping.step()
    assert machine.kept() == ["evt_0"]
    assert machine.folder.clips("cam")[0].path.read_bytes() == b"clip"


def test_the_folder_of_a_deleted_stream_goes(each_database: Database, tmp_path: Path) -> None:
    machine = _machine(tmp_path, each_database)
    add_stream(each_database, "other")
    machine.clip("evt_0")
    machine.label("evt_0", "normal")
    machine.keeping.step()
    assert machine.folder.stream_ids() == ["cam", "other"]
    with each_database.write() as session:
        hide_stream(session, session.get_one(StreamRow, "cam"), NOW)
    machine.now += normal_keeper.SURVEY_EVERY_S
    machine.keeping.notice("evt_0")
    machine.keeping.step()
    assert machine.folder.stream_ids() == ["other"]
    assert machine.value("normwatch_normal_footage_deleted_total", reason="stream") == 1
    machine.keeping.notice("evt_0")
    machine.keeping.step()
    assert machine.folder.stream_ids() == ["other"], "what is left of its rows keeps nothing"


def test_a_folder_that_another_database_knows_waits_for_it_for_a_week(
    database: Database, tmp_path: Path
) -> None:
    machine = _machine(tmp_path, database)
    machine.clip("evt_0")
    machine.label("evt_0", "normal")
    machine.keeping.step()
    machine.now += 2 * MARK_EVERY_S
    machine.keeping.step()
    with database.write() as session:
        session.execute(delete(StreamRow))
    machine.now += 6 * 86_400.0
    machine.keeping.step()
    assert machine.kept() == ["evt_0"]
    add_stream(database)
    machine.now += 60.0
    machine.keeping.step()
    with database.write() as session:
        session.execute(delete(StreamRow))
    machine.now += 6 * 86_400.0
    machine.keeping.step()
    assert machine.kept() == ["evt_0"], "it was known in between"
    machine.now += 2 * 86_400.0
    machine.keeping.step()
    assert machine.folder.stream_ids() == []


def test_of_too_much_the_oldest_goes_and_does_not_come_back(
    database: Database, tmp_path: Path
) -> None:
    machine = _machine(tmp_path, database, 4, normal_footage_bytes=25)
    for number in (1, 2, 0, 3):
        machine.clip(f"evt_{number}", bytes(10), written_at=NOW + number)
        machine.label(f"evt_{number}", "normal")
        machine.keeping.step()
    assert machine.kept() == ["evt_2", "evt_3"]
    deleted = machine.value("normwatch_normal_footage_deleted_total", reason="bytes")
    assert deleted == 1, "evt_1; evt_0 was older than all that was kept"
    for _ in range(3):
        machine.now += normal_keeper.SURVEY_EVERY_S
        machine.keeping.step()
    assert machine.kept() == ["evt_2", "evt_3"]
    assert machine.value("normwatch_normal_footage_deleted_total", reason="bytes") == deleted
    smaller = Machine(tmp_path, database, normal_footage_bytes=10)
    smaller.keeping.step()
    assert smaller.kept() == ["evt_3"]


def test_what_another_machine_recorded_is_its_own_to_keep(
    database: Database, tmp_path: Path
) -> None:
    machine = _machine(tmp_path / "a", database)
    other = Machine(tmp_path / "b", database)
    other.shelf.make_name()
    machine.clip("evt_0")
    machine.label("evt_0", "normal")
    other.keeping.notice("evt_0")
    for each in (machine, other):
        each.keeping.step()
    assert (machine.kept(), other.kept()) == (["evt_0"], [])


def test_a_clip_that_cannot_be_kept_is_counted_and_others_are(
    database: Database, tmp_path: Path
) -> None:
    machine = _machine(tmp_path, database, 2)
    add_stream(database, "linked")
    add_event(database, "linked", "evt_9", NOW)
    (tmp_path / "elsewhere").mkdir()
    machine.folder.root.mkdir()
    (machine.folder.root / "linked").symlink_to(tmp_path / "elsewhere")
    for ident in ("evt_9", "evt_1"):
        machine.clip(ident)
        machine.label(ident, "normal")
    machine.keeping.step()
    assert machine.kept() == ["evt_1"]
    assert machine.value("normwatch_normal_footage_total", outcome="failed") == 1
    assert not any((tmp_path / "elsewhere").iterdir())
