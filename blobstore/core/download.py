"""Download by hash: one SELECT, then bytes.

find   (one SELECT, closed)   a public file with this content, else the caller's own
read   (no transaction)       storage.open at the first byte wanted
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any, BinaryIO

from blobstore.core import blobs
from blobstore.core.files import StoredFile
from blobstore.core.gate import ROOT, Caller, reader_id, within
from blobstore.core.identity import confirm
from blobstore.core.store import Store
from blobstore.database import Prepared
from blobstore.digest import Digest
from blobstore.errors import BlobMissing, ContentBanned, ContentDamaged, NotFound, StorageUnavailable

PIECE_BYTES = 256 << 10
_log = logging.getLogger(__name__)

_FIND = Prepared(
    "find_by_digest",
    ("text", "bigint", "text"),
    """SELECT found.*, n.reason
       FROM (SELECT (SELECT reason FROM bans WHERE digest = $1) AS reason) n LEFT JOIN LATERAL (
           SELECT f.id, f.owner_id, f.name, f.visibility, f.expires_at, b.size_bytes, b.content_type, b.location,
                  b.published_at, f.expires_at IS NOT NULL AND EXISTS (
                      SELECT FROM files o JOIN users p ON p.id = o.owner_id AND NOT p.disabled
                      WHERE o.digest = b.digest AND o.visibility = 'public' AND o.ready_at IS NOT NULL
                        AND o.expires_at IS NULL)
           FROM files f JOIN blobs b USING (digest) JOIN users u ON u.id = f.owner_id
           WHERE digest = $1 AND f.ready_at IS NOT NULL AND (f.expires_at IS NULL OR f.expires_at > clock_timestamp())
             AND NOT u.disabled AND (f.visibility = 'public' OR (f.owner_id = $2 AND starts_with(f.folder || '/', $3)))
           ORDER BY f.visibility = 'public' DESC, f.ready_at, f.id LIMIT 1) found ON true""",
)
_LOCATION = Prepared(
    "blob_location",
    ("text",),
    "SELECT size_bytes, content_type, location, published_at, damaged_at FROM blobs WHERE digest = $1",
)


@dataclass(frozen=True, slots=True)
class Found:
    """What a download needs to know. `public`: the answer is the same for every caller, so caches may keep it."""

    file_id: str
    owner_id: int
    digest: Digest
    name: str
    public: bool
    expires_at: datetime | None
    size_bytes: int
    content_type: str
    location: str | None
    published_at: datetime | None
    private: bool
    """The file is: whoever gets its bytes is noted in the audit log."""


def find(store: Store, caller: Caller | None, digest: Digest) -> Found:
    """The oldest public file with this content, else the caller's own oldest.

    With a public file the answer never depends on who asks. `expires_at` is None while any public file has no expiry.
    Raises ContentBanned whoever asks and whatever is there, NotFound, ContentDamaged.
    """
    row = store.database.fetch(_FIND, digest.hex, reader_id(caller), within(caller.folder if caller else ROOT))
    assert row is not None, "there is a row for what is neither banned nor found"  # noqa: S101
    file_id, owner_id, name, visibility, expires_at, size, content_type, location, published_at, lasting, reason = row
    if reason is not None:
        raise ContentBanned(reason)
    if file_id is None:
        raise NotFound("there is nothing under this hash")
    public = visibility == "public"
    return _whole(
        Found(
            file_id=file_id,
            owner_id=owner_id,
            digest=digest,
            name=name,
            public=public,
            expires_at=None if public and lasting else expires_at,
            size_bytes=size,
            content_type=content_type,
            location=location,
            published_at=published_at,
            private=not public,
        )
    )


def find_content(store: Store, file: StoredFile) -> Found:
    """The content of one file, which the caller may read, under its own name. Raises NotFound, ContentDamaged."""
    row = store.database.fetch(_LOCATION, file.digest.hex)
    if row is None:
        raise NotFound("there is no such file")
    size, content_type, location, published_at, _ = row
    return _whole(
        Found(
            file_id=file.id,
            owner_id=file.owner_id,
            digest=file.digest,
            name=file.name,
            public=False,
            expires_at=file.expires_at,
            size_bytes=size,
            content_type=content_type,
            location=location,
            published_at=published_at,
            private=file.visibility == "private",
        )
    )


def _whole(found: Found) -> Found:
    if found.published_at is None:
        raise ContentDamaged("the stored bytes are damaged and are not served; upload the content again to heal it")
    return found


class Pieces:
    """The bytes of a download, piece by piece, the first one read already; it keeps them whatever happens meanwhile."""

    def __init__(self, reader: BinaryIO, length: int) -> None:
        self._reader, self._left = reader, length
        self._first = self._read()

    def _read(self) -> bytes:
        piece = self._reader.read(min(self._left, PIECE_BYTES))
        if self._left and not piece:
            raise BlobMissing("the bytes end early")
        self._left -= len(piece)
        return piece

    def __iter__(self) -> Iterator[bytes]:
        yield self._first
        while self._left:
            yield self._read()

    def whole(self) -> bytes | None:
        """Everything, when the first piece was all; the reader is closed then."""
        if self._left:
            return None
        self.close()
        return self._first

    def close(self) -> None:
        """Let go of the bytes; the server calls it when the response is over."""
        self._reader.close()


def read(store: Store, found: Found, start: int, length: int) -> Pieces:
    """`length` bytes of the content from byte `start`; bytes that are not there are noted as damage.

    Raises ContentDamaged, NotFound, StorageUnavailable before the first byte; later a shortage cuts the response.
    """
    reader = _open(store, found, start)
    try:
        return Pieces(reader, length)
    except BlobMissing as error:
        reader.close()
        _note_damage(store, found.digest, found.location, found.published_at)
        raise ContentDamaged("the stored bytes are damaged; upload the content again to heal it") from error
    except OSError as error:
        reader.close()
        _log.error("cannot read %s: %s", found.location, error)
        raise StorageUnavailable("the storage cannot read these bytes") from error


def _open(store: Store, found: Found, start: int) -> BinaryIO:
    """Bytes that are gone are looked for once more, for the row may have moved; then they are damage.

    Not in the threadpool: opening costs some 10 µs, the hand-over to a thread and back halves the small downloads a
    second (8,000 against 3,900 with one worker; docs/performance.md).
    """
    assert found.location is not None, "a published blob has a location"  # noqa: S101
    try:
        return store.storage.open(found.location, start, found.size_bytes)
    except BlobMissing:
        return _read_again(store, found, start)


def _read_again(store: Store, found: Found, start: int) -> BinaryIO:
    row = store.database.fetch(_LOCATION, found.digest.hex)
    if row is None or (row[3] is None and row[4] is None):
        raise NotFound("there is nothing under this hash")
    size_bytes, _, location, published_at, _ = row
    try:
        if published_at is not None:
            return store.storage.open(location, start, size_bytes)
    except BlobMissing:
        _note_damage(store, found.digest, location, published_at)
    raise ContentDamaged("the stored bytes are missing, or not whole; upload the content again to heal it")


def _note_damage(store: Store, digest: Digest, location: str | None, seen: Any) -> None:
    confirm(store)
    if location is not None:
        with store.database.transaction() as session:
            noted = blobs.damage(session, digest, location, seen)
        if noted:
            _log.error("damaged: %s at %s: missing, or not whole; found by a download", digest, location)
