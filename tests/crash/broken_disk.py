"""A disk that fails under a running service: EIO from fsync, link, rename and write in a worker, once and always.

While strace lets the calls of the worker fail:

    an upload in any form is answered with 503, is not visible, and costs nothing
    no descriptor whose fsync failed is synced again
    what was acknowledged is served, and can be deleted
    the same worker takes the same upload by itself when the disk works again
"""

from __future__ import annotations

import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.crash.judging import Harm
from tests.crash.places import FORMS, Place, Reply, postgresql, serving
from tests.crash.table import Outcome, Scenario
from tests.crash.tally import Tally
from tests.crash.tracing import attached, synced_again
from tests.storage.contract import digest_of, sample

ONCE = {
    "fsync of the file": "fsync:error=EIO:when=1",
    "fsync of the folder": "fsync:error=EIO:when=2",
    "link": "linkat:error=EIO:when=1",
    "rename": "renameat:error=EIO:when=1",
}
"""strace counts per thread, and a publish is one thread's: so each of these lasts for one upload."""
ALWAYS = {
    "every fsync": "fsync:error=EIO",
    "every link": "linkat:error=EIO",
    "every rename": "renameat:error=EIO",
    "every write": "",
}
CALLS = "openat,close,fsync,fdatasync,linkat,renameat"
MOST_BYTES = 1 << 20
"""What a write may reach, where writes fail: strace cannot tell those to the store from those to the log. The error
is EFBIG then, which is no broken disk to the service."""
BUG = "a failed fsync tried again"


class Trouble:
    """One service whose disk fails from time to time; each content is another one."""

    def __init__(self, place: Place, log: Path) -> None:
        self._place, self._log = place, log
        (self._worker,) = place.workers()
        self._made = 0

    def content(self) -> bytes:
        self._made += 1
        return sample(2 * MOST_BYTES, str(self._made))

    def strike(self, inject: str, forms: list[str]) -> Harm:
        """Upload in these forms while the disk fails, then again when it does not."""
        place = self._place
        kept, doomed = self.content(), self.content()
        for content in (kept, doomed):
            assert place.upload(content).status == 201
        contents = {form: self.content() for form in forms}
        used = place.used_bytes()
        with self._failing(inject):
            for form, content in contents.items():
                refused(place.upload(content, form), "storage_unavailable" if inject else "blob_refused")
                assert place.ask("GET", f"/{digest_of(content)}").status == 404
            harm = place.look()
            if place.used_bytes() != used:
                harm.leaked.add("what was refused is charged")
            assert place.delete(doomed).status == 200
        if inject:
            harm.lost |= set(synced_again(self._log))
        place.recover()
        for form, content in contents.items():
            assert place.upload(content, form).status == 201
        assert [worker.pid for worker in place.workers()] == [self._worker.pid]
        harm |= place.look()
        for content in list(place.kept.values()):
            place.delete(content)
        harm |= place.look_after_upkeep()
        return harm

    @contextmanager
    def _failing(self, inject: str) -> Iterator[None]:
        if inject:
            with attached(self._worker.pid, self._log, CALLS, inject):
                yield
            return
        before = self._worker.rlimit(resource.RLIMIT_FSIZE)
        self._worker.rlimit(resource.RLIMIT_FSIZE, (MOST_BYTES, before[1]))
        try:
            yield
        finally:
            self._worker.rlimit(resource.RLIMIT_FSIZE, before)

    def sync_again(self) -> Harm:
        """What a service does that has this bug planted."""
        with self._failing(ONCE["fsync of the file"]):
            self._place.upload(self.content())
        return Harm(lost=set(synced_again(self._log)))


def refused(reply: Reply, code: str) -> None:
    """It is a 503 that says so."""
    assert (reply.status, reply.code) == (503, code), reply
    assert int(reply.headers["retry-after"]) > 0


def run(folder: Path, cases: int) -> Iterator[Outcome]:
    """So many rounds, in which each call fails for an upload in one form, and then in all; a case is an upload."""
    forms = list(FORMS)
    with postgresql(folder) as url:
        with serving(folder / "service", url, workers=1) as place:
            trouble = Trouble(place, folder / "strace")
            once, always = Tally("EIO in a worker, once"), Tally("EIO in a worker, always")
            for number in range(cases):
                for what, inject in ONCE.items():
                    yield once.count(trouble.strike(inject, [forms[number % len(forms)]]), f"{what}: ")
                for what, inject in ALWAYS.items():
                    yield always.count(trouble.strike(inject, forms), f"{what}: ", cases=len(forms))
        assert "Traceback" not in place.running.log.read_text()
        tally = Tally(f"EIO in a worker, {BUG}", self_test=True)
        application = f"tests.crash.changes:application({BUG!r})"
        with serving(folder / "planted", url, workers=1, application=application) as place:
            yield tally.count(Trouble(place, folder / "strace").sync_again())


SCENARIO = Scenario(run, full=20, quick=1)
