"""Planted bugs: in services, with the crowd that finds each, and in the use cases, for the machine to find.

A worker loads `tests.races.planted:application('…')` in place of the service's own.
"""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from flask import Flask

from blobstore import database, incoming, serve
from blobstore.api import framing
from blobstore.core import delete, download, quota, upload
from blobstore.core.delete import Which
from tests.races import bugs, crowds
from tests.races.bugs import Plant
from tests.races.crowds import Turn


@dataclass(frozen=True)
class Planted:
    """A bug, and the turn of a crowd in which it shows."""

    plant: Plant
    turn: Turn


IN_SERVICES = {
    "quota checked, then charged": Planted(
        bugs.swap(quota, "charge", bugs.look_then_charge),
        crowds.a_tenth_of_the_quota,
    ),
    "the twin is decided before the lock": Planted(
        bugs.swap(upload._Upload, "record", bugs.twin_before_the_lock),
        crowds.the_same_content,
    ),
    "a delete locks the claim before the blob, and gives up": Planted(
        bugs.both(bugs.swap(delete, "_remove", bugs.claims_before_blobs), bugs.swap(database, "ATTEMPTS", 1)),
        crowds.overlapping_sets,
    ),
    "no length check": Planted(
        bugs.both(
            bugs.rewrite(framing, "_pieces", "if left:", "if False:"),
            bugs.rewrite(incoming.LengthBody, "_next", "if not piece:", "if False:"),
        ),
        crowds.a_cut_body,
    ),
}
IN_USE_CASES: dict[str, Plant] = {
    "a refund is forgotten": bugs.swap(quota, "refund", lambda *_, **__: None),
    "a download by hash finds what has expired": bugs.reword(
        download, "_FIND", "f.expires_at > clock_timestamp()", "true"
    ),
    "a download by hash finds what is private": bugs.reword(download, "_FIND", "f.owner_id = $2", "true"),
    "a delete takes all names": bugs.swap(Which.ONE, "_value_", "ready_at IS NOT NULL"),
    "a failed upload does not delete its own row": bugs.swap(upload, "remove", lambda *_: None),
}


def application(bug: str) -> Flask:
    """The service with that bug, for as long as its process lives."""
    IN_SERVICES[bug].plant(pytest.MonkeyPatch(), None)
    return serve.application()


def of(bug: str) -> str:
    """What gunicorn loads."""
    return f"{__name__}:application({bug!r})"
