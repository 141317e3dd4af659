"""What the workers of a whole service count, and where."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import httpx
import psutil
import pytest
from prometheus_client.parser import text_string_to_metric_families as families

from blobstore import metrics
from blobstore.core import accounts
from blobstore.core.store import Store
from tests.children import until
from tests.conftest import PASSWORD
from tests.live import Service, basic, service

TOKEN = "an operator's own token that is long enough 0123456789"
Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]


@pytest.fixture
def live(store: Store, database_url: str) -> Iterator[Service]:
    """Two workers that count, and the user `me`."""
    accounts.add(store, "me", PASSWORD)
    with service(store.settings.data, database_url, workers=2, metrics_token=TOKEN) as live:
        yield live


def scraped(live: Service) -> Samples:
    """Every sample by its name and labels."""
    page = httpx.get(f"{live.url}/metrics", headers={"Authorization": f"Bearer {TOKEN}"}, timeout=60)
    assert page.status_code == 200
    found = [sample for family in families(page.text) for sample in family.samples]
    return {(sample.name, frozenset(sample.labels.items())): sample.value for sample in found}


def value(found: Samples, name: str, **labels: str) -> float:
    """One of them, 0 when it is not there."""
    return found.get((f"blobstore_{name}", frozenset(labels.items())), 0.0)


def requests(live: Service, method: str, route: str, status: str) -> float:
    """How many requests were counted, by all workers."""
    return value(scraped(live), "request_duration_seconds_count", method=method, route=route, status=status)


def master(live: Service) -> psutil.Process:
    return psutil.Process(live.process.pid)


def folder(live: Service) -> Path:
    """Where they count."""
    (lock,) = (file.path for file in master(live).open_files() if metrics.PREFIX in file.path)
    return Path(lock).parent


def test_every_worker_counts_and_each_shows_all(live: Service) -> None:
    """Numbers would be those of whichever worker happened to be asked."""
    content = b"x" * 100_000
    for turn in range(20):
        # Each on a connection of its own, so that both workers get some.
        with live.http("me") as client:
            made = client.put(f"/upload/{turn}", content=content)
            assert made.status_code == 201
            assert client.get(f"/{made.json()['sha256']}").content == content
            assert client.get("/" + "0" * 64).status_code == 404
    assert requests(live, "PUT", "/upload/<rest:path>", "2xx") == 20
    assert requests(live, "GET", "/<digest:digest>", "2xx") == 20
    assert requests(live, "GET", "/<digest:digest>", "4xx") == 20
    until(lambda: value(scraped(live), "received_bytes_total") == 20 * len(content))
    assert value(scraped(live), "sent_bytes_total") > 20 * len(content)
    found = scraped(live)
    for name in ("bodies", "connections", "passwords", "degraded"):
        assert (f"blobstore_{name}", frozenset()) in found
    assert value(found, "connections") >= 0
    assert len(list(folder(live).glob("histogram_*.db"))) == 2


def test_no_client_can_make_more_numbers(live: Service) -> None:
    """Anybody could fill the memory of the service, and of Prometheus, with labels of his own."""
    with live.http() as client:
        for number in range(20):
            client.get(f"/nowhere/{number}")
            client.request(f"FOO{number}", "/upload")
            client.get(f"/{number:064}")
    with live.connect() as raw:
        assert raw.send("GET / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: x\r\n\r\n").answer().status == 501
    scraped(live)
    counted = [dict(labels) for name, labels in scraped(live) if name.endswith("_seconds_count")]
    assert sorted((labels["method"], labels["route"], labels["status"]) for labels in counted) == [
        ("GET", "/<digest:digest>", "4xx"),
        ("GET", "/metrics", "2xx"),
        ("GET", "none", "4xx"),
        ("other", "none", "4xx"),
        ("other", "refused", "5xx"),
    ]
    assert requests(live, "other", "none", "4xx") == 20


def test_what_a_dead_worker_has_counted_stays(live: Service) -> None:
    """Counters would go backwards with every reload, or the uploads of a killed worker be in flight for ever."""
    with live.http("me") as client:
        assert client.put("/upload/x", content=b"x").status_code == 201
    there, everybody = folder(live), master(live).children()
    with live.connect() as raw:
        raw.send(f"PUT /upload/y HTTP/1.1\r\nHost: x\r\nAuthorization: {basic('me')}\r\nContent-Length: 9\r\n\r\n")
        until(lambda: value(scraped(live), "bodies") == 1)
        for worker in everybody:
            worker.kill()
        psutil.wait_procs(everybody, 60)
    until(lambda: value(scraped(live), "bodies") == 0)
    assert len(list(there.glob("gauge_livesum_*.db"))) == 2
    assert requests(live, "PUT", "/upload/<rest:path>", "2xx") == 1


def test_the_folder_goes_with_the_service(store: Store, database_url: str) -> None:
    """Every start would leave something in the memory of the machine, also after kill -9."""
    with service(store.settings.data, database_url, metrics_token=TOKEN) as first:
        left = folder(first)
        workers = master(first).children()
        first.process.send_signal(signal.SIGKILL)
        first.process.wait(60)
        psutil.wait_procs(workers, 60)
    assert left.is_dir()
    with service(store.settings.data, database_url, metrics_token=TOKEN) as second:
        until(lambda: not left.exists())
        with service(store.settings.data.with_name("beside"), database_url, metrics_token=TOKEN) as beside:
            there, other = folder(second), folder(beside)
            assert there.is_dir()
            assert there.stat().st_mode & 0o777 == 0o700
            assert there != other
    assert not there.exists()
    assert not other.exists()


def test_what_is_not_ours_is_left_alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Another user of the machine could have a folder of ours removed, by a link of that name."""
    precious = tmp_path / "precious"
    precious.mkdir()
    (tmp_path / f"{metrics.PREFIX}x").symlink_to(precious)
    metrics._remove_unlocked(tmp_path / f"{metrics.PREFIX}x")
    assert list(precious.iterdir()) == []
    ours = tmp_path / f"{metrics.PREFIX}y"
    ours.mkdir()
    monkeypatch.setattr(os, "geteuid", lambda: 12345)
    metrics._remove_unlocked(ours)
    assert list(ours.iterdir()) == []
    monkeypatch.undo()
    metrics._remove_unlocked(ours)
    assert not ours.exists()


def test_without_a_token_nothing_is_counted(store: Store, database_url: str) -> None:
    """What nobody reads would cost every request."""
    with service(store.settings.data, database_url) as live, live.http() as client:
        assert client.get("/metrics").status_code == 404
        assert not [file.path for file in master(live).open_files() if metrics.PREFIX in file.path]
