"""Operations: is this worker there, and can it work."""

from __future__ import annotations

import socket
from pathlib import Path

import psycopg2
from flask.testing import FlaskClient

from blobstore import __version__
from blobstore.app import create_app
from blobstore.core.store import Store
from blobstore.database import upgrade
from blobstore.environment import load
from tests.api.wire import problem
from tests.conftest import PASSWORD, SECRET_KEY, libpq, signed_in


def application(url: str, data: Path, **more: str) -> FlaskClient:
    """A client of an application over the database at `url`."""
    given = {"DATABASE_URL": url, "BLOBSTORE_DATA": str(data), "SECRET_KEY": SECRET_KEY, **more}
    return create_app(load(given, None)).test_client()


def test_a_sound_service_is_ready(anybody: FlaskClient) -> None:
    """A balancer would send nobody here."""
    assert anybody.get("/health").get_json() == {"status": "ok", "version": __version__}
    ready = anybody.get("/health/ready")
    assert (ready.status_code, ready.get_json()) == (200, {"status": "ready", "problems": []})
    assert anybody.head("/health").status_code == 200


def test_without_a_database_it_is_there_and_not_ready(data: Path) -> None:
    """A balancer would kill it for PostgreSQL's sake, or go on sending requests; a client would hang (I18)."""
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))  # and does not listen
        refuses_what_needs_a_database(
            application(f"postgresql://x:secret-password@127.0.0.1:{nobody.getsockname()[1]}/x", data)
        )


def refuses_what_needs_a_database(client: FlaskClient) -> None:
    """Assert that it is there, but refuses what needs a database, and tells nobody its password."""
    assert client.get("/health").status_code == 200
    ready = client.get("/health/ready")
    assert ready.status_code == 503
    assert ready.get_json()["status"] == "unready"
    assert "secret-password" not in ready.text
    for method, path in (("GET", "/" + "0" * 64), ("DELETE", "/" + "0" * 64), ("POST", "/upload")):
        asks = signed_in(client.application, "me", PASSWORD)
        answer = asks.open(path, method=method, data=b"x" if method == "POST" else None)
        problem(answer, 503, "database_unavailable")
        assert answer.headers["Retry-After"] == "2"
        assert "secret-password" not in answer.text


def test_an_old_schema_is_not_ready(migrated_url: str, data: Path) -> None:
    """A new version would work on the tables of an old one."""
    connection = psycopg2.connect(libpq(migrated_url))
    connection.autocommit = True
    with connection.cursor() as cursor:
        cursor.execute("DROP DATABASE IF EXISTS not_upgraded")
        cursor.execute("CREATE DATABASE not_upgraded")
    url = migrated_url.replace("@/blobstore?", "@/not_upgraded?")
    assert url != migrated_url
    client = application(url, data)
    assert "blobstore db upgrade" in client.get("/health/ready").get_json()["problems"][0]
    answer = signed_in(client.application, "me").get("/api/v1/me")
    assert "blobstore db upgrade" in problem(answer, 503, "database_unavailable")["detail"]
    upgrade(url)
    assert client.get("/health/ready").status_code == 200
    client.application.extensions["blobstore"].store.database.dispose()
    with connection.cursor() as cursor:
        cursor.execute("DROP DATABASE not_upgraded")
    connection.close()


def test_a_full_disk_is_not_ready(database_url: str, data: Path, store: Store) -> None:
    """Uploads would be sent to a node that refuses them all."""
    free = store.storage.free_bytes()
    assert free is not None
    client = application(database_url, data, BLOBSTORE_FREE_FLOOR_BYTES=str(2 * free))
    ready = client.get("/health/ready")
    assert ready.status_code == 503
    assert "below the floor" in ready.get_json()["problems"][0]
    client.application.extensions["blobstore"].store.database.dispose()
