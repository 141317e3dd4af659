"""The whole service, as a process of its own on a free port, over a database of the tests'."""

from __future__ import annotations

import subprocess
import sys
from base64 import b64encode
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import psutil

from blobstore.serve import APPLICATION, HOOKS
from tests import leaks
from tests.conftest import PASSWORD, SECRET_KEY
from tests.served import Client, environment, eventually

SERVE = [sys.executable, "-m", "blobstore", "serve"]
COMMAND = [sys.executable, "-m", "gunicorn", "-c", HOOKS]


@dataclass
class Service:
    """A running blobstore; `name` and `password` are of no user until the test makes one."""

    process: subprocess.Popen[bytes]
    port: int
    data: Path
    log: Path

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def http(self, name: str | None = None, password: str = PASSWORD) -> httpx.Client:
        """A client that keeps its connection; Basic auth when a name is given."""
        auth = (name, password) if name else None
        return httpx.Client(base_url=self.url, auth=auth, timeout=60, event_hooks={"response": [_look_at]})

    def workers(self) -> list[psutil.Process]:
        """The processes that answer; a PostgreSQL that `serve` has started is a child of the master too."""
        found = []
        for child in psutil.Process(self.process.pid).children():
            with suppress(psutil.Error):
                found += [child] if "gunicorn" in child.cmdline() else []
        return found

    def connect(self) -> Client:
        """A raw connection."""
        return Client(self.port)


def basic(name: str, password: str = PASSWORD) -> str:
    """The value of an Authorization header, for raw connections."""
    return "Basic " + b64encode(f"{name}:{password}".encode()).decode()


@contextmanager
def service(
    data: Path, database_url: str | None, *, application: str = APPLICATION, **settings: Any
) -> Iterator[Service]:
    """A service that is ready; ended by its own pid at the end if it still runs.

    Without a `database_url` it is `blobstore serve`, on the PostgreSQL that it brings; else gunicorn of `application`.
    `settings` are environment variables; a name in small letters gets BLOBSTORE_ before it.
    """
    data.mkdir(parents=True, exist_ok=True)
    log = data / "service.log"
    given = {"upkeep_interval_seconds": 0, "SECRET_KEY": SECRET_KEY, "DATABASE_URL": database_url or "", **settings}
    command = [*COMMAND, application] if database_url else SERVE
    with log.open("wb") as output:
        # Not in the repository's folder: a `.env` there must not change the tests.
        process = subprocess.Popen(command, cwd=data, env=environment(data, **given), stdout=output, stderr=output)
    try:
        yield Service(process, _port(process, log), data, log)
    finally:
        if process.poll() is None:
            process.terminate()
        try:
            process.wait(60)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise


@contextmanager
def suspended(processes: list[psutil.Process]) -> Iterator[None]:
    """Processes that stand still meanwhile."""
    try:
        for process in processes:
            process.suspend()
        eventually(lambda: all(process.status() == psutil.STATUS_STOPPED for process in processes))
        yield
    finally:
        for process in processes:
            process.resume()


def _look_at(answer: httpx.Response) -> None:
    if answer.status_code >= 400:
        leaks.look_at_page(answer.status_code, str(answer.headers).encode() + answer.read())


def _port(process: subprocess.Popen[bytes], log: Path) -> int:
    def answers() -> int | None:
        assert process.poll() is None, log.read_text()
        words = log.read_text().rpartition("blobstore answers at http://127.0.0.1:")[2].split()
        return int(words[0]) if words and words[0].isdigit() else None

    return eventually(answers)
