"""The migrations create the tables that the code uses, on SQLite and on PostgreSQL."""

from __future__ import annotations

from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from sqlalchemy import inspect

from service.store.database import MIGRATIONS, WRITER, Database
from service.store.tables import Base


def test_migrations_create_the_tables_of_the_code(each_database: Database) -> None:
    with each_database.engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), Base.metadata) == []


def test_the_first_migration_can_be_undone_and_run_again(each_database: Database) -> None:
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    with each_database.engine.execution_options(**{WRITER: True}).begin() as connection:
        config.attributes["connection"] = connection
        command.downgrade(config, "base")
    assert inspect(each_database.engine).get_table_names() == ["alembic_version"]
    each_database.migrate()
    assert set(inspect(each_database.engine).get_table_names()) > set(Base.metadata.tables)
