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
from flask import Flask, Response
from flask.testing import FlaskClient

from blobstore import embedded
from blobstore.app import create_app
from blobstore.core import accounts
from blobstore.core.accounts import Account
from blobstore.core.check import check
from blobstore.core.store import Store, open_store
from blobstore.environment import load
from blobstore.settings import Settings
from tests import leaks

PASSWORD, NEW_PASSWORD = "sesame-7f3c-open", "sesame-0b8e-shut"
SECRET_KEY = "a test's own secret that is long enough 0123456789"
leaks.record(PASSWORD, NEW_PASSWORD, SECRET_KEY)

PATIENT = {"BLOBSTORE_DATABASE_TIMEOUT_SECONDS": "60"}
"""Who waits for a lock that a test holds must not give up because the machine is slow."""

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


def pytest_configure() -> None:
    """Before any test is there."""
    leaks.record_what_is_hashed()


@pytest.fixture(scope="session", autouse=True)
def nothing_is_told(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Fails the run when it is over; with pytest-xdist each process has a temporary folder and a run of its own."""
    yield
    leaks.look_at_logs(tmp_path_factory.getbasetemp())
    assert leaks.found() == []


@pytest.fixture(scope="session")
def postgres_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """SQLAlchemy's address of an empty database that this test process has for itself; not durable, but fast."""
    folder = tmp_path_factory.mktemp("postgres")
    # Its input ends with this process, also by kill -9, and then it stops the server that outlived us.
    watcher = subprocess.Popen([sys.executable, "-c", WATCH, folder], stdin=subprocess.PIPE, start_new_session=True)
    with embedded.running(folder, "18", durable=False) as url:
        leaks.record_database(url)
        yield url
        leaks.look_at_database(url)
    leaks.look_at_logs(folder)
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
    empty(migrated_url)
    return migrated_url


def empty(url: str) -> None:
    """Remove every row, after a look at what they tell."""
    leaks.look_at_database(url)
    with psycopg2.connect(libpq(url)) as connection, connection.cursor() as cursor:
        cursor.execute(EMPTY)
    connection.close()


def libpq(url: str) -> str:
    """SQLAlchemy's address as psycopg2 reads it."""
    return url.replace("postgresql+psycopg2://", "postgresql://", 1)


@pytest.fixture
def settings(database_url: str, tmp_path: Path) -> Settings:
    """Settings on an empty database and an empty data folder."""
    given = {"DATABASE_URL": database_url, "BLOBSTORE_DATA": str(tmp_path / "data"), "SECRET_KEY": SECRET_KEY}
    return load(given | PATIENT, None)


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
    app.after_request(looked_at)
    yield app
    app.extensions["blobstore"].store.database.dispose()


def looked_at(answer: Response) -> Response:
    """The same answer."""
    if answer.status_code >= 400:
        leaks.look_at_page(answer.status_code, str(answer.headers).encode() + answer.get_data())
    return answer


@pytest.fixture
def anybody(app: Flask) -> FlaskClient:
    """A client without credentials."""
    return app.test_client()


@pytest.fixture
def user(store: Store) -> Account:
    """The user `me`, with PASSWORD and 1 MiB of quota."""
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
