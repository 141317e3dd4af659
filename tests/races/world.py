"""One store seen from several sides at once: actors that stop at any statement or storage call, one step at a time."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from typing import Any, TypeVar

import psycopg2
from psycopg2 import sql
from sqlalchemy import event

from blobstore.core import delete, download, upkeep, upload
from blobstore.core.check import Finding, check
from blobstore.core.files import Changes
from blobstore.core.gate import ALL_SCOPES, Caller
from blobstore.core.store import Store
from blobstore.core.upload import Outcome
from blobstore.database import Database
from blobstore.settings import Settings
from blobstore.storage import Storage
from tests.conftest import libpq
from tests.storage.contract import A_MINUTE, digest_of
from tests.storage.faults import VERBS, Faults, Stall

T = TypeVar("T")
NOW = timedelta(0)
COMMIT = "COMMIT"
LOOK_FOR_TWIN = "AS expired FROM files f"


class Actor:
    """One side: database connections and a storage of its own, with actions before or after what it does."""

    def __init__(self, settings: Settings, storage: Storage) -> None:
        self.faults = Faults(storage)
        self.store = Store(settings, Database(settings.require_database(), settings), self.faults)
        # Asked once in a process: its COMMIT is not the one that a scenario waits for.
        self.store.confirmed.add(storage.identity() or "")
        self.connection: Any = None
        """psycopg2's, of the newest statement."""
        self._actions: list[tuple[str, str, Callable[[], object]]] = []
        engine = self.store.database.engine
        event.listen(engine, "before_cursor_execute", lambda on, _, said, *__: self._passes("before", said, on))
        event.listen(engine, "after_cursor_execute", lambda on, _, said, *__: self._passes("after", said, on))
        event.listen(engine, "commit", lambda on: self._passes("before", COMMIT, on))

    def before(self, what: str, action: Callable[[], object]) -> None:
        """Run `action` once, before the next storage verb, statement that contains `what`, or COMMIT."""
        self._add("before", what, action)

    def after(self, what: str, action: Callable[[], object]) -> None:
        """The same behind it. There is none behind a COMMIT."""
        self._add("after", what, action)

    def upload(self, caller: Caller, content: bytes, **given: Any) -> Outcome:
        return upload.upload(self.store, caller, [content], Changes(**given))  # type: ignore[typeddict-item]

    def delete(self, caller: Caller, content: bytes) -> None:
        delete.delete_content(self.store, caller, digest_of(content))

    def sweep(self) -> upkeep.Swept:
        return upkeep.sweep(self.store, NOW)

    def disown(self) -> None:
        """The first half of a sweep."""
        upkeep._disown(self.store, NOW)

    def read(self, caller: Caller | None, content: bytes) -> bytes:
        """What is served under the digest of `content`."""
        found = download.find(self.store, caller, digest_of(content))
        pieces = download.read(self.store, found, 0, found.size_bytes)
        try:
            return b"".join(pieces)
        finally:
            pieces.close()

    def _add(self, when: str, what: str, action: Callable[[], object]) -> None:
        if what in VERBS:
            (self.faults.before if when == "before" else self.faults.after)(what, action, 1)
        else:
            self._actions.append((when, what, action))

    def _passes(self, when: str, said: str, connection: Any) -> None:
        self.connection = connection.connection.dbapi_connection
        for wanted in list(self._actions):
            if wanted[0] == when and wanted[1] in said:
                self._actions.remove(wanted)
                wanted[2]()


class Violation(AssertionError):
    """A promise was broken."""


