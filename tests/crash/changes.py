"""The product with something changed: another way to stage, or a planted bug that a scenario has to find.

Each change is made in the process that calls it, for good: a child of peer.py, or a worker that loads
`tests.crash.changes:application('…')` in place of the service's own.
"""

from __future__ import annotations

from collections.abc import Callable

from flask import Flask

from blobstore import serve
from blobstore.core.upload import _Upload
from blobstore.storage.disk import Disk
from blobstore.storage.staging import DiskStaged


def _name_what_is_staged() -> None:
    Disk.nameless = property(lambda _: False)


def _record_first() -> None:
    from tests.races.bugs import record_first

    _Upload.finish = record_first


def _write_in_place() -> None:
    from tests.storage.disks import WritesInPlace

    DiskStaged._replace = WritesInPlace.staged._replace


def _sync_again() -> None:
    from tests.storage.disks import SyncsAgain

    DiskStaged._sync_file = SyncsAgain.staged._sync_file


NAMED = "staged under a name"
CHANGES: dict[str, Callable[[], None]] = {
    NAMED: _name_what_is_staged,
    "recorded before it is published": _record_first,
    "published in place": _write_in_place,
    "a failed fsync tried again": _sync_again,
}


def application(change: str) -> Flask:
    """The service with that change."""
    CHANGES[change]()
    return serve.application()
