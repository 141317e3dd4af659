"""Bytes on their way onto the disk: write, then fsync, name, rename, fsync; each step once and in this order.

A descriptor number is reused as soon as it is closed. A greenlet that is killed while `publish` still runs in a
thread leaves its `with`: closing then would let the thread fsync and link somebody else's file. So one call at a time
*takes* the descriptor, and whoever has taken it closes it; `list.pop` decides, without a lock that could block a hub.
"""

from __future__ import annotations

import errno
import fcntl
import os
from collections.abc import Collection, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Protocol, Self
from uuid import uuid4

from blobstore.digest import Digest
from blobstore.errors import BlobRefused, Busy, StorageFull, StorageUnavailable, Unavailable
from blobstore.failpoints import failpoint
from blobstore.shortage import lack

PROBE_BYTES = 64 << 10
_FULL = (errno.ENOSPC, errno.EDQUOT)
_IN_THE_WAY = (errno.EISDIR, errno.ENOTEMPTY, errno.EEXIST, errno.EBUSY, errno.EPERM, errno.EACCES)
"""Of a rename in a folder that has just taken a new name: a folder, a mount, an immutable file is at the other one."""


class Place(Protocol):
    """What a staged file must know of the disk that it is published on."""

    root: Path

    def shard_folder(self, digest: Digest) -> str:
        """The path of the folder that holds this digest's blob."""

    def locked(self, shard: str, how: int) -> AbstractContextManager[None]:
        """The shard's flock."""


class DiskStaged:
    """One staged file: `fd` is its own from here on, `path` its name in the staging folder, None for a nameless one."""

    def __init__(self, place: Place, fd: int, path: str | None) -> None:
        self._place, self._path = place, path
        self._written_bytes = 0
        self._discarded = False
        self._free = [fd]
        try:
            if path:
                # Says that the writer lives; a kill says the opposite.
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            failpoint("staged")
        except BaseException:
            self.discard()
            raise

    def write(self, chunk: bytes | bytearray | memoryview) -> None:
        """Append all of `chunk`. Raises StorageFull, StorageUnavailable, after which nothing is staged any more."""
        fd = self._take()
        try:
            with trouble("write to", self._path or f"a nameless file in {self._place.root}"):
                self._write_all(fd, memoryview(chunk).cast("B"))
        except BaseException:
            self._drop(fd)
            raise
        self._free.append(fd)
        if self._discarded:
            self.discard()

    def publish(self, digest: Digest) -> str:
        """Make the staged bytes the blob `digest`, durably and atomically; return its location."""
        fd = self._take()
        try:
            with trouble("publish", f"{self._place.shard_folder(digest)}/{digest}"):
                self._settle(fd)
                self._put(fd, digest)
        finally:
            self._drop(fd)
        return f"disk:{digest.hex[:2]}/{digest.hex}"

    def discard(self) -> None:
        """Drop the staged bytes; while another call is using them, as soon as it has ended."""
        self._discarded = True
        with suppress(IndexError):
            self._drop(self._free.pop())

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None, /
    ) -> None:
        self.discard()

    def __del__(self) -> None:
        # For one that was made in a thread whose caller is gone: nobody will ever enter it.
        self.discard()

    def _take(self) -> int:
        try:
            return self._free.pop()
        except IndexError:
            raise ValueError("nothing is staged: published, discarded, failed, or in use by another call") from None

    def _drop(self, fd: int) -> None:
        if self._path:
            with suppress(OSError):
                os.unlink(self._path)  # noqa: PTH108 -- our own text
        # An error of close says nothing new: what matters was fsynced, or is being thrown away.
        with suppress(OSError):
            os.close(fd)

    def _write_all(self, fd: int, rest: memoryview) -> None:
        failpoint("mid_write")
        while rest:
            count = os.write(fd, rest)
            if count <= 0:
                raise OSError(errno.EIO, os.strerror(errno.EIO))
            self._written_bytes += count
            rest = rest[count:]

    def _settle(self, fd: int) -> None:
        """The bytes, their mode and the time of publication, durable under no name. A failed fsync is final."""
        failpoint("after_write")
        if os.fstat(fd).st_size != self._written_bytes:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        os.fchmod(fd, 0o440)
        os.utime(fd)
        self._sync_file(fd)
        failpoint("after_fsync")

    def _put(self, fd: int, digest: Digest) -> None:
        with open_folder(self._place.shard_folder(digest)) as folder:
            with self._place.locked(digest.hex[:2], fcntl.LOCK_SH):
                self._replace(fd, folder, digest)
            self._sync_folder(folder)
            failpoint("after_dirsync")

    def _replace(self, fd: int, folder: int, digest: Digest) -> None:
        temporary = f".{uuid4().hex}"
        try:
            self._name(fd, folder, temporary)
            failpoint("after_link")
            with trouble("replace", f"{self._place.shard_folder(digest)}/{digest}", of_one_blob=_IN_THE_WAY):
                os.rename(temporary, digest.hex, src_dir_fd=folder, dst_dir_fd=folder)
        finally:
            # Left by an error, and by a rename between two links of one file, which succeeds and does nothing.
            with suppress(OSError):
                os.unlink(temporary, dir_fd=folder)

    def _name(self, fd: int, folder: int, temporary: str) -> None:
        if self._path:
            os.rename(self._path, temporary, dst_dir_fd=folder)
            self._path = None
        else:
            # Without dst_dir_fd Python calls link(2), which does not follow the magic link: EXDEV.
            os.link(f"/proc/self/fd/{fd}", temporary, dst_dir_fd=folder, follow_symlinks=True)

    def _sync_file(self, fd: int) -> None:
        os.fsync(fd)

    def _sync_folder(self, folder: int) -> None:
        os.fsync(folder)


