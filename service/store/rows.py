"""Inserts many rows by one prepared statement, without any work for each value."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Table
from sqlalchemy.orm import Session

Row = tuple[object, ...]
"""Values that the drivers of SQLite and PostgreSQL accept as they are: no JSON, no enums."""


def insert_rows(
    session: Session, table: Table, columns: Sequence[str], rows: Sequence[Row], then: str = ""
) -> None:
    """Insert rows. Raises: sqlalchemy.exc.IntegrityError, DataError: one of them can't be.

    Args:
        columns: the names of a row's values.
        then: SQL that follows the values in the statement.
    """
    if not rows:
        return
    connection = session.connection()
    mark = "?" if connection.dialect.paramstyle == "qmark" else "%s"
    marks = ", ".join([mark] * len(columns))
    names = ", ".join(columns)
    text = f"INSERT INTO {table.name} AS kept ({names}) VALUES ({marks}) {then}"
    connection.exec_driver_sql(text, list(rows))
