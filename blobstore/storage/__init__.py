"""The contract of a storage backend: where bytes live. Proven for every backend by tests/storage/contract.py.

Promises, tested by their numbers:

 1. Nothing staged is visible: neither `open`, `size` nor `locations` knows of it.
 2. `publish` is atomic: at every instant a location has no bytes or all of them.
 3. `publish` is durable when it returns: a power cut loses nothing of it.
 4. Publishing over bytes that are already there replaces them atomically, so that a re-upload heals.
 5. `open` of an absent blob, or of one of another size than is said, raises BlobMissing before the first byte.
 6. `delete` of an absent blob succeeds.
 7. `discard` may be called at any time, any number of times.
 8. Every call is safe from many greenlets, threads and processes.
 9. A reader that started keeps all its bytes although the blob is deleted meanwhile.
10. `probe` fails where an upload would, and leaves nothing.
11. What keeps one blob from being published keeps no other: it is BlobRefused, not StorageUnavailable.

Every call may raise StorageUnavailable, and Busy for what this process lacks; `stage`, `write`, `publish` and `probe`
also StorageFull; `write` and `publish` BlobRefused. A `publish` that raised has promised nothing: what was there before
is still there, or all of the new bytes are, perhaps not durably.
The calls block: a worker makes them through `offload`.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager
from datetime import datetime, timedelta
from types import TracebackType
from typing import BinaryIO, Protocol, Self

from blobstore.digest import Digest


class Staged(Protocol):
    """Bytes on their way in. A context manager; leaving it discards what was not published."""

    def write(self, chunk: bytes | bytearray | memoryview) -> None:
        """Append all of `chunk`. Raises StorageFull, StorageUnavailable, BlobRefused, Busy; nothing is staged then.

        One call at a time: `write` and `publish` raise ValueError beside another, and when nothing is staged any more.
        """

    def publish(self, digest: Digest) -> str:
        """Make the staged bytes the blob `digest`, durably and atomically; return its location. At most once.

        The caller vouches that the bytes hash to `digest`. Raises StorageFull, StorageUnavailable, BlobRefused, Busy;
        the staged bytes are then of no further use (a failed fsync must never be repeated).
        """

    def discard(self) -> None:
        """Drop the staged bytes. Nothing happens after `publish` or a first `discard`.

        It never waits: beside a `write` it takes effect when that ends, and a `publish` under way goes on.
        """

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None, /
    ) -> None: ...


class Storage(Protocol):
    """A place for bytes. A location is text that names its backend, `disk:ab/abcdef…`, and is opaque to all others."""

    def stage(self) -> Staged:
        """Begin bytes on their way in. Raises StorageFull, StorageUnavailable."""

    def open(self, location: str, start: int = 0, size_bytes: int | None = None) -> BinaryIO:
        """A reader at byte `start`, nothing at or past the end. Raises BlobMissing when nothing of that size is there.

        Every location that this storage did not make is a ValueError, here and below.
        """

    def scan(self, location: str) -> BinaryIO:
        """A reader of all bytes as the medium has them, for who reads them once: no cache answers, or keeps them.

        Raises BlobMissing.
        """

    def size(self, location: str) -> int | None:
        """The number of bytes at `location`, None when nothing is there."""

    def delete(self, location: str) -> None:
        """Remove the bytes; absent is success."""

    def exclusive(self, digest: Digest) -> AbstractContextManager[None]:
        """Keep every publish of this digest's shard out, in every process: around the second half of a sweep.

        Never in a worker that publishes too: publishes that wait for it may hold every thread that its holder needs.
        """

    def locations(self) -> Iterator[tuple[str, Digest, int, datetime]]:
        """Every published (location, digest, size in bytes, time of publication), in no order, while others go on."""

    def obstacles(self) -> Iterator[str]:
        """What stands in the place of a blob and is none, as people find it."""

    def free_bytes(self) -> int | None:
        """Space left for uploads, None when it has no bound that can be asked."""

    def probe(self) -> None:
        """Write something small, make it durable and remove it. Raises StorageFull, StorageUnavailable."""

    def identity(self) -> str | None:
        """A text that no other storage has, kept with the bytes; None when this one cannot be taken for another."""

    def discard_abandoned(self, older_than: timedelta) -> int:
        """Remove what a killed writer left staged, last written longer ago than that; return how many things it was.

        What a living writer has staged is left alone, however old.
        """
