"""What runs when the power goes: clients that upload and delete, and upkeep, in a process of its own.

Every owner has one client, which says what it begins and what it was answered. The contents are the same for all.
"""

from __future__ import annotations

import os
import signal
import threading
import time
import traceback
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path
from random import Random

from blobstore import database
from blobstore.core import delete, upkeep, upload
from blobstore.core.files import Changes
from blobstore.core.gate import Caller
from blobstore.core.store import Store, open_store
from blobstore.environment import load
from blobstore.errors import Unavailable
from blobstore.settings import Settings
from tests.conftest import SECRET_KEY
from tests.storage import disks
from tests.storage.contract import digest_of, sample

NOW = timedelta(0)
CONTENTS = 40
SIZES = (0, 100, 4090, 20_000, 70_000, 300_000, 1_000_000, 10, 1000, 8192)
BEGUN = {"upload": True, "delete": False}
ANSWERED = {"uploaded": True, "deleted": False}
"""What is said of a content, and whether its owner has it then."""
TROUBLE = "trouble"
Said = tuple[int, int, str]
"""The owner's place, the content's number, and a word of BEGUN or ANSWERED; or TROUBLE and what it was."""


@dataclass(frozen=True)
class Weakness:
    """Something broken on purpose, which loses what it acknowledged. It shows on a machine with so many disks."""

    what: str
    storage: str = "Disk"
    asynchronous: bool = False
    disks: int = 1


WEAKNESSES = (
    Weakness("without fsync of the file", storage="SkipsFileSync"),
    Weakness("without fsync of the folder", storage="SkipsFolderSync", disks=2),
    Weakness("with asynchronous commits", asynchronous=True),
)


@dataclass(frozen=True)
class Order:
    """One run: all owners with what each has already, which of them work, and where somebody waits for the end.

    `storage` is a class of tests/storage/disks.py.
    """

    settings: Settings
    owners: tuple[Caller, ...]
    held: tuple[frozenset[int], ...]
    working: tuple[int, ...]
    seed: int
    storage: str
    asynchronous: bool
    failpoints: str


def content(number: int) -> bytes:
    """The bytes that have this number; one content is empty."""
    return sample(SIZES[number % len(SIZES)] + number, str(number))


def configure(url: str, data: Path) -> Settings:
    """The settings of the store on a machine. Its disk is small and not all of it is needed."""
    given = {"DATABASE_URL": url, "BLOBSTORE_DATA": str(data), "SECRET_KEY": SECRET_KEY}
    return load({**given, "BLOBSTORE_FREE_FLOOR_BYTES": "0"}, None)


def churn(order: Order, answers: Connection) -> None:
    """Go on until somebody kills this process."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.environ["BLOBSTORE_FAILPOINTS"] = order.failpoints
    if order.asynchronous:
        database.OPTIONS = database.OPTIONS.replace("synchronous_commit=on", "synchronous_commit=off")
    disk = disks.make(order.storage, order.settings.store)
    # As every start does; the power may go before it has.
    with suppress(Unavailable):
        disk.prepare()
    store = open_store(order.settings, disk)
    sending = threading.Lock()

    def say(*said: object) -> None:
        with sending:
            answers.send(said)

    sides: list[Callable[[], None]] = [partial(_tidy, store, Random(order.seed))]
    for owner in order.working:
        chance, told = Random(f"{order.seed} {owner}"), partial(say, owner)
        sides.append(_Client(store, order.owners[owner], set(order.held[owner]), chance, told).step)
    threads = [threading.Thread(target=_repeat, args=(side, say), daemon=True) for side in sides]
    for thread in threads:
        thread.start()
    # The clients end when nobody hears them any more, and upkeep with them.
    for thread in threads[1:]:
        thread.join()


def _repeat(step: Callable[[], None], say: Callable[..., None]) -> None:
    """Over and over: 503 is an answer, which promises nothing; whatever else is raised is trouble."""
    with suppress(BrokenPipeError):
        try:
            while True:
                _try(step)
        except Exception:
            say(0, 0, f"{TROUBLE}: {traceback.format_exc()}")


def _try(step: Callable[[], None]) -> None:
    try:
        step()
    except Unavailable:
        time.sleep(0.005)


class _Client:
    """Uploads anything, new or not, and deletes what its owner has."""

    def __init__(
        self, store: Store, caller: Caller, held: set[int], chance: Random, say: Callable[[int, str], None]
    ) -> None:
        self._store, self._caller, self._held, self._chance, self._say = store, caller, held, chance, say

    def step(self) -> None:
        if self._held and self._chance.random() < 0.4:
            self._delete(self._chance.choice(sorted(self._held)))
        else:
            self._upload(self._chance.randrange(CONTENTS))
        # As a client's next request is not there at once: nobody syncs anything meanwhile.
        time.sleep(self._chance.choice((0, 0.02 * self._chance.random())))

    def _upload(self, number: int) -> None:
        raw = content(number)
        middle = self._chance.randrange(len(raw) + 1)
        # Two names: the second upload of a content is then another file or the same one.
        given = Changes(name=self._chance.choice("ab"), visibility="private")
        self._say(number, "upload")
        upload.upload(self._store, self._caller, [raw[:middle], raw[middle:]], given)
        self._held.add(number)
        self._say(number, "uploaded")

    def _delete(self, number: int) -> None:
        self._say(number, "delete")
        # Without an answer nobody knows, and it is not asked for again.
        self._held.discard(number)
        delete.delete_content(self._store, self._caller, digest_of(content(number)))
        self._say(number, "deleted")


def _tidy(store: Store, chance: Random) -> None:
    """Sweep without any grace, now and then adopt."""
    upkeep.sweep(store, NOW)
    if chance.random() < 0.2:
        upkeep.adopt(store, NOW)
    time.sleep(chance.random() * 0.02)
