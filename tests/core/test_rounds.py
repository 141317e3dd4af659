"""What is kept of the last round of each job of upkeep."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from blobstore.core import rounds, upkeep
from blobstore.core.store import Store
from blobstore.errors import StorageUnavailable
from tests.core.acts import ask, person, send
from tests.storage.faults import Faults, fails


def test_a_round_is_kept_until_the_next(store: Store) -> None:
    """If this failed, nobody could tell when upkeep last ran, or what it did."""
    assert rounds.last(store) == {}
    for found in (3, 0):
        with rounds.noted(store, "verify") as tally:
            tally.handled, tally.handled_bytes, tally.findings = 10, 1 << 40, found
    (last,) = rounds.last(store).values()
    assert (last.job, last.handled, last.handled_bytes, last.findings) == ("verify", 10, 1 << 40, 0)
    assert last.ended_at is not None
    assert abs(last.ended_at - datetime.now(UTC)) < timedelta(hours=1)
    assert 0 <= last.seconds < 3600
    assert (last.failed_at, last.problem) == (None, None)


def test_a_failed_round_is_kept_beside_the_last_whole_one(store: Store) -> None:
    """If this failed, upkeep could fail for weeks unseen, or a failure would hide the damage that was found before."""
    with rounds.noted(store, "sweep") as tally:
        tally.handled = 7
    with pytest.raises(StorageUnavailable), rounds.noted(store, "sweep"):
        raise StorageUnavailable("the server's disk refused (EIO)")
    failed = rounds.last(store)["sweep"]
    assert (failed.handled, failed.problem) == (7, "the server's disk refused (EIO)")
    assert failed.ended_at is not None
    assert failed.failed_at is not None
    with pytest.raises(StorageUnavailable), rounds.noted(store, "adopt"):
        raise StorageUnavailable("never yet")
    assert rounds.last(store)["adopt"].ended_at is None
    with rounds.noted(store, "sweep"):
        pass
    assert rounds.last(store)["sweep"].failed_at is None


def test_the_background_round_notes_each_job(store: Store) -> None:
    """If this failed, an operator would see what was run by hand, and not whether the rest runs at all."""
    me = person(store)
    send(store, me, b"stalled")
    ask(store, "UPDATE files SET ready_at = NULL, reserved_at = now() - interval '2 hours'")
    told = "reaped 1 files, adopted 0 blobs, swept 0 blobs (0 bytes), verified 0 blobs (0 bytes): 0 damaged"
    assert upkeep.run(store) == told
    found = rounds.last(store)
    assert {job: last.handled for job, last in found.items()} == {"reap": 1, "adopt": 0, "sweep": 0, "verify": 0}


def test_a_round_that_cannot_go_on_says_which_job_it_was(store: Store) -> None:
    """If this failed, an operator would not know what upkeep stumbles over."""
    faults = Faults(store.storage)
    faults.before("locations", fails(StorageUnavailable("the server's disk refused (EIO)")))
    with pytest.raises(StorageUnavailable):
        upkeep.run(Store(store.settings, store.database, faults))
    found = rounds.last(store)
    assert (set(found), found["adopt"].problem) == ({"reap", "adopt"}, "the server's disk refused (EIO)")
