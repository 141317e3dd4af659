"""Upkeep: what keeps the store tidy. Each is safe beside everything else, at any time, in any number.

    reap     files never ready for longer than the grace, expired ones, what a ban has left: the ordinary delete
    adopt    bytes without a row get an unpublished one, so that a sweep takes them or an upload publishes over them
    sweep    blobs that nobody has claimed for the grace: stop vouching (a transaction), then, one at a time under the
             shard's lock, look again, delete the bytes, delete the row
    verify   read and hash what is published; what is damaged is no longer served (verify.py)

After a restore of an older database run neither adopt nor sweep before the grace has passed: see docs/operations.md.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from math import inf
from time import monotonic

from sqlalchemy import text

from blobstore.core import bans, blobs, events, limits, removal, rounds, sessions, verify
from blobstore.core.delete import Which, remove
from blobstore.core.identity import confirm
from blobstore.core.pace import Pace
from blobstore.core.progress import Progress, silent
from blobstore.core.store import Store
from blobstore.digest import Digest
from blobstore.errors import NotFound, StorageUnavailable
from blobstore.failpoints import failpoint

BATCH = 100
LEAST_SHARE = 0.1
"""Of the interval, for verify, however long the rest of a round took."""

_STALLED = text("""
SELECT id, owner_id, digest FROM files
WHERE ready_at IS NULL AND reserved_at < clock_timestamp() - CAST(:grace AS interval) ORDER BY reserved_at LIMIT :limit
""")
_EXPIRED = text("""
SELECT id, owner_id, digest FROM files WHERE expires_at <= clock_timestamp() ORDER BY expires_at LIMIT :limit
""")
_HAS_ROW = text("SELECT EXISTS (SELECT FROM blobs WHERE digest = :digest)")


@dataclass(frozen=True)
class Swept:
    """How many blobs went, and how many bytes of them were found on the storage."""

    blobs: int
    freed_bytes: int


def reap(store: Store, grace: timedelta, progress: Progress = silent) -> int:
    """Delete stalled uploads older than `grace`, expired files, and those of banned contents. How many files."""
    reaped = _delete_all(store, Which.STALLED, grace, progress) + _delete_all(store, Which.EXPIRED, grace, progress)
    return reaped + bans.finish(store)


def _delete_all(store: Store, which: Which, grace: timedelta, progress: Progress) -> int:
    statement = _STALLED if which is Which.STALLED else _EXPIRED
    reaped = 0
    while True:
        with store.database.transaction() as session:
            rows = session.execute(statement, {"grace": grace, "limit": BATCH}).all()
        gone = sum(_delete_one(store, which, grace, row.id, row.owner_id, row.digest) for row in rows)
        reaped += gone
        progress(gone)
        if len(rows) < BATCH or not gone:
            return reaped


def _delete_one(store: Store, which: Which, grace: timedelta, file_id: str, owner_id: int, digest: str) -> int:
    values: dict[str, object] = {"id": file_id, "grace": grace} if which is Which.STALLED else {"id": file_id}
    try:
        return remove(store, owner_id, Digest(digest), which, values).files
    except NotFound:
        return 0


def adopt(store: Store, grace: timedelta, progress: Progress = silent) -> int:
    """Give rowless bytes older than `grace` a row; drop what abandoned uploads left in staging. How many blobs."""
    confirm(store)
    store.storage.discard_abandoned(max(grace, timedelta(hours=1)))
    adopted = 0
    before = datetime.now(UTC) - grace
    for location, digest, size_bytes, published in store.storage.locations():
        progress(1)
        if published <= before:
            adopted += _adopt_one(store, location, digest, size_bytes)
    return adopted


def _adopt_one(store: Store, location: str, digest: Digest, size_bytes: int) -> bool:
    with store.database.transaction() as session:
        if session.scalar(_HAS_ROW, {"digest": digest.hex}):
            return False
        return blobs.adopt(session, digest, size_bytes, location)


def sweep(store: Store, grace: timedelta, progress: Progress = silent) -> Swept:
    """Delete the bytes and rows of blobs that nobody has claimed for `grace`. What fails is left for another time."""
    confirm(store)
    while _disown(store, grace) == BATCH:
        failpoint("swept_mark")
    failpoint("swept_mark")
    count = freed = 0
    for digest in _disowned(store, grace):
        size = _sweep_one(store, digest)
        if size is not None:
            count, freed = count + 1, freed + size
        progress(1)
    return Swept(count, freed)


def _disown(store: Store, grace: timedelta) -> int:
    with store.database.transaction() as session:
        return blobs.disown(session, grace, BATCH)


def _disowned(store: Store, grace: timedelta) -> Iterator[Digest]:
    after = ""
    while True:
        with store.database.transaction() as session:
            found = blobs.disowned(session, grace, after, BATCH)
        yield from found
        if len(found) < BATCH:
            return
        after = found[-1].hex


def _sweep_one(store: Store, digest: Digest) -> int | None:
    """Under the shard's lock, taken before the look: a publisher cannot come between the look and the delete."""
    try:
        with store.storage.exclusive(digest):
            with store.database.transaction() as session:
                disowned, location = blobs.still_disowned(session, digest)
            if not disowned:
                return None
            size = 0
            if location is not None:
                size = store.storage.size(location) or 0
                store.storage.delete(location)
            failpoint("swept_unlinked")
            with store.database.transaction() as session:
                forgotten = blobs.forget(session, digest, location)
    except StorageUnavailable:
        return None
    failpoint("swept")
    return size if forgotten else None


def run(store: Store) -> str:
    """One round of the background upkeep, each job noted: reap, adopt, sweep; then verify, until the next round is due.

    What was done, in a line.
    """
    settings, began = store.settings, monotonic()
    grace = timedelta(seconds=settings.sweep_grace_seconds)
    with rounds.noted(store, "reap") as reaped:
        reaped.handled = reap(store, timedelta(seconds=settings.reap_grace_seconds))
    with rounds.noted(store, "adopt") as adopted:
        adopted.handled = adopt(store, grace)
    with rounds.noted(store, "sweep") as tally:
        swept = sweep(store, grace)
        tally.handled, tally.handled_bytes = swept.blobs, swept.freed_bytes
    limits.forget_expired(store.database)
    sessions.forget_expired(store)
    removal.forget_unverified(store)
    events.forget_old(store)
    told = (
        f"reaped {reaped.handled} files, adopted {adopted.handled} blobs, "
        f"swept {swept.blobs} blobs ({swept.freed_bytes} bytes)"
    )
    return f"{told}, {_verify(store, monotonic() - began)}" if settings.verify_days else told


def _verify(store: Store, spent_seconds: float) -> str:
    """What is left of the interval, and a part of it in any case; without an interval there is no end."""
    interval = store.settings.upkeep_interval_seconds
    left = max(interval - spent_seconds, interval * LEAST_SHARE) if interval else inf
    with rounds.noted(store, "verify") as tally:
        verify.verify_due(store, Pace(store.settings.verify_bytes_per_second, left), tally)
    return f"verified {tally.handled} blobs ({tally.handled_bytes} bytes): {tally.findings} damaged"
