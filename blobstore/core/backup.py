"""Copies of the blobs, out of the storage and back: the second half of a backup, after the database was dumped.

What is published is copied, with its claims or without: every file of an older dump is among that, as long as copying
takes less time than the grace of a sweep. Blobs never change, so that only those are copied which are not there yet.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

from blobstore.core.progress import Progress, silent
from blobstore.core.store import Store
from blobstore.core.verify import PIECE_BYTES, Published, published
from blobstore.digest import Digest
from blobstore.errors import BlobMissing
from blobstore.folder import sync


@dataclass
class Copied:
    """How many blobs and bytes were copied, how many were there already, and which that somebody has are not whole."""

    blobs: int = 0
    size_bytes: int = 0
    there: int = 0
    missing: list[Digest] = field(default_factory=list)


def copy_out(store: Store, folder: Path, progress: Progress = silent) -> Copied:
    """Copy every blob into the folder, durably, as `ab/<sha256>`. Raises StorageUnavailable, OSError."""
    copied = Copied()
    for blob in published(store):
        place = _place(folder, blob.digest)
        if _is_there(place, blob):
            copied.there += 1
        elif _write(store, blob, place):
            copied.blobs, copied.size_bytes = copied.blobs + 1, copied.size_bytes + blob.size_bytes
        elif blob.refs:
            copied.missing.append(blob.digest)
        progress(blob.size_bytes)
    return copied


def copy_in(store: Store, folder: Path, progress: Progress = silent) -> Copied:
    """Publish every blob that the database names from the folder. Raises StorageFull, StorageUnavailable, OSError.

    For a storage that nobody else uses meanwhile. What is there with its size is left alone.
    """
    copied = Copied()
    for blob in published(store):
        if store.storage.size(blob.location) == blob.size_bytes:
            copied.there += 1
        elif _publish(store, blob, _place(folder, blob.digest)):
            copied.blobs, copied.size_bytes = copied.blobs + 1, copied.size_bytes + blob.size_bytes
        elif blob.refs:
            copied.missing.append(blob.digest)
        progress(blob.size_bytes)
    return copied


def _place(folder: Path, digest: Digest) -> Path:
    return folder / digest.hex[:2] / digest.hex


def _is_there(place: Path, blob: Published) -> bool:
    try:
        return place.stat().st_size == blob.size_bytes
    except FileNotFoundError:
        return False


def _write(store: Store, blob: Published, place: Path) -> bool:
    """Whether a whole copy stands at its place; of a blob that was swept meanwhile nobody needs one."""
    place.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    made = place.with_name(f".{place.name}")
    try:
        with store.storage.open(blob.location) as reader, made.open("wb") as copy:
            whole = _copy(iter(lambda: reader.read(PIECE_BYTES), b""), copy.write) == blob.digest.hex
            copy.flush()
            os.fsync(copy.fileno())
    except BlobMissing:
        return False
    if not whole:
        made.unlink()
        return False
    made.replace(place)
    sync(place.parent)
    return True


def _publish(store: Store, blob: Published, place: Path) -> bool:
    """Whether a whole copy was there to be published."""
    if not _is_there(place, blob):
        return False
    with place.open("rb") as copy, store.storage.stage() as staged:
        if _copy(iter(lambda: copy.read(PIECE_BYTES), b""), staged.write) != blob.digest.hex:
            return False
        staged.publish(blob.digest)
    return True


def _copy(pieces: Iterable[bytes], write: Callable[[bytes], object]) -> str:
    """Write the pieces; their SHA-256 in hex."""
    sha256 = hashlib.sha256()
    for piece in pieces:
        sha256.update(piece)
        write(piece)
    return sha256.hexdigest()
