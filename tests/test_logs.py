"""The log: a line of JSON for everything, and nothing in it that is a secret."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from blobstore.core import accounts, keys
from blobstore.core.gate import Scope
from blobstore.core.store import Store
from tests.children import until
from tests.conftest import NEW_PASSWORD, PASSWORD, SECRET_KEY
from tests.live import Service, service


@pytest.fixture
def log(tmp_path: Path) -> Path:
    """LOG_FILE, in a folder of its own."""
    folder = tmp_path / "logs"
    folder.mkdir()
    return folder / "blobstore.log"


@pytest.fixture
def live(store: Store, database_url: str, log: Path) -> Iterator[Service]:
    """A service with two workers that logs to a file."""
    accounts.add(store, "me", PASSWORD)
    with service(store.settings.data, database_url, LOG_FILE=log, workers=2) as live:
        yield live


def lines(log: Path) -> list[dict[str, Any]]:
    """Every line so far."""
    return [json.loads(line) for line in log.read_text().splitlines()]


def line_of(log: Path, request_id: str) -> dict[str, Any]:
    """The one line of a request, when it is there."""
    until(lambda: request_id in log.read_text())
    (line,) = [line for line in lines(log) if line.get("request_id") == request_id and line["event"] == "request"]
    return line


def test_every_request_is_a_line(live: Service, log: Path) -> None:
    """Nobody could tell what happened to the request that a user complains about."""
    with live.http("me") as client:
        made = client.put("/upload/x", content=b"12345", headers={"X-Request-ID": "from-a-client"})
        digest = made.json()["sha256"]
        got = client.get(f"/{digest}?download=1")
        lost = client.get("/api/v1/files/nosuchid")
    line = line_of(log, "from-a-client")
    assert (line["method"], line["path"], line["status"], line["user"]) == ("PUT", "/upload/x", 201, "me")
    assert (line["address"], line["level"]) == ("127.0.0.1", "info")
    assert line["seconds"] >= 0
    assert line["time"].endswith("Z")
    line = line_of(log, got.headers["X-Request-ID"])
    assert (line["path"], line["bytes"]) == (f"/{digest}", 5)
    assert "code" not in line
    line = line_of(log, lost.headers["X-Request-ID"])
    assert (line["status"], line["code"]) == (404, "not_found")


def test_no_secret_is_in_it(live: Service, store: Store, log: Path) -> None:
    """Who reads the log could log in, or open what only its owner may."""
    _, key = keys.issue(store, accounts.get(store, "me").id, "k", [Scope.READ])
    with live.http("me", "a wrong password") as client:
        client.get("/api/v1/me?token=in-a-query")
    with live.http("me") as client:
        client.get("/api/v1/me", headers={"Authorization": f"Bearer {key}"})
        body = {"current": PASSWORD, "new": NEW_PASSWORD}
        last = client.post("/api/v1/auth/password", json=body).headers["X-Request-ID"]
    line_of(log, last)
    told = log.read_text() + live.log.read_text()
    for secret in (PASSWORD, "a wrong password", NEW_PASSWORD, key, "in-a-query", SECRET_KEY):
        assert secret not in told


def test_a_moved_log_is_opened_anew(live: Service, log: Path) -> None:
    """After logrotate the service would write to a file that nobody reads, and the disk would fill."""
    with live.http() as client:
        client.get("/health")
    moved = log.rename(log.with_suffix(".1"))
    live.process.send_signal(signal.SIGUSR1)
    until(log.exists)

    def both_write_here() -> bool:
        before = moved.stat().st_size
        for _ in range(8):
            with live.http() as client:
                client.get("/health")
        return moved.stat().st_size == before

    until(both_write_here)
    assert {line["event"] for line in lines(log)} >= {"request"}
    lines(moved)


def test_an_error_of_ours_has_its_trace(store: Store, database_url: str, log: Path) -> None:
    """The request_id that a user reports would lead nowhere."""
    with service(store.settings.data, database_url, LOG_FILE=log, BLOBSTORE_FAILPOINTS="staged=oops:1") as live:
        accounts.add(store, "me", PASSWORD)
        with live.http("me") as client:
            failed = client.put("/upload/x", content=b"12345")
        assert failed.status_code == 500
        assert "oops" not in failed.text
        request_id = failed.json()["request_id"]
        until(lambda: request_id in log.read_text())
    (line,) = [line for line in lines(log) if line["event"] == "unexpected error"]
    assert line["request_id"] == request_id
    assert "unknown action 'oops'" in line["exception"]


def test_a_log_that_takes_nothing_stops_nobody(store: Store, database_url: str) -> None:
    """A full disk under LOG_FILE would stop every request, and the master with them."""
    accounts.add(store, "me", PASSWORD)
    with service(store.settings.data, database_url, LOG_FILE="/dev/full", workers=2) as live, live.http("me") as client:
        assert client.put("/upload/x", content=b"12345").status_code == 201
        assert client.get("/nowhere").status_code == 404
        assert client.get("/api/v1/me").status_code == 200
    assert live.process.returncode == 0


def test_a_log_that_cannot_be_opened_anew_is_kept(live: Service, log: Path) -> None:
    """When there is no room for a new file, logrotate's signal would end the service."""
    log.parent.rename(log.parent.with_name("moved"))
    live.process.send_signal(signal.SIGUSR1)
    moved = log.parent.with_name("moved") / log.name
    until(lambda: "usr1" in moved.read_text())
    with live.http() as client:
        assert client.get("/health", headers={"X-Request-ID": "after"}).status_code == 200
    assert line_of(moved, "after")["status"] == 200
