"""Bit rot under a running service: a flipped bit, a cut or grown file, zeros, two files exchanged, a symlink.

before anybody knows     what has another length, or is no file, is not served
verify                   finds exactly what was planted
when it is known         every request for it is 503 content_damaged; nothing is served in its place
an upload of the content heals it
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import cycle
from pathlib import Path

from blobstore.core import upload, verify
from blobstore.core.files import Changes
from blobstore.core.progress import Progress, silent
from blobstore.core.store import Store
from tests.crash.judging import Harm
from tests.crash.peer import caller
from tests.crash.places import Place, postgresql, serving
from tests.crash.table import Outcome, Scenario
from tests.crash.tally import Tally
from tests.storage.contract import digest_of, sample

BLOBS_FOR_EACH = 20
"""How many whole blobs are around one that rots."""
SIZE_BYTES = 10_000


def _flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def _cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


def _grow(path: Path) -> None:
    path.write_bytes(path.read_bytes() + b"\0")


def _zero(path: Path) -> None:
    path.write_bytes(bytes(SIZE_BYTES))


def _link(path: Path) -> None:
    path.symlink_to(path.rename(path.with_name("elsewhere")))


SINGLE: dict[str, Callable[[Path], None]] = {
    "a flipped bit": _flip,
    "cut": _cut,
    "grown": _grow,
    "zeros": _zero,
    "a symlink": _link,
}
EXCHANGED = "exchanged"
UNSEEN = {"a flipped bit", "zeros", EXCHANGED}
"""What only reading all of it can tell."""


class Rot:
    """Blobs of one user on one service, and which of them have rotted, and how."""

    def __init__(self, place: Place) -> None:
        self.place = place
        self._made = 0
        self.rotten: dict[str, str] = {}
        self.served: set[str] = set()
        """What was served, with wrong bytes, before anybody could know."""

    def add(self, count: int) -> list[bytes]:
        """So many new contents."""
        contents = [sample(SIZE_BYTES, f"blob {self._made + number}") for number in range(count)]
        self._made += count
        for content in contents:
            made = upload.upload(self.place.store, caller(self.place.user.user_id), [content], Changes(folder="/rot"))
            self.place.kept[made.file.digest.hex] = content
        return contents

    def plant(self, contents: list[bytes]) -> None:
        """Let each of them rot, in all ways by turns; every sixth two change places."""
        ways = cycle([*SINGLE, EXCHANGED])
        while contents:
            way = next(ways)
            if way == EXCHANGED and len(contents) > 1:
                self._exchange(contents.pop(), contents.pop())
            elif way in SINGLE:
                content = contents.pop()
                path = self._path(content)
                path.chmod(0o640)
                SINGLE[way](path)
                self.rotten[digest_of(content).hex] = way

    def _exchange(self, one: bytes, other: bytes) -> None:
        aside = self._path(one).rename(self._path(one).with_name("aside"))
        self._path(other).rename(self._path(one))
        aside.rename(self._path(other))
        self.rotten |= {digest_of(content).hex: EXCHANGED for content in (one, other)}

    def _path(self, content: bytes) -> Path:
        digest = digest_of(content).hex
        return self.place.store.settings.store / digest[:2] / digest

    def read(self, *, known: bool) -> Harm:
        """Ask for all that is rotten: nothing wrong may come, but for what nobody can see before it is `known`."""
        harm = Harm()
        for digest, way in self.rotten.items():
            reply = self.place.ask("GET", f"/{digest}")
            if reply.status == 200 and not known and way in UNSEEN:
                self.served.add(way)
            elif reply.status == 200:
                harm.corrupt.add(f"{digest}, {way}: served, {len(reply.body)} bytes")
            elif (reply.status, reply.code) != (503, "content_damaged"):
                harm.leaked.add(f"{digest}, {way}: {reply.status}")
        return harm

    def verify(self) -> Harm:
        """Whether it finds these and no others."""
        found = {damage.digest.hex for damage in verify.verify(self.place.store)}
        harm = Harm(lost={f"{digest}, {self.rotten[digest]}: not found" for digest in set(self.rotten) - found})
        harm.leaked |= {f"{digest}: found, and whole" for digest in found - set(self.rotten)}
        return harm

    def heal(self) -> Harm:
        """Send everything again that has rotted; then all is whole."""
        for digest in self.rotten:
            assert self.place.upload(self.place.kept[digest]).status in (200, 201)
        self.rotten = {}
        for left in self.place.store.settings.store.glob("*/elsewhere"):
            left.unlink()
        return self.place.look()


def run(folder: Path, cases: int) -> Iterator[Outcome]:
    """So many rotten blobs among twenty times as many."""
    with postgresql(folder) as url:
        with serving(folder / "service", url) as place:
            rot = Rot(place)
            tally = Tally(f"bit rot in {cases} of {cases * BLOBS_FOR_EACH:,} blobs")
            contents = rot.add(cases * BLOBS_FOR_EACH)
            rot.plant(contents[:12])
            harm = rot.read(known=False)
            harm |= rot.heal()
            rot.plant(contents[-cases:])
            harm |= rot.verify()
            harm |= rot.read(known=True)
            harm |= rot.heal()
            harm |= rot.verify()
            harm |= place.look_after_upkeep()
            seen = ", ".join(sorted(rot.served))
            yield tally.count(harm, cases=cases, remark=f"each found and healed; served before it was known: {seen}")
        with serving(folder / "planted", url) as place, _sizes_alone():
            rot = Rot(place)
            rot.plant(rot.add(12))
            harm = rot.verify()
            harm |= rot.read(known=True)
            yield Tally("bit rot, only sizes are verified", self_test=True).count(harm, cases=12)


@contextmanager
def _sizes_alone() -> Iterator[None]:
    """A verify that believes a blob to be whole that has its size."""

    def believed(store: Store, location: str, _progress: Progress = silent) -> str:
        whole = store.storage.size(location) == SIZE_BYTES
        return location[-64:] if whole else "another size"

    hashing, verify.hash_blob = verify.hash_blob, believed
    try:
        yield
    finally:
        verify.hash_blob = hashing


SCENARIO = Scenario(run, full=50, quick=12)
