"""The disk in both ways of staging, and the same with planted bugs: the suite must fail for each of these.

A peer process makes one by its name: `make("NamedDisk", root)`.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from functools import cached_property
from io import BytesIO
from pathlib import Path
from typing import BinaryIO, ClassVar

from blobstore.digest import EMPTY, Digest
from blobstore.errors import BlobMissing, StorageUnavailable
from blobstore.storage.disk import Disk
from blobstore.storage.staging import DiskStaged


def make(name: str, root: Path) -> Disk:
    """The Disk or mutant of that class name in a root that was prepared."""
    made = globals()[name](root)
    assert isinstance(made, Disk)
    return made


class NamedDisk(Disk):
    """As on a filesystem without O_TMPFILE."""

    nameless = cached_property(lambda self: False)


class StagedMutant(Disk):
    """A disk whose staged files are of another class."""

    staged: ClassVar[type[DiskStaged]]

    def stage(self) -> DiskStaged:
        staged = super().stage()
        staged.__class__ = self.staged
        return staged


class _SkipsFileSync(DiskStaged):
    def _sync_file(self, fd: int) -> None:
        pass


class SkipsFileSync(StagedMutant):
    """A power cut leaves an empty file under a hash."""

    staged = _SkipsFileSync


class _SkipsFolderSync(DiskStaged):
    def _sync_folder(self, folder: int) -> None:
        pass


class SkipsFolderSync(StagedMutant):
    """A power cut takes the name away."""

    staged = _SkipsFolderSync


class _LinksFirst(DiskStaged):
    def _settle(self, fd: int) -> None:
        pass

    def _sync_folder(self, folder: int) -> None:
        super()._sync_folder(folder)
        for fd in self._in_use:
            super()._settle(fd)

    def _put(self, fd: int, digest: Digest) -> None:
        self._in_use = [fd]
        super()._put(fd, digest)


class LinksFirst(StagedMutant):
    """Both are synced, but the name comes before the bytes."""

    staged = _LinksFirst


class _SyncsEarly(DiskStaged):
    def _put(self, fd: int, digest: Digest) -> None:
        folder = os.open(self._place.shard_folder(digest), os.O_RDONLY)
        os.fsync(folder)
        os.close(folder)
        super()._put(fd, digest)

    def _sync_folder(self, folder: int) -> None:
        pass


class SyncsEarly(StagedMutant):
    """The folder is synced, but before the name is in it."""

    staged = _SyncsEarly


class _SyncsAgain(DiskStaged):
    def _sync_file(self, fd: int) -> None:
        with suppress(OSError):
            return os.fsync(fd)
        return os.fsync(fd)


class SyncsAgain(StagedMutant):
    """The second fsync succeeds and the bytes are gone."""

    staged = _SyncsAgain


class _Trusting(DiskStaged):
    def _settle(self, fd: int) -> None:
        self._written_bytes = os.fstat(fd).st_size
        super()._settle(fd)


class Trusting(StagedMutant):
    """What `write` returned is not compared with what is there."""

    staged = _Trusting


class _WritesOnce(DiskStaged):
    def _write_all(self, fd: int, rest: memoryview) -> None:
        self._written_bytes += os.write(fd, rest)


class WritesOnce(StagedMutant):
    """A short write loses the rest."""

    staged = _WritesOnce


class _KeepsOld(DiskStaged):
    def _replace(self, fd: int, folder: int, digest: Digest) -> None:
        with suppress(FileExistsError):
            os.link(f"/proc/self/fd/{fd}", digest.hex, dst_dir_fd=folder, follow_symlinks=True)


class KeepsOld(StagedMutant):
    """Bytes that are there are taken for good ones."""

    staged = _KeepsOld


class _WritesInPlace(DiskStaged):
    def _replace(self, fd: int, folder: int, digest: Digest) -> None:
        place = os.open(digest.hex, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600, dir_fd=folder)
        os.copy_file_range(fd, place, self._written_bytes, 0)
        os.close(place)


class WritesInPlace(StagedMutant):
    """Readers see the bytes change."""

    staged = _WritesInPlace


class _ClosesWhatIsUsed(DiskStaged):
    def _take(self) -> int:
        fd = super()._take()
        self._free.append(fd)
        return fd

    def _drop(self, fd: int) -> None:
        super()._drop(fd)
        self._free.clear()


class ClosesWhatIsUsed(StagedMutant):
    """A discard closes the descriptor that a publish in a thread goes on to use."""

    staged = _ClosesWhatIsUsed


class _DiscardsOnce(DiskStaged):
    def discard(self) -> None:
        self._drop(self._take())

    def __del__(self) -> None:
        pass


class DiscardsOnce(StagedMutant):
    """Leaving an upload that is over already raises."""

    staged = _DiscardsOnce


class NoLock(Disk):
    """A sweep and a publish of one shard run at the same time."""

    @contextmanager
    def locked(self, shard: str, how: int) -> Iterator[None]:
        yield


class ShowsStaged(NamedDisk):
    """What is staged is listed."""

    def locations(self) -> Iterator[tuple[str, Digest, int, datetime]]:
        yield from super().locations()
        for _ in (self.root / "tmp").iterdir():
            yield f"disk:e3/{EMPTY}", EMPTY, 0, datetime.now(UTC)


class OpensLate(Disk):
    """That nothing is there shows at the first read."""

    def open(self, location: str, start: int = 0, size_bytes: int | None = None) -> BinaryIO:
        try:
            return super().open(location, start, size_bytes)
        except BlobMissing:
            return BytesIO()


class DeletesOnce(Disk):
    """An absent blob cannot be deleted."""

    def delete(self, location: str) -> None:
        if self.size(location) is None:
            raise StorageUnavailable("absent")
        super().delete(location)


class LeavesProbe(Disk):
    """A probe fills the disk."""

    def probe(self) -> None:
        (self.root / "tmp" / "probe").write_bytes(b"x")


class TakesLiving(NamedDisk):
    """Whatever is staged counts as abandoned."""

    def discard_abandoned(self, older_than: timedelta) -> int:
        found = list((self.root / "tmp").iterdir())
        for path in found:
            path.unlink()
        return len(found)
