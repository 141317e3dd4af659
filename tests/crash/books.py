"""What clients were told before the power went, compared with what is there afterwards."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, field

from blobstore.core.gate import Caller
from blobstore.core.store import Store
from blobstore.core.upkeep import sweep
from blobstore.core.verify import hash_blob
from blobstore.errors import ContentDamaged, NotFound
from tests.core.acts import ask, bytes_on_disk, drop, fetch
from tests.crash.churn import ANSWERED, BEGUN, CONTENTS, NOW, Said, content
from tests.races.stress import tidy
from tests.storage.contract import digest_of

DIGESTS = [digest_of(content(number)) for number in range(CONTENTS)]


@dataclass
class Found:
    """What is wrong after one cut or many, a line each."""

    lost: list[str] = field(default_factory=list)
    corrupt: list[str] = field(default_factory=list)
    leaked: list[str] = field(default_factory=list)

    def __bool__(self) -> bool:
        return bool(self.lost or self.corrupt or self.leaked)

    @property
    def first(self) -> str:
        return [*self.lost, *self.corrupt, *self.leaked][0]

    def add(self, other: Found) -> None:
        self.lost += other.lost
        self.corrupt += other.corrupt
        self.leaked += other.leaked


class Books:
    """Whether each owner has each content: True or False by an answer, None while there is none."""

    def __init__(self, owners: Iterable[Caller]) -> None:
        self.owners = tuple(owners)
        self.answered = 0
        self._has: dict[tuple[int, int], bool | None] = {}

    def note(self, said: Said) -> None:
        """Take down what a client said. Raises RuntimeError for trouble."""
        owner, number, word = said
        key = owner, number
        if word in ANSWERED:
            self.answered += 1
            self._has[key] = ANSWERED[word]
        elif word not in BEGUN:
            raise RuntimeError(word)
        elif self._has.get(key, False) is not BEGUN[word]:
            self._has[key] = None

    def held(self, owner: int) -> frozenset[int]:
        """The contents that an owner has for certain."""
        return frozenset(number for (of, number), has in self._has.items() if of == owner and has)

    def judge(self, store: Store) -> Found:
        """Look at everything, tidy up, look again. Afterwards the books say what is there, with no None in them."""
        corrupt = [where for where, digest, *_ in store.storage.locations() if hash_blob(store, where) != digest.hex]
        return Found(self._lost(store), corrupt, tidy(store) + self._left(store))

    def start_anew(self, store: Store) -> None:
        """Delete everything, so that one loss is not found after every later cut too."""
        for place, caller in enumerate(self.owners):
            for number in range(CONTENTS):
                with suppress(NotFound):
                    drop(store, caller, content(number))
                self._has[place, number] = False
        sweep(store, NOW)

    def _lost(self, store: Store) -> list[str]:
        lost = []
        for (owner, number), told in self._has.items():
            there = _serves(store, self.owners[owner], number)
            if told not in (None, there):
                lost.append(
                    f"{self.owners[owner].name} was told that {DIGESTS[number]} is {'there' if told else 'gone'}"
                )
            self._has[owner, number] = there
        return lost

    def _left(self, store: Store) -> list[str]:
        """Files and rows of contents that nobody has."""
        digests = {DIGESTS[number].hex for (_, number), has in self._has.items() if has}
        files = {(self.owners[owner].user_id, DIGESTS[number].hex) for (owner, number), has in self._has.items() if has}
        left = [f"on the disk: {name}" for name in bytes_on_disk(store) if name not in digests]
        left += [f"a blob: {digest}" for (digest,) in ask(store, "SELECT digest FROM blobs") if digest not in digests]
        rows = ask(store, "SELECT owner_id, digest FROM files")
        return left + [f"a file: {owner_id} {digest}" for owner_id, digest in rows if (owner_id, digest) not in files]


def _serves(store: Store, caller: Caller, number: int) -> bool:
    try:
        return fetch(store, caller, content(number)) == content(number)
    except (NotFound, ContentDamaged):
        return False
