"""Bytes on a local disk: `store/ab/<sha256>`, in 256 shard folders that are there from the start.

    stage      a nameless file (O_TMPFILE) in any shard, or tmp/<uuid> where the filesystem or the system has none
    publish    size compared, fsync(file); under the shard's shared lock a temporary name in the shard folder,
               renamed over the final one; fsync(shard folder)
    exclusive  the shard's lock, `locks/ab`, alone

Only the folders and locks of `prepare` are taken for granted. When a shard folder is gone (a disk that is not mounted)
everything raises StorageUnavailable: nothing may be called missing, or deleted, because its disk is away.
"""

from __future__ import annotations

import errno
import fcntl
import os
import re
import stat
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from datetime import UTC, datetime, timedelta
from functools import cached_property
from io import FileIO
from pathlib import Path
from typing import BinaryIO
from uuid import uuid4

from blobstore.digest import Digest
from blobstore.errors import BlobMissing
from blobstore.storage.places import (
    READ,
    Scanned,
    discard_unlocked,
    files,
    make_folder,
    others,
    sync_folder,
    unlink,
    utc,
)
from blobstore.storage.staging import DiskStaged, open_folder, probe, trouble

SHARDS = tuple(f"{number:02x}" for number in range(256))
IDENTITY = "identity"
"""The file that tells this store from an empty folder in its place, such as that of a disk that is not mounted."""
_LOCATION = re.compile(r"disk:(([0-9a-f]{2})/\2[0-9a-f]{62})")
_BLOB = re.compile(r"[0-9a-f]{64}")
_LEFTOVER = re.compile(r"\.?[0-9a-f]{32}")
"""A staging file, or with a dot the temporary name of a publish: uuid4, never a digest."""


