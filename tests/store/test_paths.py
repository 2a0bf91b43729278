"""The database in folders whose names mean something in a URL or to Alembic."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from sqlalchemy import text

from service.settings import Settings
from service.store import database as module
from service.store.database import Database

NAMES = (
    "a b",
    "a#b",
    "a?mode=ro",
    "50%25",
    "50%",
    "%(here)s",
    "a+b&c",
    "\u00fc \u6771\u3000\u5317",
)


@pytest.mark.parametrize("name", NAMES)
def test_a_database_lies_where_its_folder_is(tmp_path: Path, name: str) -> None:
    settings = Settings(data_dir=tmp_path / name)
    database = Database(settings.database)
    database.migrate()
    database.close()
    assert (tmp_path / name / "normwatch.db").stat().st_size > 0
    assert [each.name for each in tmp_path.iterdir()] == [name]


@pytest.mark.parametrize("name", NAMES)
def test_migrations_are_found_wherever_the_package_lies(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    place = tmp_path / name / "migrations"
    shutil.copytree(module.MIGRATIONS, place, ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setattr(module, "MIGRATIONS", place)
    database = Database(f"sqlite:///{tmp_path / 'test.db'}")
    database.migrate()
    with database.read() as session:
        assert session.scalar(text("SELECT count(*) FROM streams")) == 0
    database.close()
