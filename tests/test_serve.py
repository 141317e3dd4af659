"""`blobstore serve` from the first line to the last process."""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import httpx
import psutil
import psycopg2
import pytest

from blobstore import embedded
from tests.children import HANG_SECONDS, lives, postmaster, query, until

SERVE = "from blobstore.environment import load; from blobstore.serve import serve; serve(load())"
ADDRESS = re.compile(r"^blobstore answers at (http://\S+)$", re.MULTILINE)
ADMIN = re.compile(r"^the first admin is (\S+), password (\S+) \(this line is not repeated\)$", re.MULTILINE)


@dataclass
class Service:
    """One `serve` in a group of its own, as a terminal starts it."""

    child: subprocess.Popen[bytes]
    log: Path

    @property
    def said(self) -> str:
        return self.log.read_text()

    def address(self) -> str:
        """Where it answers, once it does."""
        until(lambda: ADDRESS.search(self.said) or self.child.poll() is not None)
        found = ADDRESS.search(self.said)
        assert found, self.said
        return found[1]

    def end(self, number: signal.Signals = signal.SIGINT) -> int:
        """Signal the whole group, as Ctrl-C does; the exit code."""
        os.killpg(self.child.pid, number)
        return self.child.wait(HANG_SECONDS)


class Starter:
    """Starts services on one data folder and ends what is left of them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.data = folder / "data"
        self.services: list[Service] = []

    def __call__(self, **environ: str) -> Service:
        log = self.folder / f"{len(self.services)}.log"
        mine = {"PATH": os.environ["PATH"], "BLOBSTORE_DATA": str(self.data), "BLOBSTORE_BIND": "127.0.0.1:0"}
        mine |= {"BLOBSTORE_WORKERS": "1", "BLOBSTORE_GRACEFUL_TIMEOUT_SECONDS": "5"} | environ
        with log.open("wb") as out:
            child = subprocess.Popen(
                [sys.executable, "-c", SERVE], stdout=out, stderr=out, cwd=self.folder, env=mine, process_group=0
            )
        self.services.append(Service(child, log))
        return self.services[-1]

    def end(self) -> None:
        for service in self.services:
            if service.child.poll() is None:
                service.end(signal.SIGKILL)
        embedded.stop(self.data)
        shutil.rmtree(self.data, ignore_errors=True)


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Starter]:
    """`start(NAME=value …)` begins a service on one data folder, with one worker, on a port of its own."""
    starter = Starter(tmp_path)
    yield starter
    starter.end()


def ready(address: str) -> int:
    """What the service says of itself."""
    return httpx.get(f"{address}/health/ready", timeout=HANG_SECONDS).status_code


def test_a_life(start: Starter) -> None:
    """The first command of the README would not work, or the second, or Ctrl-C would leave something running."""
    first = start()
    address = first.address()
    assert ready(address) == 200
    lines = first.said.splitlines()
    assert lines[0] == f"PostgreSQL 18 is starting in {start.data}/postgres …"
    name, password = ADMIN.findall(first.said)[0]
    assert httpx.get(f"{address}/api/v1/me", auth=(name, password)).status_code == 200
    secret = start.data / "secret.key"
    kept = secret.read_text()
    assert secret.stat().st_mode & 0o777 == 0o600
    assert kept not in first.said

    second = start()
    assert second.child.wait(HANG_SECONDS) != 0
    assert f"{start.data} is served already, by process {first.child.pid}" in second.said
    server = postmaster(start.data)
    with embedded.running(start.data, "18"):
        pass
    assert ready(address) == 200, "a command beside the service took its database away"

    assert first.end() == 0
    assert not lives(server)
    assert not (start.data / "postgres" / "postmaster.pid").exists()
    assert "Traceback" not in first.said

    third = start()
    assert httpx.get(f"{third.address()}/api/v1/me", auth=(name, password)).status_code == 200
    assert not ADMIN.search(third.said)
    assert secret.read_text() == kept
    assert third.end(signal.SIGTERM) == 0


def test_a_killed_master_is_replaced_at_once(start: Starter) -> None:
    """After kill -9 people would have to find and end processes before the service starts again."""
    first = start()
    first.address()
    master = psutil.Process(first.child.pid)
    workers = [child for child in master.children() if "gunicorn" in child.cmdline()]
    server = postmaster(start.data)
    assert workers
    master.kill()
    second = start()
    assert ready(second.address()) == 200
    assert not any(lives(worker) for worker in workers)
    assert postmaster(start.data) == server, "the database had to recover without need"
    first.child.wait(HANG_SECONDS)
    assert second.end() == 0
    assert not lives(server)


def test_everything_killed_starts_again(start: Starter) -> None:
    """After a crash of the machine the service would not come back."""
    first = start()
    address = first.address()
    everything = psutil.Process(first.child.pid).children(recursive=True)
    server = postmaster(start.data)
    server.kill()
    until(lambda: ready(address) == 503)
    first.end(signal.SIGKILL)
    for process in everything:
        if lives(process):
            process.kill()
    second = start()
    assert ready(second.address()) == 200
    assert second.end() == 0


def test_a_taken_address_is_one_line(start: Starter) -> None:
    """The start would end in a page of retries, with a PostgreSQL left behind."""
    with closing(socket.create_server(("127.0.0.1", 0))) as other:
        port = other.getsockname()[1]
        service = start(BLOBSTORE_BIND=f"127.0.0.1:{port}")
        assert service.child.wait(HANG_SECONDS) != 0
    assert f"cannot listen on 127.0.0.1:{port}: Address already in use" in service.said
    assert not (start.data / "postgres").exists()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_start_can_be_ended(start: Starter, number: signal.Signals) -> None:
    """Ctrl-C during a long recovery would leave the server behind."""
    embedded.start(start.data, "18", durable=False)
    embedded.stop(start.data)
    (start.data / "postgres" / "standby.signal").touch()
    with (start.data / "postgres" / "postgresql.conf").open("a") as settings:
        settings.write("hot_standby = off\n")
    service = start()
    until(lambda: "entering standby mode" in (start.data / "postgres.log").read_text())
    server = postmaster(start.data)
    os.killpg(service.child.pid, number)
    assert service.child.wait(HANG_SECONDS) == 128 + number
    assert not lives(server)
    assert "Traceback" not in service.said


def test_another_database_is_used_and_left_alone(start: Starter, database_url: str) -> None:
    """A production database would be migrated unasked, or stopped with the service."""
    with closing(psycopg2.connect(database_url.replace("+psycopg2", ""))) as connection:
        connection.autocommit = True
        connection.cursor().execute("CREATE DATABASE without_schema")
    empty = database_url.replace("/blobstore?", "/without_schema?")
    first = start(DATABASE_URL=empty, BLOBSTORE_BIND="0.0.0.0:0")
    assert ready(first.address().replace("0.0.0.0", "127.0.0.1")) == 503
    assert "run `blobstore db upgrade`" in first.said
    assert "passwords travel in clear" in first.said
    assert query(empty, "SELECT tablename FROM pg_tables WHERE schemaname = 'public'") == []
    assert first.end() == 0
    second = start(DATABASE_URL=database_url, BLOBSTORE_BIND="0.0.0.0:0", BLOBSTORE_TRUSTED_PROXY_HOPS="1")
    assert ready(second.address().replace("0.0.0.0", "127.0.0.1")) == 200
    assert "passwords travel in clear" not in second.said
    assert second.end() == 0
    assert query(database_url, "SELECT 1") == [(1,)]
    assert not (start.data / "postgres").exists()
