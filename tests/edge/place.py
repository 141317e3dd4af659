"""A running service with one user and one file, and whether a request left anything behind in it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cached_property
from hashlib import sha256
from pathlib import Path
from typing import Any

import psutil
import psycopg2

from blobstore.core import accounts
from blobstore.core.check import check
from blobstore.core.store import open_store
from blobstore.environment import load
from tests.conftest import PASSWORD, SECRET_KEY, empty, libpq
from tests.edge.wire import ask, exchange, read_reply
from tests.live import Service, service
from tests.served import eventually

TEN = b"0123456789"
DIGEST = sha256(TEN).hexdigest()
"""The digest of the one public file, whose name is ten.txt."""
BASE_URL = "http://files.example"
MAX_FILE_BYTES = 20 << 20
COUNTED = """
SELECT (SELECT count(*) FROM files), (SELECT count(*) FROM blobs), (SELECT count(*) FROM claims),
       (SELECT count(*) FROM api_keys), sum(used_bytes), sum(reserved_bytes), sum(logical_bytes), sum(file_count),
       count(*)
FROM users
"""
FORGET = """
TRUNCATE files, claims, blobs;
UPDATE users SET used_bytes = 0, logical_bytes = 0, file_count = 0, content_count = 0;
"""
ATTEMPTS = "SELECT coalesce(sum(hits), 0) FROM rate_limits WHERE key LIKE '%/login%'"


@dataclass
class Place:
    """The service, its store's folder, and a connection to its database."""

    live: Service
    folder: Path
    database: Any

    @cached_property
    def workers(self) -> list[psutil.Process]:
        """The processes that answer."""
        return psutil.Process(self.live.process.pid).children()

    def ask(self, request: bytes, *, end: bool = False, with_body: bool = True, address: str = "127.0.0.1") -> Any:
        """The one answer to a request, which comes from one of this machine's addresses."""
        return read_reply(exchange(self.live.port, request, end=end, address=address), with_body=with_body)

    def kept(self) -> tuple[Any, ...]:
        """Every row, charge and byte there is, as numbers and names."""
        with self.database.cursor() as cursor:
            cursor.execute(COUNTED)
            rows: tuple[Any, ...] = cursor.fetchone()
        return *rows, sorted(path.name for path in self.folder.glob("??/*"))

    def attempts(self) -> int:
        """How many logins have failed; each is counted before argon2 runs."""
        return int(self.rows(ATTEMPTS)[0][0])

    def rows(self, question: str) -> list[tuple[Any, ...]]:
        """What the service's database answers."""
        with self.database.cursor() as cursor:
            cursor.execute(question)
            return list(cursor.fetchall())

    def say(self, statement: str) -> None:
        """Run a statement in the service's database."""
        with self.database.cursor() as cursor:
            cursor.execute(statement)

    def forget(self) -> None:
        """Remove every file, as if none had ever been sent."""
        self.say(FORGET)
        for path in self.folder.glob("??/*"):
            path.unlink()

    def staged(self) -> list[str]:
        """What the workers have open in the store, and what lies in its staging folder."""
        held = [path.name for path in self.folder.glob("tmp/*")]
        for worker in self.workers:
            for descriptor in Path(f"/proc/{worker.pid}/fd").iterdir():
                with suppress(OSError):
                    target = descriptor.readlink()
                    if target.is_relative_to(self.folder) and not target.is_dir():
                        held.append(str(target))
        return held

    def connections(self) -> int:
        """How many connections of clients the workers have."""
        found = [one for worker in self.workers for one in worker.net_connections("tcp") if one.raddr]
        return sum(one.laddr.port == self.live.port for one in found)

    def is_calm(self) -> bool:
        """Whether nothing is staged and no client is connected."""
        return not self.staged() and not self.connections()


@contextmanager
def place(folder: Path, database_url: str, **settings: Any) -> Iterator[Place]:
    """A service with the users `me`, who has ten.txt, and `other`, and the admin `root`.

    At the end every invariant is asked.
    """
    empty(database_url)
    database = psycopg2.connect(libpq(database_url))
    database.autocommit = True
    given = {"DATABASE_URL": database_url, "BLOBSTORE_DATA": str(folder), "SECRET_KEY": SECRET_KEY}
    store = open_store(load(given, None))
    for name in ("me", "other", "root"):
        accounts.add(store, name, PASSWORD, admin=name == "root")
    try:
        with service(folder, database_url, BASE_URL=BASE_URL, max_file_bytes=MAX_FILE_BYTES, **settings) as live:
            here = Place(live, folder / "store", database)
            assert here.ask(ask("PUT /upload/ten.txt", body=TEN)).status == 201
            yield here
            eventually(here.is_calm)
        assert list(check(store, deep=True)) == []
        assert "Traceback" not in live.log.read_text()
    finally:
        store.database.dispose()
        database.close()
