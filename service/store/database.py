"""The database: SQLite in one file by default, PostgreSQL by URL. Only the front end opens it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from alembic import command
from alembic.config import Config
from sqlalchemy import URL, Connection, Engine, create_engine, event, make_url
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.orm import Session, sessionmaker
from sqlalchemy.pool import ConnectionPoolEntry

from service.store.deleted_streams import hide_deleted_streams

BUSY_TIMEOUT_S = 5
"""How long a transaction waits for another writer, or for a connection: then it fails."""
STATEMENT_TIMEOUT_S = 15
CONNECT_TIMEOUT_S = 5
MIGRATIONS = Path(__file__).parent / "migrations"
WRITER = "normwatch_writer"
"""Execution option of a connection whose transaction will write."""


class Database:
    """An engine and its sessions. Sessions are for one thread; the object is for all."""

    def __init__(self, place: str | Path) -> None:
        """Args: place: a URL, or the file of an SQLite database, at any path."""
        is_file = isinstance(place, Path)
        parsed = URL.create("sqlite", database=str(place)) if is_file else make_url(str(place))
        if parsed.drivername in ("postgresql", "postgres"):
            parsed = parsed.set(drivername="postgresql+psycopg")
        self.is_sqlite = parsed.get_backend_name() == "sqlite"
        if self.is_sqlite:
            if parsed.database:
                Path(parsed.database).parent.mkdir(parents=True, exist_ok=True)
            self.engine = create_engine(
                parsed,
                # Errors with values in their text would log sources and secrets.
                hide_parameters=True,
                connect_args={"timeout": BUSY_TIMEOUT_S},
            )
            _prepare_sqlite(self.engine)
        else:
            self.engine = create_engine(
                parsed,
                hide_parameters=True,
                pool_pre_ping=True,
                pool_timeout=BUSY_TIMEOUT_S,
                connect_args={
                    "connect_timeout": CONNECT_TIMEOUT_S,
                    # Without this a server in the C locale returns bytes, not text.
                    "client_encoding": "utf8",
                    # It ends the wait for a server whose machine is gone.
                    "tcp_user_timeout": 1000 * STATEMENT_TIMEOUT_S,
                    "options": f"-c lock_timeout={BUSY_TIMEOUT_S}s "
                    f"-c statement_timeout={STATEMENT_TIMEOUT_S}s",
                },
            )
        self._sessions = sessionmaker(self.engine, expire_on_commit=False)
        hide_deleted_streams(self._sessions)

    @contextmanager
    def read(self) -> Iterator[Session]:
        """Open a session that only reads; it never waits for a writer."""
        with self._sessions() as session:
            yield session

    @contextmanager
    def write(self) -> Iterator[Session]:
        """Open one transaction: committed at the end of the block, rolled back when it raises.

        On SQLite it gets the write lock at its start, so that another writer can't make it fail
        half-way.
        """
        with self._sessions() as session, session.begin():
            session.connection(execution_options={WRITER: True})
            yield session

    def migrate(self) -> None:
        """Change the tables to what this version needs; two at once wait for each other."""
        config = Config()
        # Alembic would read a % as the beginning of a name to replace.
        config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
        with self.engine.execution_options(**{WRITER: True}).begin() as connection:
            if not self.is_sqlite:
                for limit in ("lock_timeout", "statement_timeout"):
                    connection.exec_driver_sql(f"SET LOCAL {limit} = 0")
                connection.exec_driver_sql("SELECT pg_advisory_xact_lock(7306586)")
            config.attributes["connection"] = connection
            command.upgrade(config, "head")

    def close(self) -> None:
        self.engine.dispose()


def _prepare_sqlite(engine: Engine) -> None:
    @event.listens_for(engine, "connect")
    def _connect(connection: DBAPIConnection, _: ConnectionPoolEntry) -> None:
        # The driver must not begin transactions: _begin does, with the right lock.
        connection.isolation_level = None
        cursor = connection.cursor()
        # FULL lets committed transactions survive a power cut, as acknowledgements promise.
        for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON"):
            cursor.execute(f"PRAGMA {pragma}")
        cursor.close()

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        writes = connection.get_execution_options().get(WRITER, False)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")
