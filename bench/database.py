"""More databases in a PostgreSQL that runs."""

from __future__ import annotations

import psycopg2
from sqlalchemy import URL, make_url


def create(url: str, name: str) -> URL:
    """An empty database beside the one of SQLAlchemy's address `url`."""
    say(make_url(url), f"CREATE DATABASE {name}")
    return make_url(url).set(database=name)


def say(url: URL, statement: str) -> None:
    """Run one statement, outside a transaction."""
    connection = psycopg2.connect(url.set(drivername="postgresql").render_as_string(hide_password=False))
    try:
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute(statement)
    finally:
        connection.close()