@contextmanager
def open_folder(path: str) -> Iterator[int]:
    """A descriptor of the folder at `path`, which is no symlink itself. Raises OSError."""
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        yield fd
    finally:
        os.close(fd)


def probe(folder: str) -> None:
    """Put a file into the folder, durably, and remove it. Raises OSError. A kill leaves it for `discard_abandoned`."""
    name = uuid4().hex
    with open_folder(folder) as place:
        fd = os.open(name, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600, dir_fd=place)
        try:
            if os.write(fd, bytes(PROBE_BYTES)) < PROBE_BYTES:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            failpoint("probing")
            os.fsync(fd)
            os.fsync(place)
        finally:
            os.close(fd)
            os.unlink(name, dir_fd=place)


@contextmanager
def trouble(operation: str, path: str, *, of_one_blob: Collection[int] = ()) -> Iterator[None]:
    """Turn every OSError into a kind of Unavailable, whose detail names no path; a note has all of it.

    Raises StorageFull; BlobRefused for the numbers `of_one_blob`, and for a file that is too large for the disk; Busy
    for what this process lacks; StorageUnavailable for all else.
    """
    try:
        yield
    except OSError as error:
        failure = _kind(error, of_one_blob)
        # Whoever answers logs it: here a thread of the pool may run, and to wait for a lock of the log would make a hub
        # in it, for which there may be no descriptors; then libev ends the process.
        failure.add_note(f"cannot {operation} {path}: {error}")
        raise failure from error


def _kind(error: OSError, of_one_blob: Collection[int]) -> Unavailable:
    if error.errno in _FULL:
        return StorageFull("no space is left on the server's disk")
    if error.errno in of_one_blob:
        return BlobRefused("what stands in the place of these bytes cannot be replaced; an operator has to look at it")
    if error.errno == errno.EFBIG:
        return BlobRefused("the server's disk takes no file of this size")
    if lacking := lack(error):
        return Busy(lacking)
    return StorageUnavailable(f"the server's disk refused ({errno.errorcode.get(error.errno or 0, 'error')})")