class World:
    """The store, its actors, and the threads that they run in."""

    def __init__(self, settings: Settings, storage: Storage) -> None:
        self.settings, self.storage = settings, storage
        self._actors: list[Actor] = []
        self._stalls: list[Stall] = []
        self._pool = ThreadPoolExecutor(8)
        self.observer = psycopg2.connect(libpq(settings.require_database()))
        self.observer.autocommit = True
        self.god = self.actor()

    def close(self) -> None:
        """Let everybody pass and end."""
        for stall in self._stalls:
            stall.go_on()
        self.observer.close()
        self._pool.shutdown()
        for actor in self._actors:
            actor.store.database.dispose()

    def actor(self) -> Actor:
        self._actors.append(Actor(self.settings, self.storage))
        return self._actors[-1]

    def caller(self, name: str = "me", quota_bytes: int | None = None) -> Caller:
        """A new user; nobody logs in here, so there is no password to hash."""
        insert = "INSERT INTO users (name, password_hash, quota_bytes) VALUES (%s, '', %s) RETURNING id"
        user_id = self.ask(insert, name, quota_bytes)[0][0]
        return Caller(user_id, name, "user", ALL_SCOPES, quota_bytes, 0, by_password=True)

    def ask(self, statement: str, *values: object) -> list[tuple[Any, ...]]:
        """Run one statement past all actors."""
        with self.observer.cursor() as cursor:
            cursor.execute(sql.SQL(statement), values)
            return list(cursor.fetchall()) if cursor.description else []

    def stall(self) -> Stall:
        """An action that waits, at the latest until the world ends."""
        self._stalls.append(Stall())
        return self._stalls[-1]

    def start(self, call: Callable[..., T], *args: Any, **kwargs: Any) -> Future[T]:
        return self._pool.submit(call, *args, **kwargs)

    def settle(self, running: Future[Any], waiters: int = 1) -> bool:
        """True when it has ended, False when it, with everybody before it, waits for a lock."""
        deadline = time.monotonic() + A_MINUTE
        while not running.done():
            if self._waiting() >= waiters:
                return False
            assert time.monotonic() < deadline, "it neither ends nor waits for a lock"
            time.sleep(0.005)
        return True

    def _waiting(self) -> int:
        """How many wait for a lock of PostgreSQL or of a shard."""
        look = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
        shards = {lock.stat().st_ino for lock in (self.settings.store / "locks").glob("??")}
        return int(self.ask(look)[0][0]) + sum(inode in shards for inode in _flock_waiters())

    def findings(self) -> list[Finding]:
        """What the oracle finds, at this instant."""
        return list(check(self.actor().store, deep=True))

    def audit(self) -> None:
        """Raise Violation with every finding, and for every quota that is exceeded."""
        found = [f"{finding.rule}: {finding.where}" for finding in self.findings()]
        found += [
            f"{name} is over quota" for (name,) in self.ask("SELECT name FROM users WHERE used_bytes > quota_bytes")
        ]
        if found:
            raise Violation("; ".join(found))

    def serves(self, caller: Caller, content: bytes) -> None:
        """Raise Violation unless the caller gets `content` under its digest."""
        try:
            served = self.god.read(caller, content)
        except Exception as error:
            raise Violation("an acknowledged file is not served") from error
        if served != content:
            raise Violation("other bytes are served")

    def path(self, content: bytes) -> Path:
        """Where the bytes lie on the disk."""
        digest = digest_of(content).hex
        return self.settings.store / digest[:2] / digest

    def rot(self, content: bytes) -> None:
        """Change a byte on the disk."""
        path = self.path(content)
        path.chmod(0o640)
        path.write_bytes(bytes([content[0] ^ 1]) + content[1:])

    def tidy(self) -> None:
        """All upkeep without any grace: afterwards nothing is there but what somebody has."""
        upkeep.reap(self.god.store, NOW)
        self.god.sweep()
        upkeep.adopt(self.god.store, NOW)
        self.god.sweep()
        self.audit()


def _flock_waiters() -> Iterator[int]:
    """The inodes that somebody waits to lock. Lines look like `2: -> FLOCK ADVISORY READ 28915 fe:00:2148682 0 EOF`."""
    for line in Path("/proc/locks").read_text(encoding="ascii").splitlines():
        words = line.split()
        if words[1:3] == ["->", "FLOCK"]:
            yield int(words[6].rpartition(":")[2])
