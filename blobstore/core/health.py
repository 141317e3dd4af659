"""Whether this worker can work: the database answers with the right schema, the storage is the right one, takes writes
and has room.

Anybody may ask, as often as he likes: an answer is kept for a second, and one asks while the others wait for him.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from threading import Lock
from time import monotonic
from typing import TypeVar

from blobstore.core import degraded, rounds
from blobstore.core.identity import confirm
from blobstore.core.rounds import Round
from blobstore.core.store import Store
from blobstore.core.verify import count_damaged
from blobstore.database import is_current
from blobstore.errors import BlobstoreError

KEPT_SECONDS = 1.0
T = TypeVar("T")


@dataclass(frozen=True)
class Problem:
    """Why a worker cannot work: `code` is stable, `detail` is for people. Strangers see it: no paths, no numbers."""

    code: str
    detail: str


@dataclass(frozen=True)
class Details:
    """What operators may know: numbers that would tell strangers what others store. None: it could not be asked."""

    degraded: bool
    free_bytes: int | None
    floor_bytes: int
    damaged: int | None
    """How many blobs that somebody has are known to be damaged."""
    rounds: dict[str, Round] | None


class Readiness:
    """One worker's answer to whether it can work."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._asking = Lock()
        self._problems: list[Problem] = []
        self._until = 0.0

    def problems(self) -> list[Problem]:
        """What is wrong; empty when uploads and downloads can work. At most a second old."""
        with self._asking:
            if monotonic() >= self._until:
                found = [*_of_database(self._store), *_of_storage(self._store)]
                self._problems = list(dict.fromkeys(found))
                self._until = monotonic() + KEPT_SECONDS
            return self._problems

    def details(self) -> Details:
        """The numbers behind it, asked now; not the database, when it was just found not to answer."""
        store = self._store
        away = {"database_unavailable", "busy"} & {problem.code for problem in self.problems()}
        return Details(
            degraded=store.condition.trouble is not None,
            free_bytes=_asked(store, lambda store: store.storage.free_bytes()),
            floor_bytes=store.settings.free_floor_bytes,
            damaged=None if away else _asked(store, count_damaged),
            rounds=None if away else _asked(store, rounds.last),
        )


def _of_database(store: Store) -> list[Problem]:
    """A storage is confirmed by the database, which therefore comes first."""
    try:
        if not is_current(store.database):
            return [Problem("schema_outdated", "the database needs `blobstore db upgrade`")]
        confirm(store)
    except BlobstoreError as error:
        return [Problem(error.code, error.detail)]
    return []


def _of_storage(store: Store) -> list[Problem]:
    try:
        degraded.refuse(store)
    except BlobstoreError as error:
        return [Problem(error.code, error.detail)]
    return []


def _asked(store: Store, question: Callable[[Store], T]) -> T | None:
    try:
        return question(store)
    except BlobstoreError:
        return None
