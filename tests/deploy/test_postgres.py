"""PostgreSQL as containers without a locale set it up: its databases are in SQL_ASCII."""

from __future__ import annotations

import psycopg
from sqlalchemy import make_url, text

from service.store.database import Database


def test_a_database_without_an_encoding_gives_text(postgres_url: str) -> None:
    with psycopg.connect(postgres_url, autocommit=True) as admin:
        admin.execute("DROP DATABASE IF EXISTS plain")
        admin.execute("CREATE DATABASE plain TEMPLATE template0 ENCODING 'SQL_ASCII' LOCALE 'C'")
    url = make_url(postgres_url).set(database="plain")
    database = Database(url.render_as_string(hide_password=False))
    try:
        database.migrate()
        with database.read() as session:
            assert session.scalar(text("SELECT 'Haupteingang Süd'")) == "Haupteingang Süd"
    finally:
        database.close()
