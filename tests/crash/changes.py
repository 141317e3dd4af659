"""The product with something changed: another way to stage, or a planted bug that a scenario has to find.

Each change is made in the process that calls it, for good: a child of peer.py, or a worker that loads
`tests.crash.changes:application('…')` in place of the service's own.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from contextlib import suppress

from flask import Flask

from blobstore import database, serve
from blobstore.core.upload import Outcome, _Upload
from blobstore.digest import Digest
from blobstore.errors import Unavailable
from blobstore.offload import offload
from blobstore.storage.disk import Disk
from blobstore.storage.staging import DiskStaged

PAUSE_SECONDS = 0.05


def _name_what_is_staged() -> None:
    Disk.nameless = property(lambda _: False)


def _record_first() -> None:
    from tests.races.bugs import record_first

    _Upload.finish = record_first


def _record_long_before() -> None:
    def finish(self: _Upload) -> Outcome:
        outcome = self.record(f"disk:{self.digest.hex[:2]}/{self.digest}")
        time.sleep(PAUSE_SECONDS)
        offload(self.received.staged.publish, self.digest)
        return outcome

    _Upload.finish = finish


def _write_in_place() -> None:
    from tests.storage.disks import WritesInPlace

    DiskStaged._replace = WritesInPlace.staged._replace


def _sync_again() -> None:
    from tests.storage.disks import SyncsAgain

    DiskStaged._sync_file = SyncsAgain.staged._sync_file


def _believe_every_write() -> None:
    def write(_self: DiskStaged, fd: int, rest: memoryview) -> None:
        with suppress(OSError):
            os.write(fd, rest)

    DiskStaged._write_all = write
    DiskStaged._settle = lambda _, fd: os.fsync(fd)


def _believe_every_publish() -> None:
    publish = DiskStaged.publish

    def believed(self: DiskStaged, digest: Digest) -> str:
        with suppress(Unavailable):
            return publish(self, digest)
        return f"disk:{digest.hex[:2]}/{digest}"

    DiskStaged.publish = believed


def _commit_in_memory() -> None:
    database.OPTIONS = database.OPTIONS.replace("synchronous_commit=on", "synchronous_commit=off")


NAMED = "staged under a name"
CHANGES: dict[str, Callable[[], None]] = {
    NAMED: _name_what_is_staged,
    "recorded before it is published": _record_first,
    "recorded long before it is published": _record_long_before,
    "published in place": _write_in_place,
    "a failed fsync tried again": _sync_again,
    "a write that failed taken for a good one": _believe_every_write,
    "a publish that failed taken for a good one": _believe_every_publish,
    "commits that are not durable": _commit_in_memory,
}


def application(change: str) -> Flask:
    """The service with that change."""
    CHANGES[change]()
    return serve.application()
