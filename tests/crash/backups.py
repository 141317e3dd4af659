"""A backup in the middle of a hammer, restored elsewhere: the pair fits, and has what was acknowledged before it began.

8 clients upload, delete and read the same contents, and one sends new ones all the time, while `blobstore backup` runs;
what it kept goes into a new database and a new store.
What is there is judged as one more answer, given at some moment of the backup: some order of all requests explains it.
"""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import timedelta
from itertools import count
from pathlib import Path

import psycopg2

from blobstore import dumps
from blobstore.cli.backup import BLOBS, DUMP
from blobstore.core.backup import copy_out
from blobstore.core.check import check
from blobstore.core.store import Store, open_store
from blobstore.environment import load
from tests.children import query
from tests.conftest import SECRET_KEY, libpq
from tests.crash.judging import Harm
from tests.crash.places import Place, postgresql, serving
from tests.crash.table import Outcome, Scenario
from tests.crash.tally import Tally
from tests.races.clients import CONTENTS, DIGESTS
from tests.races.history import History, Request
from tests.races.stress import Hammer, tidy
from tests.served import environment
from tests.storage.contract import sample

CLIENTS = 8
KEPT = 50
"""Files of somebody who does nothing meanwhile."""
BUG = "the store copied first"
Backup = Callable[[Place, Path, Hammer], None]


def by_command(place: Place, folder: Path, _hammer: Hammer) -> None:
    """What an operator does."""
    done = blobstore("backup", str(folder), data=place.running.data, url=_url(place.store))
    assert done.returncode == 0, done.stdout


def store_first(place: Place, folder: Path, hammer: Hammer) -> None:
    """What an operator must not do."""
    folder.mkdir()
    copy_out(place.store, folder / BLOBS)
    hammer.answered(50)
    dumps.dump(_url(place.store), folder / DUMP)


def blobstore(*words: str, data: Path, url: str) -> subprocess.CompletedProcess[str]:
    """One command, which may have findings."""
    data.mkdir(parents=True, exist_ok=True)
    environ = environment(data, SECRET_KEY=SECRET_KEY, DATABASE_URL=url)
    command = [sys.executable, "-m", "blobstore", *words]
    done = subprocess.run(command, check=False, capture_output=True, text=True, env=environ, cwd=data)
    assert done.returncode in (0, 1), done.stderr
    return done


def _url(store: Store) -> str:
    return store.settings.require_database()


@contextmanager
def database(url: str, name: str) -> Iterator[str]:
    """A new, empty database of that name beside the one at `url`."""
    with closing(psycopg2.connect(libpq(url))) as connection:
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute(f"CREATE DATABASE {name}")
            yield url.replace("/blobstore?", f"/{name}?")
            cursor.execute(f"DROP DATABASE {name} WITH (FORCE)")


@contextmanager
def newcomers(place: Place, name: str) -> Iterator[None]:
    """Somebody sends new contents while the block runs."""
    over = threading.Event()

    def send() -> None:
        for number in count():
            if over.is_set():
                return
            assert place.upload(sample(1000, f"{name} {number}")).status == 201

    with ThreadPoolExecutor(1) as pool:
        sending = pool.submit(send)
        try:
            yield
        finally:
            over.set()
    sending.result()


@dataclass
class Made:
    """A backup: who hammered meanwhile, what was kept before it began, and between which moments it was made."""

    hammer: Hammer
    kept: set[str]
    when: tuple[int, int]


def back_up(place: Place, folder: Path, name: str, backup: Backup) -> Made:
    """A backup under clients."""
    hammer = Hammer(place.running, place.store, CLIENTS, name=name)
    with hammer.running(tidying=False), newcomers(place, name):
        hammer.answered(100)
        kept, began = set(place.kept), History.now()
        backup(place, folder, hammer)
        ended = History.now()
        hammer.answered(50)
    return Made(hammer, kept, (began, ended))


def restored(place: Place, folder: Path, elsewhere: Path, made: Made) -> Harm:
    """What is wrong in the pair that was restored."""
    with database(_url(place.store), "restored") as url:
        done = blobstore("restore", str(folder), data=elsewhere, url=url)
        harm = Harm(lost=set(done.stdout.splitlines()[:-1]))
        given = {"DATABASE_URL": url, "BLOBSTORE_DATA": str(elsewhere), "SECRET_KEY": SECRET_KEY}
        store = open_store(load(given, None))
        harm.note(check(store, deep=True, grace=timedelta(hours=1)))
        made.hammer.history.add(_seen(store, made), "restored")
        harm.lost |= set(made.hammer.history.violations())
        there = {digest for (digest,) in query(url, f"SELECT digest FROM files WHERE owner_id = {place.user.user_id}")}
        harm.lost |= {f"{digest} was acknowledged" for digest in made.kept - there}
        harm.leaked |= set(tidy(store))
        store.database.dispose()
    return harm


def _seen(store: Store, made: Made) -> Iterator[tuple[tuple[int, str], Request]]:
    """The state that was restored, as what a reader saw at some moment of the backup."""
    there = set(query(_url(store), "SELECT owner_id, digest FROM files WHERE ready_at IS NOT NULL"))
    for user in made.hammer.users:
        for number in range(len(CONTENTS)):
            was = (user.user_id, DIGESTS[number]) in there
            yield (user.user_id, f"c{number}"), Request(f"restored: {was}", was, None, *made.when)


def backups(folder: Path, url: str, cases: int, backup: Backup, tally: Tally) -> Iterator[Outcome]:
    """So many backups of one service, each into a folder of its own, each restored."""
    tally.planned = cases
    with serving(folder / "service", url, sweep_grace_seconds=3600) as place:
        for number in range(KEPT):
            assert place.upload(sample(5000 + number, f"kept {number}")).status == 201
        for number in range(cases):
            kept = folder / f"backup{number}"
            made = back_up(place, kept, f"u{number}-", backup)
            yield tally.count(restored(place, kept, folder / f"restored{number}", made), f"backup {number}: ")


def run(folder: Path, cases: int) -> Iterator[Outcome]:
    """So many backups; then one in the wrong order, which has to be missed."""
    with postgresql(folder) as url:
        yield from backups(folder / "right", url, cases, by_command, Tally(f"backup under {CLIENTS} clients, restored"))
        planted = Tally(f"backup under {CLIENTS} clients, {BUG}", self_test=True)
        yield from backups(folder / "wrong", url, 1, store_first, planted)


SCENARIO = Scenario(run, full=10, quick=1)
