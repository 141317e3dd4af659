"""A store, two users, and a process whose children die: what the crash tests and the fault suite play on."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from sqlalchemy import text

from blobstore.core import upkeep
from blobstore.core.check import check
from blobstore.core.store import Store, open_store
from blobstore.settings import Settings
from blobstore.storage.disk import IDENTITY
from tests.conftest import SECRET_KEY
from tests.crash.peer import NOW, VERBS
from tests.served import environment
from tests.storage.contract import digest_of, read

KILL = 9
RECEIVING = ("staged", "1*mid_write", "2*mid_write", "blob_locked")
KEEPING = ("reserved", "after_write", "after_fsync", "after_link", "after_dirsync", "before_record", "recorded")
SWEEPING = ("swept_mark", "swept_unlinked", "swept")
DELETING = ("delete_locked", "deleted")
"""The failpoints, in the order in which they are passed."""


@dataclass(frozen=True)
class Ended:
    """How a child ended: what it acknowledged before, the signal (0: none), the name of the error that it raised."""

    acknowledged: Any
    signal: int
    failed: str | None


class Peer:
    """Runs one verb in a process of its own, which may be killed on the way."""

    def __init__(self, settings: Settings) -> None:
        environ = environment(settings.data, SECRET_KEY=SECRET_KEY, DATABASE_URL=settings.require_database())
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.crash.peer"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=environ,
            cwd=settings.data,
            text=True,
        )

    def __call__(self, verb: str, point: str = "", **arguments: Any) -> Any:
        """What it acknowledged. Without a `point` it has to succeed, with one it has to be killed there."""
        ended = self.run(verb, point, **arguments)
        assert ended.failed is None
        assert ended.signal == (KILL if point else 0), f"{point} was not passed"
        return ended.acknowledged

    def run(self, verb: str, point: str = "", changed: str = "", **arguments: Any) -> Ended:
        """Run it, to be killed at a failpoint: its name, or `N*name` for the Nth passage."""
        turn, star, name = point.rpartition("*")
        self._say(self._order(verb, changed, arguments, failpoints=f"{name}={turn}{star}kill" if point else ""))
        return Ended(**self._hear())

    @contextmanager
    def held(self, verb: str, changed: str = "", **arguments: Any) -> Iterator[Held]:
        """A child that stands before its verb, which it begins when it is told to."""
        self._say(self._order(verb, changed, arguments, held=True))
        yield Held(self, **self._hear())

    def end(self) -> None:
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.close()
        self._process.wait(60)
        self._process.stdout.close()

    @staticmethod
    def _order(verb: str, changed: str, arguments: dict[str, Any], **more: Any) -> str:
        return json.dumps(
            {"verb": verb, "arguments": arguments, "changed": changed, "failpoints": "", "held": False, **more}
        )

    def _say(self, line: str) -> None:
        assert self._process.stdin
        self._process.stdin.write(line + "\n")
        self._process.stdin.flush()

    def _hear(self) -> Any:
        assert self._process.stdout
        return json.loads(self._process.stdout.readline())


@dataclass
class Held:
    """A child that waits: its process, and PostgreSQL's that serves it."""

    peer: Peer
    pid: int
    backend: int

    def go(self) -> Ended:
        """Let it do what it was asked for, to its end."""
        self.peer._say("go")
        return Ended(**self.peer._hear())


def hex_of(content: str) -> str:
    """The digest of a content."""
    return digest_of(content.encode()).hex


@dataclass
class Scene:
    """A store, a process that dies, and what was acknowledged: content -> how many owners have it."""

    store: Store
    peer: Peer
    me: int
    you: int

    def serves(self, *contents: str) -> None:
        """Every acknowledged file is there, whole, and nothing that is not; and every invariant holds."""
        assert list(check(self.store, deep=True)) == []
        rows = dict(self.ask("SELECT DISTINCT b.digest, b.location FROM blobs b JOIN files USING (digest)"))
        for content in contents:
            assert read(self.store.storage, rows[hex_of(content)]) == content.encode()

    def tidy(self) -> None:
        """Upkeep without any grace."""
        upkeep.reap(self.store, NOW)
        upkeep.sweep(self.store, NOW)
        upkeep.adopt(self.store, NOW)
        self.store.storage.discard_abandoned(NOW)
        upkeep.sweep(self.store, NOW)

    def holds(self, *contents: str) -> None:
        """After upkeep the disk and the tables have these contents and nothing else."""
        self.tidy()
        self.serves(*contents)
        digests = sorted({hex_of(content) for content in contents})
        assert self.on_disk() == digests
        for table in ("blobs", "claims", "files"):
            assert [row[0] for row in self.ask(f"SELECT DISTINCT digest FROM {table} ORDER BY digest")] == digests

    def on_disk(self) -> list[str]:
        """The names of all files of the store, left-overs too."""
        root = str(self.store.settings.store)
        found = (name for folder, _, names in os.walk(root) if not folder.endswith("/locks") for name in names)
        return sorted(name for name in found if name != IDENTITY)

    def upload(self, owner: int, content: str) -> str:
        """Upload it, as `x`, in this process."""
        return str(VERBS["upload"](self.store, owner=owner, content=content, name="x"))

    def ask(self, statement: str, **values: Any) -> list[tuple[Any, ...]]:
        with self.store.database.transaction() as session:
            return [tuple(row) for row in session.execute(text(statement), values)]

    def empty(self) -> None:
        """Everybody deletes everything, and nothing may be left of it."""
        for owner, digest in self.ask("SELECT DISTINCT owner_id, digest FROM files WHERE ready_at IS NOT NULL"):
            VERBS["delete"](self.store, owner=owner, digest=digest)
        self.holds()
        charged = "SELECT name FROM users WHERE used_bytes + file_count + content_count + logical_bytes > 0"
        assert self.ask(charged) == []


@contextmanager
def opened(settings: Settings, peer: Peer) -> Iterator[Scene]:
    """The scene of these settings, whose tables have no users yet."""
    scene = Scene(open_store(settings), peer, 0, 0)
    insert = "INSERT INTO users (name, password_hash) VALUES (:name, '') RETURNING id"
    scene.me, scene.you = (scene.ask(insert, name=name)[0][0] for name in ("me", "you"))
    try:
        yield scene
    finally:
        scene.store.database.dispose()
