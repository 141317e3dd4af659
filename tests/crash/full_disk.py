"""A full disk under a running service: a small tmpfs at the store, out of blocks and out of inodes.

In each round uploads come until they are refused; and while the disk is full:

    an upload in any form is answered with 507, also several at once that do not all fit
    whatever was acknowledged is served, and can be deleted
    a sweep makes room, and the same workers take uploads again by themselves
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from blobstore.core import upkeep
from blobstore.storage.disk import Disk
from tests.crash.judging import Harm
from tests.crash.peer import NOW
from tests.crash.places import FORMS, Place, Reply, postgresql, serving
from tests.crash.table import LeftOut, Outcome, Scenario
from tests.crash.tally import Tally
from tests.storage.contract import sample

AT_ONCE = 8
BUG = "a write that failed taken for a good one"


@dataclass(frozen=True)
class Want:
    """What there is little of: the options of the mount, and the size of an upload that comes to its end soon."""

    what: str
    options: str
    size_bytes: int


WANTS = (Want("blocks", "size=3m", 300_000), Want("inodes", "size=64m,nr_inodes=540", 1_000))


@contextmanager
def mounted(place: Path, options: str) -> Iterator[Path]:
    """A tmpfs of its own at `place`, with a store in it. Raises LeftOut."""
    with small_disk(place, options):
        Disk(place).prepare()
        yield place


@contextmanager
def small_disk(place: Path, options: str) -> Iterator[Path]:
    """A tmpfs of its own at `place`. Raises LeftOut."""
    place.mkdir(parents=True)
    if os.geteuid() != 0:
        raise LeftOut("mounting needs root")
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", place], check=False, capture_output=True)
    if done.returncode:
        raise LeftOut(f"mount: {done.stderr.decode().strip()}")
    try:
        yield place
    finally:
        subprocess.run(["umount", place], check=True)


class Rounds:
    """Rounds of filling and making room on one service; each content is another one."""

    def __init__(self, place: Place, want: Want) -> None:
        self._place, self._want = place, want
        self._made = 0
        self.requests = 0

    def content(self) -> bytes:
        self._made += 1
        self.requests += 1
        return sample(self._want.size_bytes, f"{self._want.what} {self._made}")

    def fill(self) -> None:
        """Upload until it is refused."""
        replies = iter(lambda: self._place.upload(self.content()), None)
        refused(next(reply for reply in replies if reply.status != 201))
        assert len(self._place.kept) > 2

    def round(self) -> Harm:
        """What one round does."""
        place = self._place
        workers = {worker.pid for worker in place.workers()}
        self.fill()
        for form in FORMS:
            refused(place.upload(self.content(), form))
        harm = place.look()
        for content in list(place.kept.values())[:3]:
            assert place.delete(content).status == 200
        self.sweep()
        place.recover()
        with ThreadPoolExecutor(AT_ONCE) as pool:
            replies = list(pool.map(partial(place.upload, form="chunked"), [self.content() for _ in range(AT_ONCE)]))
        assert {reply.status for reply in replies} == {201, 507}
        harm |= place.look()
        for content in list(place.kept.values()):
            assert place.delete(content).status == 200
        self.sweep()
        place.recover()
        for form in FORMS:
            assert place.upload(self.content(), form).status == 201
        harm |= place.look_after_upkeep()
        assert {worker.pid for worker in place.workers()} == workers
        return harm

    def sweep(self) -> None:
        """What an operator asks for then."""
        assert upkeep.sweep(self._place.store, NOW).blobs > 0


def refused(reply: Reply) -> None:
    """It is a 507 that says so."""
    assert (reply.status, reply.code) == (507, "storage_full"), reply
    assert int(reply.headers["retry-after"]) > 0


def run(folder: Path, cases: int) -> Iterator[Outcome]:
    """So many rounds with little of each; a case is an upload."""
    with postgresql(folder) as url:
        for want in WANTS:
            tally = Tally(f"a full disk, out of {want.what}")
            with mounted(folder / want.what / "store", want.options):
                with serving(folder / want.what, url, free_floor_bytes=0) as place:
                    rounds = Rounds(place, want)
                    for number in range(cases):
                        before = rounds.requests
                        harm = rounds.round()
                        yield tally.count(harm, f"round {number}: ", cases=rounds.requests - before)
                        _forget(place)
        yield _planted(folder / "planted", url)


def _forget(place: Place) -> None:
    for content in list(place.kept.values()):
        assert place.delete(content).status == 200
    harm = place.look_after_upkeep()
    assert not harm, str(harm)


def _planted(folder: Path, url: str) -> Outcome:
    """A service that does not look whether its writes succeed."""
    want = WANTS[0]
    application = f"tests.crash.changes:application({BUG!r})"
    tally = Tally(f"a full disk, {BUG}", self_test=True)
    with mounted(folder / "store", want.options):
        with serving(folder, url, application=application, free_floor_bytes=0) as place:
            rounds = Rounds(place, want)
            for _ in range(20):
                place.upload(rounds.content(), "chunked")
            return tally.count(place.look(), cases=rounds.requests)


SCENARIO = Scenario(run, full=20, quick=1)
