"""A running service and its store, asked by many at the same instant."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from sqlalchemy import text

from blobstore.core.store import Store, open_store
from blobstore.environment import load
from blobstore.serve import APPLICATION
from tests.conftest import SECRET_KEY
from tests.live import Service, service
from tests.races.clients import Connection, Login
from tests.races.stress import PATIENT
from tests.storage.contract import A_MINUTE

T = TypeVar("T")


@dataclass
class Place:
    """A service and its store."""

    service: Service
    store: Store

    def ask(self, statement: str, **values: Any) -> list[tuple[Any, ...]]:
        with self.store.database.transaction() as session:
            return [tuple(row) for row in session.execute(text(statement), values)]

    def at_once(self, asked: list[tuple[Login, Callable[[Connection], T]]]) -> list[T]:
        """What all get who begin at the same time, each on a connection of his own."""
        gate = threading.Barrier(len(asked))

        def send(user: Login, request: Callable[[Connection], T]) -> T:
            connection = Connection(self.service.port, user.key)
            try:
                gate.wait(A_MINUTE)
                return request(connection)
            finally:
                connection.close()

        with ThreadPoolExecutor(len(asked)) as pool:
            return [running.result() for running in [pool.submit(send, *each) for each in asked]]


@contextmanager
def opened(data: Path, database_url: str, application: str = APPLICATION) -> Iterator[Place]:
    """A patient service of two workers on that folder and database; perhaps one with a planted bug."""
    given = {"DATABASE_URL": database_url, "BLOBSTORE_DATA": str(data), "SECRET_KEY": SECRET_KEY}
    store = open_store(load(given, None))
    try:
        with service(data, database_url, application=application, **PATIENT) as running:
            yield Place(running, store)
    finally:
        store.database.dispose()
