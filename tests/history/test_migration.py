"""Scores from before there were roll-ups have some afterwards."""

from __future__ import annotations

from pathlib import Path

import pytest
from alembic import command
from alembic.config import Config
from sqlalchemy import text

from service.history.reading import Resolution, Rollup, read_rollups
from service.store.database import MIGRATIONS, WRITER, Database

AT = 1_795_500_000
STREAM = (
    "INSERT INTO streams (id, name, source, model, loop, paused, revision, created_at) "
    "VALUES ('cam', 'yard', 'upload', 'small', :no, :no, 1, 1.0)"
)
SCORE = (
    "INSERT INTO scores (stream_id, frame, epoch, captured_at, scored_at, score, threshold, "
    "memory_updated, state) VALUES ('cam', :frame, 1, :at, :at, :score, 0.5, :no, 'live')"
)


@pytest.mark.parametrize("kind", ["sqlite", "postgres"])
def test_scores_that_are_there_are_rolled_up(
    kind: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    url = f"sqlite:///{tmp_path / 'test.db'}"
    database = Database(url if kind == "sqlite" else request.getfixturevalue("postgres_url"))
    with database.engine.execution_options(**{WRITER: True}).begin() as connection:
        if kind == "postgres":
            connection.exec_driver_sql("DROP SCHEMA public CASCADE")
            connection.exec_driver_sql("CREATE SCHEMA public")
        config = Config()
        config.set_main_option("script_location", str(MIGRATIONS))
        config.attributes["connection"] = connection
        command.upgrade(config, "0004")
        connection.execute(text(STREAM), {"no": False})
        scores = [(0, 0.1, None), (1, 0.2, 0.25), (2, 0.9, 0.75), (3, 65.7, 0.5), (4, 119.9, 0.25)]
        connection.execute(
            text(SCORE),
            [
                {"frame": frame, "at": AT + age, "score": score, "no": False}
                for frame, age, score in scores
            ],
        )
    database.migrate()
    with database.read() as session:
        seconds, minutes = (
            read_rollups(session, "cam", each, since=None, until=None, limit=9)
            for each in (Resolution.SECOND, Resolution.MINUTE)
        )
    database.close()
    assert seconds == [
        Rollup(AT, 2, 0.25, 0.5, 0.75, 0.5),
        Rollup(AT + 65, 1, 0.5, 0.5, 0.5, 0.5),
        Rollup(AT + 119, 1, 0.25, 0.25, 0.25, 0.5),
    ]
    assert minutes == [
        Rollup(AT, 2, 0.25, 0.5, 0.75, 0.5),
        Rollup(AT + 60, 2, 0.25, 0.375, 0.5, 0.5),
    ]
