"""Services with a planted bug, and the crowd that finds it.

A worker loads `tests.races.planted:application('…')` in place of the service's own.
"""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from flask import Flask

from blobstore import database, incoming, serve
from blobstore.api import framing
from blobstore.core import delete, quota, upload
from tests.races import bugs, crowds
from tests.races.bugs import Plant
from tests.races.crowds import Turn


@dataclass(frozen=True)
class Planted:
    """A bug, and the turn of a crowd in which it shows."""

    plant: Plant
    turn: Turn


PLANTED = {
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


def application(bug: str) -> Flask:
    """The service with that bug, for as long as its process lives."""
    PLANTED[bug].plant(pytest.MonkeyPatch(), None)
    return serve.application()


def of(bug: str) -> str:
    """What gunicorn loads."""
    return f"{__name__}:application({bug!r})"
