"""Everybody does everything at once, judged by what clients were told.

Clients upload, delete, read and list the same twenty contents over HTTP while sweeps without any grace, adopts and
verifies go on.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta

from blobstore.core import upkeep, verify
from blobstore.core.check import Finding, check
from blobstore.core.store import Store
from blobstore.errors import Unavailable
from tests.live import Service
from tests.races.clients import Client, Connection, Login, login
from tests.races.history import History

NOW = timedelta(0)
PATIENT = {"database_timeout_seconds": 60, "POOL_TIMEOUT": 60, "workers": 2, "graceful_timeout_seconds": 5}
"""Settings under which a slow machine is no reason to answer 503."""


class Hammer:
    """So many clients, four to a user, and upkeep without any grace, until `stop`.

    `connect(port, key)` makes their connections; `name` is how their users' names begin, who must be new.
    """

    def __init__(
        self,
        running: Service,
        store: Store,
        clients: int,
        seed: int = 0,
        *,
        connect: Callable[[int, str], Connection] = Connection,
        name: str = "user",
    ) -> None:
        self._store = store
        self.history = History()
        self.stop = threading.Event()
        self.names = [f"{name}{number}" for number in range(max(clients // 4, 1))]
        self.users: list[Login] = [login(store, each) for each in self.names]
        owners = (self.users[number % len(self.users)] for number in range(clients))
        self._clients = [
            Client(connect(running.port, owner.key), owner, self.history, self.stop, seed + number)
            for number, owner in enumerate(owners)
        ]
        self._upkeep = threading.Thread(target=self._tidy)
        self.rounds = 0
        self.trouble: Exception | None = None

    @contextmanager
    def running(self, *, tidying: bool = True) -> Iterator[None]:
        """They do it while the block runs; what any of them could not bear is raised at its end."""
        threads = [*self._clients, *([self._upkeep] if tidying else [])]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            self.stop.set()
            for thread in threads:
                thread.join()
        for error in (self.trouble, *(client.failed for client in self._clients)):
            if error:
                raise error

    def _tidy(self) -> None:
        try:
            while not self.stop.is_set():
                self._tidy_once()
        except Exception as error:
            self.trouble = error

    def _tidy_once(self) -> None:
        try:
            upkeep.sweep(self._store, NOW)
            upkeep.adopt(self._store, NOW)
            list(verify.verify(self._store))
            self.rounds += 1
        except Unavailable:
            self.history.add([], "upkeep 503")
            self.stop.wait(0.1)

    def until(self, condition: Callable[[], object]) -> None:
        """Wait for it, at most a minute."""
        deadline = time.monotonic() + 60
        while not condition():
            assert time.monotonic() < deadline, f"it never came: {self.history.answers}"
            time.sleep(0.01)

    def answered(self, count: int) -> None:
        """Wait until the clients have had so many more answers."""
        before = self.history.answers.total()
        self.until(lambda: self.history.answers.total() >= before + count)


def tidied(store: Store) -> Iterator[Finding]:
    """What is wrong, and what is left after all upkeep that nobody has.

    Bytes without a row are wrong only after upkeep: transaction 1 of an upload commits asynchronously, so that a crash
    of PostgreSQL may take it back when the bytes are published already.
    """
    yield from check(store, deep=True, grace=timedelta(hours=1))
    upkeep.reap(store, NOW)
    for _ in range(2):
        upkeep.sweep(store, NOW)
        upkeep.adopt(store, NOW)
    store.storage.discard_abandoned(NOW)
    for finding in check(store, deep=True):
        yield Finding(finding.rule, f"{finding.where}, after upkeep")
    yield from (Finding("left in staging", str(path)) for path in (store.settings.store / "tmp").iterdir())


def tidy(store: Store) -> list[str]:
    """The same in words."""
    return [f"{finding.rule}: {finding.where}" for finding in tidied(store)]
