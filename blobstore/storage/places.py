"""Folders, files and what else stands on a disk, one at a time. Everything here may raise OSError."""

from __future__ import annotations

import errno
import fcntl
import os
import re
import stat
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime
from io import FileIO
from pathlib import Path

from blobstore.storage.staging import open_folder

READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
"""O_NONBLOCK, so that a FIFO at a blob's place does not hang the reader; files do not know it."""


def make_folder(path: Path, mode: int, *, followed: bool = True) -> bool:
    """Make one folder unless it is there. Raises NotADirectoryError for anything else at its place."""
    try:
        path.mkdir()
    except FileExistsError:
        if not stat.S_ISDIR(path.stat(follow_symlinks=followed).st_mode):
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR)) from None
        return False
    path.chmod(mode)
    return True


def sync_folder(path: Path) -> None:
    """Make the names in a folder durable."""
    with open_folder(str(path)) as fd:
        os.fsync(fd)


def files(folder: str, names: re.Pattern[str]) -> Iterator[tuple[str, os.stat_result]]:
    """The regular files of a folder whose whole name matches; one that vanishes meanwhile is passed over."""
    with os.scandir(folder) as entries:
        for entry in entries:
            if names.fullmatch(entry.name) and entry.is_file(follow_symlinks=False):
                with suppress(FileNotFoundError):
                    yield entry.name, entry.stat(follow_symlinks=False)


def others(folder: str, names: re.Pattern[str]) -> Iterator[str]:
    """The paths of what is no regular file in a folder although its whole name matches."""
    with os.scandir(folder) as entries:
        for entry in entries:
            if names.fullmatch(entry.name) and not entry.is_file(follow_symlinks=False):
                yield entry.path


class Scanned(FileIO):
    """A reader of a whole file as the disk has it: nothing comes from the memory of the system, or stays there."""

    def __init__(self, fd: int) -> None:
        super().__init__(fd)
        self._forget(0)

    def read(self, size: int | None = -1, /) -> bytes:
        """Up to `size` bytes, all that are left for -1; nothing at the end."""
        piece = super().read(size)
        # From the beginning, for the system drops no part of a folio; and at the end what was read ahead too.
        self._forget(self.tell() if piece else 0)
        return piece

    def _forget(self, length: int) -> None:
        """Drop so many bytes of the file from memory, all for 0. Not every system has this call."""
        with suppress(OSError, AttributeError):
            os.posix_fadvise(self.fileno(), 0, length, os.POSIX_FADV_DONTNEED)


def utc(found: os.stat_result) -> datetime:
    """When a file was last written."""
    return datetime.fromtimestamp(found.st_mtime, UTC)


def discard_unlocked(path: str) -> bool:
    """Remove a staging file unless its writer, who holds its flock, is alive."""
    try:
        fd = os.open(path, READ)
    except FileNotFoundError:
        return False
    try:
        # Shared, not exclusive: over NFS the latter needs a descriptor for writing, and the file may be read-only.
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
        return unlink(path)
    except BlockingIOError:
        return False
    finally:
        os.close(fd)


def unlink(path: str) -> bool:
    """Remove a file; False when it is gone already."""
    try:
        os.unlink(path)  # noqa: PTH108 -- a listed text, not worth a Path
    except FileNotFoundError:
        return False
    return True
