"""A real PostgreSQL for the tests: one server per test process, emptied before each test that asks for it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import psycopg2
import pytest

from blobstore import embedded

EMPTY = """
SET lock_timeout = '30s';
DO $$
DECLARE tables text;
BEGIN
    SELECT string_agg(format('%I', tablename), ', ') INTO tables
    FROM pg_tables WHERE schemaname = 'public' AND tablename <> 'alembic_version';
    EXECUTE 'TRUNCATE ' || tables || ' RESTART IDENTITY CASCADE';
END $$
"""


@pytest.fixture(scope="session")
def postgres_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """SQLAlchemy's address of an empty database that this test process has for itself; not durable, but fast."""
    with embedded.running(tmp_path_factory.mktemp("postgres"), "18", durable=False) as url:
        yield url


@pytest.fixture(scope="session")
def migrated_url(postgres_url: str) -> str:
    """The same with the newest schema; rows of earlier tests may be in it."""
    from blobstore.database import upgrade

    upgrade(postgres_url)
    return postgres_url


@pytest.fixture
def database_url(migrated_url: str) -> str:
    """The same without a row. A transaction that an earlier test left open fails this one after 30 seconds."""
    with psycopg2.connect(libpq(migrated_url)) as connection, connection.cursor() as cursor:
        cursor.execute(EMPTY)
    connection.close()
    return migrated_url


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A data folder of a service that does not exist yet."""
    return tmp_path / "data"


def libpq(url: str) -> str:
    """SQLAlchemy's address as psycopg2 reads it."""
    return url.replace("postgresql+psycopg2://", "postgresql://", 1)
