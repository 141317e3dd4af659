"""What workers do besides answering, in a whole service with several of them."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from blobstore.core import accounts
from blobstore.core.store import Store
from tests.children import lives, query, until
from tests.conftest import PASSWORD
from tests.live import Service, basic, service

UPKEEP = " upkeep run"


def upkeeps(live: Service) -> list[psutil.Process]:
    """The rounds of upkeep that run now."""
    found = []
    for child in psutil.Process(live.process.pid).children(recursive=True):
        try:
            if UPKEEP in " ".join(child.cmdline()):
                found.append(child)
        except psutil.NoSuchProcess:
            continue
    return found


@pytest.fixture
def gate(tmp_path: Path) -> Path:
    """While this file is absent, a round of upkeep stands still in its sweep."""
    return tmp_path / "gate"


@pytest.fixture
def live(store: Store, database_url: str, gate: Path) -> Iterator[Service]:
    """Three workers with upkeep every second, and the user `me`."""
    accounts.add(store, "me", PASSWORD)
    given = {"workers": 3, "upkeep_interval_seconds": 1, "sweep_grace_seconds": 0}
    with service(store.settings.data, database_url, BLOBSTORE_FAILPOINTS=f"swept_mark=wait:{gate}", **given) as live:
        yield live
        gate.touch()


def test_upkeep_runs_once_for_all_workers_and_frees_the_disk(
    live: Service, store: Store, gate: Path, database_url: str
) -> None:
    """Every worker would hash and sweep at once, rounds would pile up, or deleted bytes would stay for ever."""
    until(lambda: upkeeps(live))
    renewed: set[tuple[object, ...]] = set()

    def has_been_due_again() -> bool:
        renewed.update(query(database_url, "SELECT holder, expires_at FROM leases"))
        return len(renewed) > 3

    until(has_been_due_again)
    assert len({holder for holder, _ in renewed}) == 1
    assert len(upkeeps(live)) == 1

    with live.http("me") as client:
        made = client.put("/upload/x", content=b"short-lived")
        digest = made.json()["sha256"]
        bytes_at = store.settings.store / digest[:2] / digest
        assert bytes_at.read_bytes() == b"short-lived"
        assert client.delete(f"/{digest}").status_code == 200
        assert bytes_at.exists()
        gate.touch()
        until(lambda: not bytes_at.exists())
        until(lambda: not query(database_url, "SELECT digest FROM blobs"))
        assert client.get(f"/{digest}").status_code == 404


@pytest.mark.parametrize("how", ["SIGTERM", "SIGKILL", "SIGKILL of its worker"])
def test_a_round_ends_with_its_service(live: Service, gate: Path, how: str) -> None:
    """A stop would wait for what takes hours, or leave it running, on a disk that is to be unmounted."""
    until(gate.with_name("gate.reached").exists)
    (round_,) = upkeeps(live)
    if how == "SIGKILL of its worker":
        round_.parent().kill()
    else:
        live.process.send_signal(getattr(signal, how))
        live.process.wait(60)
    until(lambda: not lives(round_))


def test_bit_rot_is_found_by_itself(store: Store, database_url: str) -> None:
    """Flipped bits would be served for ever where no operator runs a command."""
    accounts.add(store, "me", PASSWORD)
    with service(store.settings.data, database_url, upkeep_interval_seconds=1) as live, live.http("me") as client:
        digest = client.put("/upload/x", content=b"precious").json()["sha256"]
        path = store.settings.store / digest[:2] / digest
        path.unlink()
        path.write_bytes(b"presious")
        assert client.get(f"/{digest}").content == b"presious", "nobody has looked yet"
        query(database_url, "UPDATE blobs SET published_at = published_at - interval '30 days'")
        until(lambda: client.get(f"/{digest}").status_code == 503)
        assert client.get(f"/{digest}").json()["code"] == "content_damaged"
        until(lambda: "verified 1 blobs (8 bytes): 1 damaged" in live.log.read_text())
        lines = [json.loads(line) for line in live.log.read_text().splitlines() if line.startswith("{")]
        (told,) = [line for line in lines if line["level"] == "error"]
        assert told["event"].startswith(f"upkeep: damaged: {digest} at disk:")
        assert client.put("/upload/x", content=b"precious").status_code == 200
        assert client.get(f"/{digest}").content == b"precious"


def test_a_store_that_refused_a_write_comes_back(store: Store, database_url: str, gate: Path) -> None:
    """After one error of the disk every client would send all its bytes for nothing, until somebody restarts it."""
    accounts.add(store, "me", PASSWORD)
    failpoints = f"after_write=2*errno:EIO;probing=wait:{gate}"
    with service(store.settings.data, database_url, BLOBSTORE_FAILPOINTS=failpoints) as live:
        with live.http("me") as client:
            kept = client.put("/upload/kept", content=b"kept").json()["sha256"]
            broken = client.put("/upload/x", content=b"x")
            assert (broken.status_code, broken.json()["code"]) == (503, "storage_unavailable")
            head = f"PUT /upload/x HTTP/1.1\r\nHost: x\r\nAuthorization: {basic('me')}\r\n"
            with live.connect() as raw:
                answer = raw.send(f"{head}Content-Length: 9\r\nExpect: 100-continue\r\n\r\n").answer()
            assert (answer.status, answer.code) == (503, "storage_unavailable")
            assert answer.headers["retry-after"] == "2"
            assert client.get(f"/{kept}").content == b"kept"
            assert client.delete(f"/{kept}").status_code == 200
            gate.touch()
            until(lambda: client.put("/upload/x", content=b"x").status_code == 201)


def test_counts_are_written_before_a_worker_ends(store: Store, database_url: str) -> None:
    """Every stop would lose the downloads of the last seconds, and who read or tried what in them."""
    accounts.add(store, "me", PASSWORD)
    with service(store.settings.data, database_url) as live:
        with live.http("me") as client:
            digest = client.put("/upload/x", content=b"counted").json()["sha256"]
            for _ in range(3):
                assert client.get(f"/{digest}").content == b"counted"
            private = client.put("/upload/y?visibility=private", content=b"private").json()["sha256"]
            assert client.get(f"/{private}").content == b"private"
        with live.http("me", "wrong") as client:
            assert client.get("/api/v1/me").status_code == 401
        live.process.send_signal(signal.SIGTERM)
        until(lambda: query(database_url, "SELECT downloads FROM files ORDER BY name") == [(3,), (1,)])
        noted = "SELECT action FROM events WHERE action IN ('download', 'login_failed') ORDER BY action"
        until(lambda: query(database_url, noted) == [("download",), ("login_failed",)])
