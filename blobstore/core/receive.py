"""Receive a body: pieces -> sha256 and count -> staged. The first of the four steps of core/upload.py.

Nothing is locked and no connection is held meanwhile. What cannot be stored is refused as soon as that is known: from
what was announced, before the first byte; else while it comes.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from blobstore.core import degraded, quota
from blobstore.core.gate import Caller
from blobstore.core.identity import confirm
from blobstore.core.sniff import HEAD_BYTES, content_type
from blobstore.core.store import Store
from blobstore.digest import Digest
from blobstore.errors import DigestMismatch, FileTooLarge
from blobstore.offload import offload
from blobstore.storage import Staged


@dataclass
class Received(AbstractContextManager["Received"]):
    """A whole body: staged, hashed, counted and sniffed. Leaving the block discards what was not published."""

    staged: Staged
    digest: Digest
    size_bytes: int
    content_type: str

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self.staged.discard()


@dataclass(frozen=True)
class Announced:
    """What a request says of its body before it is read: how many bytes of content at least, and at most."""

    least_bytes: int
    most_bytes: int

    @classmethod
    def exactly(cls, size_bytes: int | None) -> Announced:
        """A raw body; None: its length is not known."""
        return cls(size_bytes or 0, size_bytes or 0)

    @classmethod
    def within(cls, size_bytes: int | None, around_bytes: int) -> Announced:
        """A content inside a body of `size_bytes`, of which up to `around_bytes` are not content."""
        return cls(max((size_bytes or 0) - around_bytes, 0), size_bytes or 0)


def check_room(store: Store, caller: Caller, announced: Announced, *, files: int = 1) -> None:
    """Refuse what cannot be stored, from what was announced alone: before the first byte is read.

    Raises FileTooLarge, QuotaExceeded, StorageFull, StorageUnavailable. `files`: how many the body may hold.
    """
    limit = store.settings.max_file_bytes
    if announced.least_bytes > limit * files:
        raise FileTooLarge(limit)
    quota.refuse_early(store, caller, announced.least_bytes, announced.most_bytes)
    degraded.refuse(store, announced.least_bytes)


def receive(store: Store, caller: Caller, pieces: Iterable[bytes], declared: Digest | None = None) -> Received:
    """Stage a body while it is hashed and counted. Nothing is locked and no connection is held meanwhile.

    Raises FileTooLarge, QuotaExceeded, DigestMismatch, StorageFull, StorageUnavailable, and what `pieces` raises;
    nothing is left then.
    """
    confirm(store)
    with degraded.watched(store):
        return _stage(store, _within_limits(store, caller, pieces), declared)


def _stage(store: Store, pieces: Iterable[bytes], declared: Digest | None) -> Received:
    sha256, size, head = hashlib.sha256(), 0, b""
    staged = offload(store.storage.stage)
    try:
        for piece in pieces:
            size += len(piece)
            if len(head) < HEAD_BYTES:
                head += bytes(piece[: HEAD_BYTES - len(head)])
            sha256.update(piece)
            staged.write(piece)
        digest = Digest.from_bytes(sha256.digest())
        if declared and declared != digest:
            raise DigestMismatch(declared.hex, digest.hex)
    except BaseException:
        staged.discard()
        raise
    return Received(staged, digest, size, content_type(head))


def _within_limits(store: Store, caller: Caller, pieces: Iterable[bytes]) -> Iterator[bytes]:
    """The pieces, until they are more than a file may have, or than the caller has room for: a body need not announce
    its length. Raises FileTooLarge, QuotaExceeded.
    """
    limit, size, asked = store.settings.max_file_bytes, 0, caller.quota_bytes is None
    for piece in pieces:
        size += len(piece)
        if size > limit:
            raise FileTooLarge(limit)
        if not asked and caller.used_bytes + size > (caller.quota_bytes or 0):
            asked = True
            quota.refuse_early(store, caller, size, limit)
        yield piece
