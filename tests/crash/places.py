"""Where a scenario plays: a PostgreSQL of its own, and a running service that is remembered by what it acknowledged."""

from __future__ import annotations

import base64
import json
import os
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import Any

import psutil
import psycopg2

from blobstore import embedded
from blobstore.background import COUNT_SECONDS
from blobstore.core.store import Store, open_store
from blobstore.database import upgrade
from blobstore.environment import load
from blobstore.serve import APPLICATION
from tests.children import until
from tests.conftest import EMPTY, SECRET_KEY, libpq
from tests.crash.judging import Harm
from tests.live import Service, service
from tests.races.clients import Login, login
from tests.races.stress import PATIENT, tidy
from tests.storage.contract import digest_of

BOUNDARY = "a-boundary"
HANG_SECONDS = 60
TOKEN = "an operator's own token that is long enough 0123456789"


@contextmanager
def postgresql(folder: Path) -> Iterator[str]:
    """The address of an empty database with the newest schema; not durable, but fast."""
    with embedded.running(folder / "postgresql", "18", durable=False) as url:
        upgrade(url)
        yield url


def emptied(url: str) -> str:
    """The same database without a row: it knows no other store any more."""
    with closing(psycopg2.connect(libpq(url))) as connection, connection, connection.cursor() as cursor:
        cursor.execute(EMPTY)
    return url


@dataclass(frozen=True)
class Sent:
    """A request that uploads."""

    method: str
    path: str
    body: bytes | Iterable[bytes]
    headers: dict[str, str] = field(default_factory=dict)


def _form(content: bytes) -> Sent:
    head = f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="file"; filename="x"\r\n\r\n'.encode()
    body = head + content + f"\r\n--{BOUNDARY}--\r\n".encode()
    return Sent("POST", "/upload", body, {"Content-Type": f"multipart/form-data; boundary={BOUNDARY}"})


def _json(content: bytes) -> Sent:
    body = json.dumps({"data": base64.b64encode(content).decode()}).encode()
    return Sent("POST", "/upload", body, {"Content-Type": "application/json"})


FORMS: dict[str, Callable[[bytes], Sent]] = {
    "raw": lambda content: Sent("PUT", "/upload/x", content),
    "by its digest": lambda content: Sent("PUT", f"/{digest_of(content)}", content),
    "a form": _form,
    "JSON": _json,
    "chunked": lambda content: Sent("POST", "/upload", iter([content[:1000], content[1000:]])),
}


@dataclass(frozen=True)
class Reply:
    """An answer; status 0: there was none, and the body says why."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def code(self) -> str:
        """The code of a problem document."""
        return str(json.loads(self.body)["code"])


@dataclass
class Place:
    """A service with one user, its store, and what was acknowledged: digest -> content."""

    running: Service
    store: Store
    user: Login
    kept: dict[str, bytes] = field(default_factory=dict)

    def ask(self, method: str, path: str, body: Any = None, **headers: str) -> Reply:
        """The answer to one request on a connection of its own."""
        http = HTTPConnection("127.0.0.1", self.running.port, timeout=HANG_SECONDS)
        try:
            given = {"Authorization": f"Bearer {self.user.key}", **headers}
            # A request that is refused early may break while it is sent, with the answer on its way.
            with suppress(BrokenPipeError, ConnectionResetError):
                http.request(method, path, body, given)
            answer = http.getresponse()
            return Reply(answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read())
        except (OSError, HTTPException) as error:
            return Reply(0, {}, repr(error).encode())
        finally:
            http.close()

    def upload(self, content: bytes, form: str = "raw") -> Reply:
        """Send it in that form; what is acknowledged is remembered."""
        sent = FORMS[form](content)
        reply = self.ask(sent.method, sent.path, sent.body, **sent.headers)
        if reply.status in (200, 201):
            self.kept[digest_of(content).hex] = content
        return reply

    def delete(self, content: bytes) -> Reply:
        """Delete it, and forget it when that is acknowledged."""
        reply = self.ask("DELETE", f"/{digest_of(content)}")
        if reply.status == 200:
            del self.kept[digest_of(content).hex]
        return reply

    def recover(self) -> None:
        """Wait until every worker takes uploads again; nobody may upload meanwhile."""
        # What a worker shows of itself is so old at most.
        time.sleep(2 * COUNT_SECONDS)
        until(
            lambda: b"\nblobstore_degraded 0.0\n" in self.ask("GET", "/metrics", Authorization=f"Bearer {TOKEN}").body
        )

    def logged(self, reply: Reply) -> str:
        """What the log says of the request."""
        request_id = reply.headers.get("x-request-id", "?")
        return "\n".join(line for line in self.running.log.read_text().splitlines() if request_id in line)

    def used_bytes(self) -> int:
        """What the user is charged."""
        return int(json.loads(self.ask("GET", "/api/v1/me/quota").body)["used"])

    def workers(self) -> list[psutil.Process]:
        """The processes that answer."""
        return self.running.workers()

    def look(self) -> Harm:
        """Ask for everything that was acknowledged."""
        harm = Harm()
        for digest, content in self.kept.items():
            reply = self.ask("GET", f"/{digest}")
            if reply.status != 200:
                harm.lost.add(f"{digest}: {reply.status}")
            elif reply.body != content:
                harm.corrupt.add(f"{digest}: {len(reply.body)} bytes")
        return harm

    def look_after_upkeep(self) -> Harm:
        """The same, when upkeep without any grace has taken what nobody has; nothing else may be there."""
        harm = self.look()
        harm.leaked |= set(tidy(self.store))
        root = self.store.settings.store
        names = (name for folder, _, names in os.walk(root) if Path(folder).name != "locks" for name in names)
        harm.leaked |= {f"{name} on the disk" for name in names if name != "identity" and name not in self.kept}
        return harm


@contextmanager
def serving(folder: Path, url: str, *, application: str = APPLICATION, **settings: Any) -> Iterator[Place]:
    """A service on the store in `folder` and the database, which is emptied, with one user; files are private."""
    given = {"DATABASE_URL": emptied(url), "BLOBSTORE_DATA": str(folder), "SECRET_KEY": SECRET_KEY}
    store = open_store(load(given, None))
    user = login(store, folder.name)
    chosen = {**PATIENT, "default_visibility": "private", "metrics_token": TOKEN, **settings}
    try:
        with service(folder, url, application=application, **chosen) as running:
            yield Place(running, store, user)
    finally:
        store.database.dispose()


@contextmanager
def serving_itself(folder: Path, **settings: Any) -> Iterator[Place]:
    """The same by `blobstore serve`, with the PostgreSQL that it brings and that is in `folder` too."""
    with service(folder, None, **{**PATIENT, "default_visibility": "private", **settings}) as running:
        given = {"DATABASE_URL": embedded.address(folder), "BLOBSTORE_DATA": str(folder), "SECRET_KEY": SECRET_KEY}
        store = open_store(load(given, None))
        try:
            yield Place(running, store, login(store, "me"))
        finally:
            store.database.dispose()
