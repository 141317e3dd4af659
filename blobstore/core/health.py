"""Whether this worker can work: the database answers with the right schema, the storage is the right one.

And whether it takes uploads: the storage can be written to and has room. Without that downloads and deletes go on.

Anybody may ask, as often as he likes: an answer is kept for a second, and one asks while the others wait for him.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
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
    only_uploads: bool = False
    """Everything else goes on."""


class Status(StrEnum):
    """What a worker can do now."""

    READY = "ready"
    NO_UPLOADS = "no_uploads"
    UNREADY = "unready"

    @classmethod
    def of(cls, problems: list[Problem]) -> Status:
        """With these problems."""
        if not problems:
            return cls.READY
        return cls.NO_UPLOADS if all(problem.only_uploads for problem in problems) else cls.UNREADY


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
        """What is wrong; empty when everything can work. At most a second old."""
        with self._asking:
            if monotonic() >= self._until:
                found = [*_of_database(self._store), *_of_storage(self._store)]
                self._problems = _each_once(found)
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


def _each_once(problems: list[Problem]) -> list[Problem]:
    """Of two that say the same the first, which is the worse."""
    told: dict[tuple[str, str], Problem] = {}
    for problem in problems:
        told.setdefault((problem.code, problem.detail), problem)
    return list(told.values())


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
        store.storage.free_bytes()
    except BlobstoreError as error:
        return [Problem(error.code, error.detail)]
    try:
        degraded.refuse(store)
    except BlobstoreError as error:
        return [Problem(error.code, error.detail, only_uploads=True)]
    return []


def _asked(store: Store, question: Callable[[Store], T]) -> T | None:
    try:
        return question(store)
    except BlobstoreError:
        return None
