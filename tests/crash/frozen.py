"""PostgreSQL stands still under 16 clients and goes on: one of its processes, all of them, or a lock that nobody frees.

one backend      its request is refused in time; everybody else goes on
all of it        everything is refused in time, and goes on when PostgreSQL does
a table's lock   64 clients on four connections: refused as busy, and nobody waits for ever
"""

from __future__ import annotations

import os
import random
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import psycopg2

from blobstore import embedded
from blobstore.database import upgrade
from tests.children import postmaster, query
from tests.conftest import libpq
from tests.crash.judging import Harm
from tests.crash.places import Place, serving
from tests.crash.table import Outcome, Scenario
from tests.crash.tally import Tally
from tests.crash.timed import DEFAULTS, Watch, hammering, judge

FROZEN_SECONDS = 10.0
VERSION = "18"
BUSY = {"POOL_SIZE": 4, "MAX_OVERFLOW": 0, "workers": 1}
BACKENDS = "SELECT pid FROM pg_stat_activity WHERE application_name = 'blobstore' ORDER BY pid"
LOCK = "LOCK TABLE blobs IN ACCESS EXCLUSIVE MODE"


@contextmanager
def one_backend(place: Place, _data: Path) -> Iterator[None]:
    """A backend that serves a worker stands still."""
    # Our own connections would be among them.
    place.store.database.dispose()
    with _stopped([random.choice([int(str(row[0])) for row in query(_url(place), BACKENDS)])]):
        yield


@contextmanager
def all_of_it(_place: Place, data: Path) -> Iterator[None]:
    """Every process of PostgreSQL stands still."""
    server = postmaster(data)
    with _stopped([server.pid, *(child.pid for child in server.children(recursive=True))]):
        yield


@contextmanager
def a_lock(place: Place, _data: Path) -> Iterator[None]:
    """Somebody has a table for himself."""
    with closing(psycopg2.connect(libpq(_url(place)))) as connection, connection.cursor() as cursor:
        cursor.execute(LOCK)
        yield
        connection.rollback()


def _url(place: Place) -> str:
    return place.store.settings.require_database()


@contextmanager
def _stopped(pids: list[int]) -> Iterator[None]:
    try:
        _tell(pids, signal.SIGSTOP)
        yield
    finally:
        _tell(pids, signal.SIGCONT)


def _tell(pids: list[int], number: signal.Signals) -> None:
    """Some of them may have ended meanwhile."""
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, number)


@dataclass(frozen=True)
class Standstill:
    """A way to stand still, among so many clients; `told`: a code that some refusals must have, if any."""

    what: str
    begin: Callable[[Place, Path], AbstractContextManager[None]]
    clients: int
    told: str | None
    settings: dict[str, int]


CODES = {"database_unavailable", "busy"}
STANDSTILLS = (
    Standstill("one backend stands still, 16 clients", one_backend, 16, None, {}),
    Standstill("PostgreSQL stands still, 16 clients", all_of_it, 16, "database_unavailable", {}),
    Standstill("a pool of 4 and a lock, 64 clients", a_lock, 64, "busy", BUSY),
)


@dataclass
class Times:
    """The longest of all standstills, in seconds, and the fewest answers meanwhile that were no refusals."""

    refusal: float = 0.0
    first: float = 0.0
    told: int | None = None

    def note(self, watch: Watch, began: float, ended: float) -> None:
        self.refusal = max(self.refusal, watch.slowest_refusal())
        self.first = max(self.first, watch.told_since(ended)[0])
        meanwhile = len(watch.told_since(began)) - len(watch.told_since(ended))
        self.told = meanwhile if self.told is None else min(self.told, meanwhile)

    def __str__(self) -> str:
        told = f"{self.told} answered meanwhile, the others refused within {self.refusal:.1f} s"
        return f"{told}, the first success {self.first:.1f} s after its end"


def standstills(
    way: Standstill, folder: Path, url: str, data: Path, cases: int, seconds: float = FROZEN_SECONDS
) -> Iterator[Outcome]:
    """So many of one kind, on a service with the default settings but for those of that kind."""
    tally, times = Tally(way.what, planned=cases), Times()
    with serving(folder, url, **(DEFAULTS | way.settings)) as place:
        for number in range(cases):
            harm = _standstill(way, place, data, f"u{number}-", seconds, times)
            yield tally.count(harm, f"standstill {number}: ", remark=str(times))


def _standstill(way: Standstill, place: Place, data: Path, name: str, seconds: float, times: Times) -> Harm:
    with hammering(place, name, way.clients) as (hammer, watch):
        hammer.answered(3 * way.clients)
        with way.begin(place, data):
            began = time.monotonic()
            time.sleep(seconds)
        ended = time.monotonic()
        hammer.until(lambda: watch.told_since(ended))
        hammer.answered(3 * way.clients)
    times.note(watch, began, ended)
    harm = judge(place, hammer, watch)
    codes = {answer.code for answer in watch.refused()}
    harm.leaked |= {f"refused as {code}" for code in codes - CODES}
    if way.told and way.told not in codes:
        harm.leaked.add(f"nobody was refused as {way.told}")
    return harm


def run(folder: Path, cases: int) -> Iterator[Outcome]:
    """So many of each kind."""
    data = folder / "postgresql"
    with embedded.running(data, VERSION) as url:
        upgrade(url)
        for number, way in enumerate(STANDSTILLS):
            yield from standstills(way, folder / str(number), url, data, cases)


SCENARIO = Scenario(run, full=10, quick=1)