class Disk:
    """The storage in the folder `root`. Untouched until `prepare`, or the first call."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._root = str(root)
        self._tmp = str(root / "tmp")
        self._half_prepared = False

    def prepare(self) -> None:
        """Make the folders and locks, durably; what is there already stays as it is. Raises StorageUnavailable."""
        self._half_prepared = True
        with trouble("prepare", self._root):
            for folder in reversed((self.root, *self.root.parents)):
                if make_folder(folder, 0o750):
                    sync_folder(folder.parent)
            for name in ("tmp", "locks"):
                make_folder(self.root / name, 0o700)
            for shard in SHARDS:
                make_folder(self.root / shard, 0o750, followed=False)
                os.close(os.open(self._lock(shard), os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600))
            self._identify()
            sync_folder(self.root)
        self._half_prepared = False

    @cached_property
    def nameless(self) -> bool:
        """Whether files without a name can be made here and be given one later (a kill leaves nothing of them)."""
        probe = uuid4().hex
        try:
            fd = os.open(self._root, os.O_TMPFILE | os.O_RDWR | os.O_CLOEXEC, 0o600)
            with FileIO(fd), open_folder(self._tmp) as tmp:
                os.link(f"/proc/self/fd/{fd}", probe, dst_dir_fd=tmp, follow_symlinks=True)
                os.unlink(probe, dir_fd=tmp)
        except (OSError, AttributeError):
            return False
        return True

    def stage(self) -> DiskStaged:
        """Begin bytes on their way in. Raises StorageFull, StorageUnavailable."""
        with trouble("stage in", self._root):
            if self.nameless:
                # In any shard: filesystems allocate by folder, and one for all is one queue for all.
                flags, path, name = os.O_TMPFILE, f"{self._root}/{uuid4().hex[:2]}", None
            else:
                flags, path = os.O_CREAT | os.O_EXCL, f"{self._tmp}/{uuid4().hex}"
                name = path
            return DiskStaged(self, os.open(path, flags | os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600), name)

    def open(self, location: str, start: int = 0, size_bytes: int | None = None) -> BinaryIO:
        """An unbuffered reader at byte `start`. Raises BlobMissing where no such file is, StorageUnavailable."""
        path = self._path(location)
        with trouble("open", path):
            reader = FileIO(self._open_regular(path, size_bytes))
            if start:
                reader.seek(start)
            return reader

    def scan(self, location: str) -> BinaryIO:
        """A reader of all bytes as the disk has them. Raises BlobMissing where no such file is, StorageUnavailable."""
        path = self._path(location)
        with trouble("open", path):
            return Scanned(self._open_regular(path, None))

    def size(self, location: str) -> int | None:
        """The number of bytes at `location`, None when no regular file is there. Raises StorageUnavailable."""
        path = self._path(location)
        with trouble("look at", path):
            try:
                found = os.lstat(path)
            except FileNotFoundError:
                self._check_shard(path)
                return None
        return found.st_size if stat.S_ISREG(found.st_mode) else None

    def delete(self, location: str) -> None:
        """Remove the bytes; absent is success. Not durable by itself: after a power cut they may be there again."""
        path = self._path(location)
        with trouble("delete", path):
            try:
                os.unlink(path)  # noqa: PTH108 -- a checked text, not worth a Path
            except FileNotFoundError:
                self._check_shard(path)

    @contextmanager
    def exclusive(self, digest: Digest) -> Iterator[None]:
        """Keep every publish of this digest's shard out, in every process. A kill frees it."""
        with ExitStack() as stack:
            with trouble("lock", self._lock(digest.hex[:2])):
                stack.enter_context(self.locked(digest.hex[:2], fcntl.LOCK_EX))
            yield

    def locations(self) -> Iterator[tuple[str, Digest, int, datetime]]:
        """Every published (location, digest, size in bytes, time of publication); foreign files are passed over."""
        with trouble("list", self._root):
            for shard in SHARDS:
                for name, found in files(f"{self._root}/{shard}", _BLOB):
                    if name.startswith(shard):
                        yield f"disk:{shard}/{name}", Digest(name), found.st_size, utc(found)

    def obstacles(self) -> Iterator[str]:
        """The path of everything that is no regular file and stands in a blob's place. Raises StorageUnavailable."""
        with trouble("list", self._root):
            for shard in SHARDS:
                for path in others(f"{self._root}/{shard}", _BLOB):
                    if path[-64:].startswith(shard):
                        yield path

    def free_bytes(self) -> int:
        """Space left for users who are not root. Raises StorageUnavailable."""
        self._make_up()
        with trouble("look at", self._root):
            found = os.statvfs(self._root)
        return found.f_bavail * found.f_frsize

    def probe(self) -> None:
        """Write, sync and remove a file in the staging folder, which is made anew when somebody has removed it.

        Raises StorageFull, StorageUnavailable.
        """
        with trouble("probe", self._tmp):
            make_folder(self.root / "tmp", 0o700)
            probe(self._tmp)

    def identity(self) -> str:
        """What the folder was called when it was made. Raises StorageUnavailable."""
        self._make_up()
        with trouble("read", f"{self._root}/{IDENTITY}"):
            with FileIO(os.open(f"{self._root}/{IDENTITY}", READ)) as file:
                return file.readall().decode("ascii", "replace").strip()

    def discard_abandoned(self, older_than: timedelta) -> int:
        """Remove staged bytes and temporary names whose writer died, last written longer ago; return how many."""
        before = datetime.now(UTC) - older_than
        with trouble("tidy", self._root):
            count = sum(discard_unlocked(path) for path in self._leftovers("tmp", before))
            for shard in SHARDS:
                if abandoned := self._leftovers(shard, before):
                    # Nobody is between his link and his rename while we hold this lock: what is left now stays.
                    with self.locked(shard, fcntl.LOCK_EX):
                        count += sum(unlink(path) for path in abandoned)
        return count

    @contextmanager
    def locked(self, shard: str, how: int) -> Iterator[None]:
        """Hold the shard's flock, LOCK_SH or LOCK_EX. Raises OSError.

        Each call opens a descriptor of its own: threads and greenlets of one process exclude each other too.
        """
        fd = os.open(self._lock(shard), os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            fcntl.flock(fd, how)
            try:
                yield
            finally:
                # Closing is not enough: a child forked meanwhile would keep the lock until it ends or execs.
                with suppress(OSError):
                    fcntl.flock(fd, fcntl.LOCK_UN)
        finally:
            # What was done under the lock is done, whatever giving it back says.
            with suppress(OSError):
                os.close(fd)

    def shard_folder(self, digest: Digest) -> str:
        """The path of the folder that holds this digest's blob."""
        return f"{self._root}/{digest.hex[:2]}"

    def _make_up(self) -> None:
        """Prepare now if that failed: in what everybody asks first who wants to write."""
        if self._half_prepared:
            self.prepare()

    def _identify(self) -> None:
        """Give a new folder its identity, whole or not at all; of several processes one is the first."""
        name = self.root / IDENTITY
        if name.exists():
            return
        made = self.root / "tmp" / uuid4().hex
        with made.open("x", encoding="ascii") as file:
            file.write(uuid4().hex + "\n")
            file.flush()
            os.fsync(file.fileno())
        with suppress(FileExistsError):
            name.hardlink_to(made)
        made.unlink()

    def _lock(self, shard: str) -> str:
        return f"{self._root}/locks/{shard}"

    def _path(self, location: str) -> str:
        match = _LOCATION.fullmatch(location)
        if match is None:
            raise ValueError("not a location on this disk")
        return f"{self._root}/{match[1]}"

    def _open_regular(self, path: str, size_bytes: int | None) -> int:
        try:
            fd = os.open(path, READ)
        except OSError as error:
            if error.errno not in (errno.ENOENT, errno.ELOOP, errno.ENXIO):
                raise
            self._check_shard(path)
            raise BlobMissing("nothing is there") from error
        found = os.fstat(fd)
        if stat.S_ISREG(found.st_mode) and size_bytes in (None, found.st_size):
            return fd
        os.close(fd)
        raise BlobMissing("no regular file of that size is there")

    def _check_shard(self, path: str) -> None:
        os.stat(path[:-65])  # noqa: PTH116 -- a checked text, not worth a Path

    def _leftovers(self, folder: str, before: datetime) -> list[str]:
        path = f"{self._root}/{folder}"
        return [f"{path}/{name}" for name, found in files(path, _LEFTOVER) if utc(found) <= before]
