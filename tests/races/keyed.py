"""A storage with a fresh location per publish and without locks, as an object store is; as short as it can be."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from datetime import UTC, datetime, timedelta
from io import BytesIO
from itertools import count
from typing import BinaryIO

from blobstore.digest import Digest
from blobstore.errors import BlobMissing
from tests.storage.memory import MemoryStaged


class Keyed:
    """`blobs` is all there is: location -> (digest, bytes, time of publication)."""

    def __init__(self) -> None:
        self.blobs: dict[str, tuple[Digest, bytes, datetime]] = {}
        self.numbers = count(1)

    def stage(self) -> KeyedStaged:
        return KeyedStaged(self)

    def open(self, location: str, start: int = 0, _size_bytes: int | None = None) -> BinaryIO:
        if location not in self.blobs:
            raise BlobMissing("nothing is there")
        return BytesIO(self.blobs[location][1][start:])

    def scan(self, location: str) -> BinaryIO:
        return self.open(location)

    def size(self, location: str) -> int | None:
        return len(self.blobs[location][1]) if location in self.blobs else None

    def delete(self, location: str) -> None:
        self.blobs.pop(location, None)

    def exclusive(self, digest: Digest) -> AbstractContextManager[None]:
        return nullcontext()

    def locations(self) -> Iterator[tuple[str, Digest, int, datetime]]:
        for location, (digest, content, published_at) in list(self.blobs.items()):
            yield location, digest, len(content), published_at

    def obstacles(self) -> Iterator[str]:
        yield from ()

    def free_bytes(self) -> int | None:
        return None

    def probe(self) -> None:
        pass

    def identity(self) -> str | None:
        return None

    def discard_abandoned(self, older_than: timedelta) -> int:
        return 0


class KeyedStaged(MemoryStaged):
    """Bytes on their way into a Keyed."""

    def __init__(self, keyed: Keyed) -> None:
        self._keyed = keyed
        self._content = bytearray()

    def publish(self, digest: Digest) -> str:
        content, self._content = bytes(self._staged()), None
        location = f"keyed:{digest}-{next(self._keyed.numbers)}"
        self._keyed.blobs[location] = digest, content, datetime.now(UTC)
        return location
