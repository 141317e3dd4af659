"""Clients over real HTTP that note in a History what they were told."""

from __future__ import annotations

import json
import random
import threading
from collections.abc import Hashable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException
from typing import Any

from sqlalchemy import text

from blobstore.core import keys
from blobstore.core.gate import Scope
from blobstore.core.store import Store
from tests.races.history import NEVER, History, Request
from tests.storage.contract import A_MINUTE, digest_of, sample

CONTENTS = [sample(1 + 3_000 * number, f"content {number}") for number in range(20)]
BY_DIGEST = {digest_of(content).hex: number for number, content in enumerate(CONTENTS)}
DIGESTS = list(BY_DIGEST)


@dataclass(frozen=True)
class Login:
    """A user and an API key of his."""

    user_id: int
    key: str


def login(store: Store, name: str, quota_bytes: int | None = None) -> Login:
    """A new user with a key; nobody knows his password."""
    insert = text("INSERT INTO users (name, password_hash, quota_bytes) VALUES (:name, '', :quota) RETURNING id")
    with store.database.transaction() as session:
        user_id = session.execute(insert, {"name": name, "quota": quota_bytes}).scalar_one()
    _, key = keys.issue(store, user_id, "test", Scope)
    return Login(user_id, key)


class Connection:
    """One connection, made anew when it was lost."""

    def __init__(self, port: int, key: str) -> None:
        self.port = port
        self._http = HTTPConnection("127.0.0.1", port, timeout=A_MINUTE)
        self._headers = {"Authorization": f"Bearer {key}"}

    def ask(self, method: str, path: str, body: bytes | None = None, **headers: str) -> tuple[int, bytes]:
        """The status and the body of the answer. Raises OSError, HTTPException when there is none."""
        try:
            self._http.request(method, path, body, self._headers | headers)
            answer = self._http.getresponse()
            return answer.status, answer.read()
        except (OSError, HTTPException):
            self.close()
            raise

    def put(self, name: str, content: bytes) -> tuple[int, bytes]:
        return self.ask("PUT", f"/upload/{name}?visibility=private", content)

    def close(self) -> None:
        self._http.close()


class Client(threading.Thread):
    """Sends random requests about CONTENTS as one user until it is told to stop, or cannot go on."""

    def __init__(self, port: int, user: Login, history: History, stop: threading.Event, seed: int) -> None:
        super().__init__()
        self._connection = Connection(port, user.key)
        self._user, self._history, self._told_to_stop = user, history, stop
        self._random = random.Random(seed)
        self.failed: BaseException | None = None

    def run(self) -> None:
        try:
            while not self._told_to_stop.is_set():
                verb = self._random.choices((self.upload, self.delete, self.read), (40, 30, 20))[0]
                verb(self._random.randrange(len(CONTENTS)))
                if self._random.random() < 0.05:
                    self.list()
        except BaseException as error:
            self.failed = error
        finally:
            self._connection.close()

    def upload(self, number: int) -> None:
        meanings = {201: (False, True), 200: (True, True)}
        self._ask(number, meanings, True, "PUT", f"/upload/c{number}?visibility=private", CONTENTS[number])

    def delete(self, number: int) -> None:
        self._ask(number, {200: (True, False), 404: (False, False)}, False, "DELETE", f"/{DIGESTS[number]}")

    def read(self, number: int) -> None:
        body = self._ask(number, {200: (True, None), 404: (False, None)}, None, "GET", f"/{DIGESTS[number]}")
        assert body in (None, CONTENTS[number]), "other bytes were served"

    def list(self) -> None:
        began = History.now()
        status, body = self._try("GET", "/api/v1/files?limit=100")
        if status != 200:
            self._history.add([], f"list {status}")
            return
        there = {BY_DIGEST[file["sha256"]] for file in json.loads(body)["items"]}
        self._history.add(self._listed(there, began), "list 200")

    def _listed(self, there: set[int], began: int) -> Iterator[tuple[Hashable, Request]]:
        ended = History.now()
        for number in range(len(CONTENTS)):
            yield self._key(number), Request(f"a list: {number in there}", number in there, None, began, ended)

    def _key(self, number: int) -> Hashable:
        return self._user.user_id, f"c{number}"

    def _ask(
        self, number: int, meanings: Mapping[int, tuple[bool, bool | None]], intended: bool | None, *asked: Any
    ) -> bytes | None:
        began = History.now()
        status, body = self._try(*asked)
        said = f"{asked[0]} {status}"
        if status in meanings:
            was, then = meanings[status]
            request = Request(said, was, then, began, History.now())
        else:
            request = Request(said, None, intended, began, NEVER)
            # Not hammering what is down; every lost request makes the judgement less sharp.
            self._told_to_stop.wait(0.1)
        self._history.add([(self._key(number), request)], said)
        return body if status == 200 and asked[0] == "GET" else None

    def _try(self, *asked: Any) -> tuple[int, bytes]:
        with suppress(OSError, HTTPException):
            return self._connection.ask(*asked)
        return 0, b""


def final_look(port: int, users: list[Login], history: History) -> None:
    """Read every key once more, when nobody else does anything."""
    for user in users:
        client = Client(port, user, history, threading.Event(), 0)
        for number in range(len(CONTENTS)):
            client.read(number)
        client.list()
        client._connection.close()
