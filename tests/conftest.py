"""A real PostgreSQL for the tests: one server per test process, emptied before each test that asks for it."""

from __future__ import annotations

import shutil
import subprocess
import sys
from base64 import b64encode
from collections.abc import Iterator
from pathlib import Path

import psycopg2
import pytest
from flask import Flask
from flask.testing import FlaskClient

from blobstore import embedded
from blobstore.app import create_app, open_store
from blobstore.core import accounts
from blobstore.core.accounts import Account
from blobstore.core.check import check
from blobstore.core.store import Store
from blobstore.environment import load
from blobstore.settings import Settings

PASSWORD = "password1"
SECRET_KEY = "a test's own secret that is long enough 0123456789"

WATCH = """
import sys
sys.stdin.read()
from pathlib import Path
from blobstore import embedded
embedded.stop(Path(sys.argv[1]))
"""
EMPTY = """
SET lock_timeout = '30s';
SET blobstore.retention = 'on';
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
    folder = tmp_path_factory.mktemp("postgres")
    # Its input ends with this process, also by kill -9, and then it stops the server that outlived us.
    watcher = subprocess.Popen([sys.executable, "-c", WATCH, folder], stdin=subprocess.PIPE, start_new_session=True)
    with embedded.running(folder, "18", durable=False) as url:
        yield url
    watcher.communicate()
    shutil.rmtree(folder)


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


def libpq(url: str) -> str:
    """SQLAlchemy's address as psycopg2 reads it."""
    return url.replace("postgresql+psycopg2://", "postgresql://", 1)


@pytest.fixture
def settings(database_url: str, tmp_path: Path) -> Settings:
    """Settings on an empty database and an empty data folder."""
    given = {"DATABASE_URL": database_url, "BLOBSTORE_DATA": str(tmp_path / "data"), "SECRET_KEY": SECRET_KEY}
    return load(given, None)


@pytest.fixture
def store(settings: Settings, request: pytest.FixtureRequest) -> Iterator[Store]:
    """An empty store on a real disk. After the test every invariant is asked, unless it is marked `unaudited`."""
    store = open_store(settings)
    yield store
    findings = [] if request.node.get_closest_marker("unaudited") else list(check(store, deep=True))
    store.database.dispose()
    assert findings == []


@pytest.fixture
def app(store: Store, settings: Settings) -> Iterator[Flask]:
    """The application over `store`."""
    app = create_app(settings, store.storage)
    yield app
    app.extensions["blobstore"].store.database.dispose()


@pytest.fixture
def anybody(app: Flask) -> FlaskClient:
    """A client without credentials."""
    return app.test_client()


@pytest.fixture
def user(store: Store) -> Account:
    """The user `me`, with the password `password1` and 1 MiB of quota."""
    return accounts.add(store, "me", PASSWORD, quota_bytes=1 << 20)


@pytest.fixture
def client(app: Flask, user: Account) -> FlaskClient:
    """A client that sends the Basic credentials of `user`."""
    return signed_in(app, user.name)


def signed_in(app: Flask, name: str, password: str = PASSWORD) -> FlaskClient:
    """A client that sends these Basic credentials with every request."""
    client = app.test_client()
    client.environ_base["HTTP_AUTHORIZATION"] = "Basic " + b64encode(f"{name}:{password}".encode()).decode()
    return client
