"""The storage contract in the shortest code, for the tests of core. One process only; durable as long as it lives."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from io import BytesIO
from threading import Lock
from typing import BinaryIO, Self

from blobstore.digest import Digest
from blobstore.errors import BlobMissing


class Memory:
    """`blobs` is all there is, location -> (bytes, time of publication): tests may look at it and change it."""

    def __init__(self) -> None:
        self.blobs: dict[str, tuple[bytes, datetime]] = {}
        self.lock = Lock()

    def stage(self) -> MemoryStaged:
        return MemoryStaged(self)

    def open(self, location: str, start: int = 0, size_bytes: int | None = None) -> BinaryIO:
        found = self._find(location)
        if found is None or size_bytes not in (None, len(found)):
            raise BlobMissing("nothing is there")
        return BytesIO(found[start:])

    def scan(self, location: str) -> BinaryIO:
        return self.open(location)

    def size(self, location: str) -> int | None:
        found = self._find(location)
        return None if found is None else len(found)

    def delete(self, location: str) -> None:
        _digest(location)
        self.blobs.pop(location, None)

    @contextmanager
    def exclusive(self, digest: Digest) -> Iterator[None]:
        with self.lock:
            yield

    def locations(self) -> Iterator[tuple[str, Digest, int, datetime]]:
        for location, (content, published_at) in list(self.blobs.items()):
            yield location, _digest(location), len(content), published_at

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

    def _find(self, location: str) -> bytes | None:
        _digest(location)
        return self.blobs.get(location, (None,))[0]


class MemoryStaged:
    """Bytes on their way into a Memory."""

    def __init__(self, memory: Memory) -> None:
        self._memory = memory
        self._content: bytearray | None = bytearray()

    def write(self, chunk: bytes | bytearray | memoryview) -> None:
        self._staged().extend(chunk)

    def publish(self, digest: Digest) -> str:
        content, self._content = bytes(self._staged()), None
        with self._memory.lock:
            self._memory.blobs[f"memory:{digest}"] = content, datetime.now(UTC)
        return f"memory:{digest}"

    def discard(self) -> None:
        self._content = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.discard()

    def _staged(self) -> bytearray:
        if self._content is None:
            raise ValueError("nothing is staged")
        return self._content


def _digest(location: str) -> Digest:
    backend, _, text = location.partition(":")
    if backend != "memory" or len(text) != 64:
        raise ValueError("not a location in this memory")
    return Digest(text)
