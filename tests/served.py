"""A real gunicorn with our worker as a process of its own, and a client that speaks raw bytes."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self, TypeVar

from blobstore.api.phrases import phrase
from tests import leaks

T = TypeVar("T")

ROOT = Path(__file__).parents[1]
GUARD_SECONDS = 60
"""Guards against a hang; nothing is expected to take anywhere near as long."""


@dataclass
class Answer:
    """One response, read by its framing."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def text(self) -> str:
        return self.body.decode()

    @property
    def code(self) -> str:
        """The code of a problem document, after its shape was checked."""
        assert self.headers["content-type"] == "application/problem+json"
        problem = json.loads(self.body)
        assert problem["type"] == "about:blank"
        assert problem["title"] == phrase(self.status)
        assert problem["detail"]
        assert problem["status"] == self.status
        assert problem["request_id"] == self.headers["x-request-id"]
        return str(problem["code"])


class Client:
    """A connection."""

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=GUARD_SECONDS)
        self._file = self.socket.makefile("rb")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()
        self.socket.close()

    def send(self, data: bytes | str) -> Self:
        self.socket.sendall(data.encode("latin-1") if isinstance(data, str) else data)
        return self

    def end(self) -> Self:
        """Say that nothing more is sent."""
        self.socket.shutdown(socket.SHUT_WR)
        return self

    def reset(self) -> None:
        """Break the connection off."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        self._file.close()
        self.socket.close()

    def answer(self) -> Answer:
        """The next response, interim ones included. Raises EOFError when there is none, or a cut one."""
        line = self._line()
        match = re.fullmatch(r"HTTP/1\.[01] (\d{3}) .*", line)
        assert match, line
        headers = {}
        while line := self._line():
            name, _, value = line.partition(": ")
            headers[name.lower()] = value
        status = int(match[1])
        answer = Answer(status, headers, b"" if status < 200 else self._body(headers))
        leaks.look_at_page(status, str(headers).encode() + answer.body)
        return answer

    def _line(self) -> str:
        line = self._file.readline()
        if not line.endswith(b"\r\n"):
            raise EOFError(line)
        return line[:-2].decode("latin-1")

    def _body(self, headers: dict[str, str]) -> bytes:
        if headers.get("transfer-encoding") == "chunked":
            pieces = []
            while size := int(self._line(), 16):
                pieces.append(self._exactly(size))
                self._line()
            self._line()
            return b"".join(pieces)
        return self._exactly(int(headers["content-length"]))

    def _exactly(self, size: int) -> bytes:
        found = self._file.read(size)
        if len(found) < size:
            raise EOFError(f"{len(found)} of {size} bytes")
        return found

    def rest(self) -> bytes:
        """All that comes until the server closes."""
        return self._file.read()


@dataclass
class Server:
    """A running gunicorn."""

    process: subprocess.Popen[bytes]
    port: int
    data: Path
    log: Path

    def connect(self) -> Client:
        return Client(self.port)

    def ask(self, request: bytes | str) -> Answer:
        """The answer to one request on a connection of its own."""
        with self.connect() as client:
            return client.send(request).answer()

    def get(self, path: str) -> Answer:
        return self.ask(f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n")

    def pid(self) -> int:
        """The process id of the worker that answers."""
        return int(self.get("/hello").text.rpartition(" ")[2])

    def url(self, path: str) -> str:
        return f"http://127.0.0.1:{self.port}{path}"


def environment(data: Path, **settings: Any) -> dict[str, str]:
    """The environment of a server: ours without any setting, and `settings` (names without BLOBSTORE_ if in small)."""
    kept = {name: value for name, value in os.environ.items() if name in ("PATH", "HOME", "LANG", "TMPDIR")}
    named = {(f"BLOBSTORE_{name.upper()}" if name.islower() else name): str(value) for name, value in settings.items()}
    return {
        **kept,
        "PYTHONPATH": str(ROOT),
        "BLOBSTORE_DATA": str(data),
        "BLOBSTORE_BIND": "127.0.0.1:0",
        "BLOBSTORE_WORKERS": "1",
        **named,
    }


def command(*options: str) -> list[str]:
    return [
        sys.executable, "-m", "gunicorn", "-c", str(ROOT / "gunicorn.conf.py"), *options, "tests.server_app:app"
    ]  # fmt: skip


@contextmanager
def serving(data: Path, *options: str, **settings: Any) -> Iterator[Server]:
    """A gunicorn that answers, killed at the end if it still runs."""
    data.mkdir(parents=True, exist_ok=True)
    log = data / "log"
    with log.open("wb") as output:
        # Not in the repository's folder: a `.env` there must not change the tests.
        process = subprocess.Popen(
            command(*options), cwd=data, env=environment(data, **settings), stdout=output, stderr=output
        )
    try:
        server = Server(process, _port(process, log), data, log)
        server.get("/hello")
        yield server
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGQUIT)
        try:
            process.wait(GUARD_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise


def _port(process: subprocess.Popen[bytes], log: Path) -> int:
    def listens() -> re.Match[str] | None:
        assert process.poll() is None, log.read_text()
        return re.search(r"Listening at: http://127\.0\.0\.1:(\d+)", log.read_text())

    return int(eventually(listens)[1])


def eventually(look: Callable[[], T | None]) -> T:
    """What `look` finds at last."""
    end = time.monotonic() + GUARD_SECONDS
    while time.monotonic() < end:
        if found := look():
            return found
        time.sleep(0.01)
    raise AssertionError("it never came")
