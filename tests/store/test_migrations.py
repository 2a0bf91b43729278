"""The migrations create the tables that the code uses, on SQLite and on PostgreSQL."""

from __future__ import annotations

from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from sqlalchemy import inspect, select

from service.store.database import MIGRATIONS, WRITER, Database
from service.store.tables import Base, CursorRow, StreamRow
from tests.record.rows import add_stream


def test_migrations_create_the_tables_of_the_code(each_database: Database) -> None:
    with each_database.engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), Base.metadata) == []


def _downgrade(database: Database, revision: str) -> None:
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    with database.engine.execution_options(**{WRITER: True}).begin() as connection:
        config.attributes["connection"] = connection
        command.downgrade(config, revision)


def test_a_stream_keeps_what_it_has_when_models_become_optional(each_database: Database) -> None:
    _downgrade(each_database, "0001")
    add_stream(each_database)
    with each_database.write() as session:
        session.add(CursorRow(stream_id="cam", last_frame=7))
    each_database.migrate()
    with each_database.write() as session:
        row = session.get(StreamRow, "cam")
        assert row is not None
        assert row.model == "small"
        row.model = None
    with each_database.read() as session:
        assert session.scalars(select(CursorRow.last_frame)).all() == [7]
        assert session.scalars(select(StreamRow.model)).all() == [None]
    _downgrade(each_database, "0001")
    each_database.migrate()
    with each_database.read() as session:
        assert session.scalars(select(StreamRow.model)).all() == [""]


def test_the_first_migration_can_be_undone_and_run_again(each_database: Database) -> None:
    _downgrade(each_database, "base")
    assert inspect(each_database.engine).get_table_names() == ["alembic_version"]
    each_database.migrate()
    assert set(inspect(each_database.engine).get_table_names()) > set(Base.metadata.tables)
