"""Operations: is this worker there, and can it work."""

from __future__ import annotations

import socket
from pathlib import Path

import psycopg2
import pytest
from flask import Flask
from flask.testing import FlaskClient

from blobstore import __version__
from blobstore.app import create_app
from blobstore.core import health, rounds
from blobstore.core.store import Store
from blobstore.database import upgrade
from blobstore.environment import load
from blobstore.errors import StorageFull, StorageUnavailable
from tests.api.wire import problem
from tests.children import query, until
from tests.conftest import PASSWORD, SECRET_KEY, libpq, signed_in


def application(url: str, data: Path, **more: str) -> FlaskClient:
    """A client of an application over the database at `url`."""
    given = {"DATABASE_URL": url, "BLOBSTORE_DATA": str(data), "SECRET_KEY": SECRET_KEY, **more}
    return create_app(load(given, None)).test_client()


def codes(client: FlaskClient) -> list[str]:
    """What is wrong."""
    ready = client.get("/health/ready")
    assert ready.status_code == 503
    return [problem["code"] for problem in ready.get_json()["problems"]]


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The time, in seconds, as its only element."""
    now = [1000.0]
    monkeypatch.setattr(health, "monotonic", lambda: now[0])
    return now


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
    assert ready.headers["Retry-After"] == "2"
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
    assert codes(client) == ["schema_outdated"]
    answer = signed_in(client.application, "me").get("/api/v1/me")
    assert "blobstore db upgrade" in problem(answer, 503, "database_unavailable")["detail"]
    upgrade(url)
    until(lambda: client.get("/health/ready").status_code == 200)
    client.application.extensions["blobstore"].store.database.dispose()
    with connection.cursor() as cursor:
        cursor.execute("DROP DATABASE not_upgraded")
    connection.close()


def test_a_full_disk_takes_no_uploads(database_url: str, data: Path, store: Store) -> None:
    """A balancer would end the downloads because there is no room for uploads; or nobody would learn it (I19)."""
    free = store.storage.free_bytes()
    assert free is not None
    client = application(database_url, data, BLOBSTORE_FREE_FLOOR_BYTES=str(2 * free))
    ready = client.get("/health/ready")
    assert (ready.status_code, ready.get_json()["status"]) == (200, "no_uploads")
    assert [problem["code"] for problem in ready.get_json()["problems"]] == ["storage_full"]
    client.application.extensions["blobstore"].store.database.dispose()


def test_a_degraded_store_takes_no_uploads(app: Flask, anybody: FlaskClient, store: Store) -> None:
    """A balancer would end the downloads because of one write that failed; or nobody would learn it (I19)."""
    app.extensions["blobstore"].store.condition.trouble = StorageUnavailable("the server's disk refused (EIO)")
    ready = anybody.get("/health/ready")
    assert ready.status_code == 200
    assert "Retry-After" not in ready.headers
    problem = {"code": "storage_unavailable", "detail": "the server's disk refused (EIO)"}
    assert ready.get_json() == {"status": "no_uploads", "problems": [problem]}


def test_a_degraded_store_whose_database_is_away_is_not_ready(data: Path) -> None:
    """Requests would be sent to a worker that can answer none of them."""
    client = application("postgresql://x:y@127.0.0.1:1/x", data)
    client.application.extensions["blobstore"].store.condition.trouble = StorageFull("the server's disk is full")
    assert codes(client) == ["database_unavailable", "storage_full"]


def test_a_disk_that_goes_away_is_told(app: Flask, anybody: FlaskClient, store: Store, clock: list[float]) -> None:
    """A service would call itself ready whose disk was unmounted under it: an empty folder has much room."""
    assert anybody.get("/health/ready").status_code == 200
    identity = store.settings.store / "identity"
    kept = identity.rename(identity.with_name("moved"))
    clock[0] += health.KEPT_SECONDS
    assert codes(anybody) == ["storage_unavailable"]
    kept.rename(identity)
    clock[0] += health.KEPT_SECONDS
    assert anybody.get("/health/ready").status_code == 200


def test_an_answer_is_kept_for_a_second(anybody: FlaskClient, database_url: str, clock: list[float]) -> None:
    """Strangers who ask all the time would keep the database busy; or a balancer would learn too late."""
    assert anybody.get("/health/ready").status_code == 200
    query(database_url, "ALTER TABLE alembic_version RENAME TO hidden")
    try:
        clock[0] += health.KEPT_SECONDS * 0.9
        assert anybody.get("/health/ready").status_code == 200
        clock[0] += health.KEPT_SECONDS * 0.2
        assert codes(anybody) == ["schema_outdated"]
    finally:
        query(database_url, "ALTER TABLE hidden RENAME TO alembic_version")


TOKEN = "an operator's own token that is long enough 0123456789"


@pytest.mark.parametrize("given", [{}, {"BLOBSTORE_METRICS_TOKEN": f"{TOKEN[::-1]},{TOKEN}"}], ids=["off", "on"])
def test_numbers_are_for_operators(given: dict[str, str], app: Flask, anybody: FlaskClient, store: Store) -> None:
    """Strangers would learn from free space and sweeps whether somebody else has what they upload."""
    with rounds.noted(store, "verify") as tally:
        tally.handled, tally.handled_bytes, tally.findings = 3, 5000, 1
    for authorization in (None, f"Bearer {TOKEN}x", f"Bearer {TOKEN[:-1]}", f"Basic {TOKEN}", "Bearer ", "Bearer é"):
        headers = {"Authorization": authorization} if authorization else {}
        assert anybody.get("/health/ready", headers=headers).get_json() == {"status": "ready", "problems": []}
    told = anybody.get("/health/ready", headers={"Authorization": f"bearer {TOKEN}"}).get_json()
    if not given:
        assert set(told) == {"status", "problems"}
        return
    (last,) = told.pop("upkeep")
    assert (last["job"], last["findings"], last["problem"]) == ("verify", 1, None)
    assert last["ended_at"].endswith("Z")
    assert told.pop("free_bytes") > 0
    assert told == {"status": "ready", "problems": [], "degraded": False, "damaged": 0, "floor_bytes": 256 << 20}


def test_without_a_database_operators_are_told_the_rest(data: Path) -> None:
    """The page of numbers would fail when it is needed most."""
    client = application("postgresql://x:y@127.0.0.1:1/x", data, BLOBSTORE_METRICS_TOKEN=TOKEN)
    ready = client.get("/health/ready", headers={"Authorization": f"Bearer {TOKEN}"})
    told = ready.get_json()
    assert (ready.status_code, told["upkeep"], told["damaged"], told["degraded"]) == (503, None, None, False)
    assert told["free_bytes"] > 0
