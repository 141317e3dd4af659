"""How much is measured, and with what."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from bench.content import Content
from bench.servers import Servers

LARGE_BYTES = 64 << 20


@dataclass
class Plan:
    """One run. `folder` is temporary; `seconds` is how long each small load lasts; `samples`, how many are timed."""

    servers: Servers
    folder: Path
    repeats: int
    seconds: int
    samples: int
    large_bytes: int
    memory_bytes: int

    @classmethod
    def full(cls, servers: Servers, folder: Path) -> Plan:
        return cls(servers, folder, repeats=3, seconds=5, samples=2000, large_bytes=1 << 30, memory_bytes=2 << 30)

    @classmethod
    def quick(cls, servers: Servers, folder: Path) -> Plan:
        return cls(servers, folder, repeats=1, seconds=2, samples=100, large_bytes=256 << 20, memory_bytes=512 << 20)

    @cached_property
    def content(self) -> Content:
        """The large file to send."""
        return Content(self.folder / "large", self.large_bytes)

    @property
    def size(self) -> str:
        return f"{self.large_bytes >> 20:,} MiB"

    def remove_blobs(self) -> None:
        """Free the disk from the large files of all stores: only the bytes, nobody reads them again."""
        for folder in ("blobstore/store", "nginx/www", "registry/registry"):
            for path in (self.folder / folder).rglob("*"):
                if path.is_file() and path.stat().st_size >= LARGE_BYTES:
                    path.unlink()
