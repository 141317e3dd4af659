"""Verify: read and hash what is published. What is damaged is no longer served, until an upload heals it.

    verify       everything, as fast as it goes: for operators
    verify_due   a part in each round of the background upkeep: what was read longest ago, slowly

Bytes are condemned after two readings, and none that cannot be read while the storage is in trouble: it is for good.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, BinaryIO

from sqlalchemy import text

from blobstore.core import blobs
from blobstore.core.identity import confirm
from blobstore.core.pace import Pace
from blobstore.core.progress import Progress, silent
from blobstore.core.rounds import Tally
from blobstore.core.store import Store
from blobstore.digest import Digest
from blobstore.errors import BlobMissing, Busy, StorageFull, StorageUnavailable
from blobstore.shortage import lack

BATCH = 100
PIECE_BYTES = 1 << 20
LEAST_BYTES = 256 << 10
"""What a smaller blob counts for: to find and to note it costs the disk as much as to read so many bytes."""
DUE_SHARE = 0.75
"""Of the period, after which a blob is due: the rest is for those that are due at the same time."""
UNREADABLE = "unreadable"
_log = logging.getLogger(__name__)

_COLUMNS = "digest, location, published_at, size_bytes, refs"
_PUBLISHED = text(f"""
SELECT {_COLUMNS} FROM blobs WHERE published_at IS NOT NULL AND digest > :after ORDER BY digest LIMIT :limit
""")
_DUE = text(f"""
SELECT {_COLUMNS} FROM blobs
WHERE published_at IS NOT NULL AND COALESCE(verified_at, published_at) <= now() - CAST(:age AS interval)
ORDER BY COALESCE(verified_at, published_at), digest LIMIT :limit
""")
_DAMAGED = text("SELECT digest, damaged_at FROM blobs WHERE damaged_at IS NOT NULL AND refs > 0 ORDER BY digest")
_COUNT_DAMAGED = text("SELECT count(*) FROM blobs WHERE damaged_at IS NOT NULL AND refs > 0")


@dataclass(frozen=True)
class Damage:
    """A published blob whose bytes are not what their digest says."""

    digest: Digest
    location: str
    found: str


@dataclass(frozen=True)
class Published:
    """One published blob as verify and check see it."""

    digest: Digest
    location: str
    published_at: datetime
    size_bytes: int
    refs: int

    @classmethod
    def of(cls, row: Sequence[Any]) -> Published:
        """Read a row of _COLUMNS."""
        return cls(Digest(row[0]), *row[1:])


def published(store: Store) -> Iterator[Published]:
    """Every published blob, ascending by digest, in batches of one short transaction each."""
    after = ""
    while True:
        with store.database.transaction() as session:
            rows = session.execute(_PUBLISHED, {"after": after, "limit": BATCH}).all()
        yield from map(Published.of, rows)
        if len(rows) < BATCH:
            return
        after = rows[-1].digest


def verify(store: Store, progress: Progress = silent) -> Iterator[Damage]:
    """Read and hash every published blob; yield each that is damaged, which is no longer served from then on.

    Raises StorageUnavailable, Busy.
    """
    confirm(store)
    for blob in published(store):
        if damage := _verify_one(store, blob, progress):
            yield damage


def verify_due(store: Store, pace: Pace, tally: Tally) -> None:
    """The same of what was last read longest ago, at a pace, until nothing is due or no more fits before the end.

    One blob is read in any case. The longest unread come first: so each has its turn, also when there is more than can
    be read within the period. Raises StorageUnavailable, Busy.
    """
    confirm(store)
    while due := _due(store):
        for blob in due:
            if tally.handled and not pace.fits(blob.size_bytes):
                return
            damage = _verify_one(store, blob, pace)
            pace(max(LEAST_BYTES - blob.size_bytes, 0))
            tally.handled += 1
            tally.handled_bytes += blob.size_bytes
            if damage:
                tally.findings += 1
                _log.error("damaged: %s at %s: %s", damage.digest, damage.location, damage.found)


def _due(store: Store) -> list[Published]:
    age = DUE_SHARE * timedelta(days=store.settings.verify_days)
    with store.database.transaction() as session:
        return [Published.of(row) for row in session.execute(_DUE, {"age": age, "limit": BATCH})]


def _verify_one(store: Store, blob: Published, progress: Progress) -> Damage | None:
    """Note what was found; the damage, unless somebody has published the blob anew meanwhile."""
    found = hash_blob(store, blob.location, progress)
    if found != blob.digest.hex:
        found = hash_blob(store, blob.location, progress)
    whole = found == blob.digest.hex
    if not whole:
        confirm(store)
    if found.startswith(UNREADABLE):
        _probe(store)
    note = blobs.verified if whole else blobs.damage
    with store.database.transaction() as session:
        noted = note(session, blob.digest, blob.location, blob.published_at)
    return Damage(blob.digest, blob.location, found) if noted and not whole else None


def _probe(store: Store) -> None:
    """Raise StorageUnavailable when it is the whole disk that is broken."""
    with suppress(StorageFull):
        store.storage.probe()


def hash_blob(store: Store, location: str, progress: Progress = silent) -> str:
    """The SHA-256 of the bytes at `location` in hex, or a word that says why there is none. Raises Busy."""
    try:
        with store.storage.scan(location) as reader:
            return _hash(reader, progress)
    except BlobMissing:
        return "missing"
    except StorageUnavailable as error:
        return f"{UNREADABLE} ({error})"
    except OSError as error:
        if lacking := lack(error):
            raise Busy(lacking) from error
        return f"{UNREADABLE} ({error})"


def _hash(reader: BinaryIO, progress: Progress) -> str:
    sha256 = hashlib.sha256()
    while piece := reader.read(PIECE_BYTES):
        sha256.update(piece)
        progress(len(piece))
    return sha256.hexdigest()


def damaged(store: Store) -> list[tuple[Digest, datetime]]:
    """The blobs that somebody has and that are damaged now, by their digest, and since when that is known."""
    with store.database.transaction() as session:
        return [(Digest(digest), since) for digest, since in session.execute(_DAMAGED)]


def count_damaged(store: Store) -> int:
    """How many these are."""
    with store.database.transaction() as session:
        return int(session.execute(_COUNT_DAMAGED).scalar_one())
