"""The bytes of a disk, seen and changed by plain paths."""

from __future__ import annotations

from pathlib import Path

from blobstore.digest import Digest


class DiskOracle:
    """The folder, by plain paths."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def place(self, digest: Digest) -> Path:
        return self.root / digest.hex[:2] / digest.hex

    def bytes_of(self, digest: Digest) -> bytes | None:
        place = self.place(digest)
        return place.read_bytes() if place.exists() else None

    def damage(self, digest: Digest, instead: bytes) -> None:
        place = self.place(digest)
        assert place.exists()
        place.unlink()
        place.write_bytes(instead)

    def strays(self) -> list[str]:
        files = (path for path in self.root.glob("*/*") if path.parent.name != "locks")
        return [str(path) for path in files if len(path.name) != 64]


def empty(root: Path) -> None:
    """Remove every blob and whatever else is not a lock."""
    for path in root.glob("*/*"):
        if path.parent.name == "locks":
            continue
        if path.is_dir() and not path.is_symlink():
            path.rmdir()
        else:
            path.unlink()
