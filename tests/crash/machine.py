"""A computer whose power can be cut: filesystems in files, mounted, with PostgreSQL and the store on them.

FS_IOC_SHUTDOWN stops a mounted ext4 or XFS at an instant. What it had not written by then is gone: pages in memory, and
the journal in memory unless that is asked for. What the cache of a disk would lose besides is no part of it.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import struct
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from random import Random

import psutil

from blobstore import embedded, postmaster
from tests.children import lives, until
from tests.served import ROOT

SHUTDOWN = 0x8004587D
"""FS_IOC_SHUTDOWN, _IOR('X', 125, __u32); ext4 took XFS's number."""
LOG_KEPT, LOG_LOST = 1, 2
"""Its flags LOGFLUSH and NOLOGFLUSH: the journal is written first, or nothing at all is. (0 would write everything.)"""
LOOP_MAJOR = 7
IMAGE_BYTES = 1 << 30
"""Of a sparse file: PostgreSQL takes some 100 MB of it."""
BUSY_SECONDS = 20


def missing(filesystem: str) -> str:
    """Why there can be no such machine here; empty when there can."""
    if os.geteuid() != 0:
        return "mounting needs root"
    if not shutil.which(f"mkfs.{filesystem}"):
        return f"mkfs.{filesystem} is not installed"
    if subprocess.run(["losetup", "--find"], check=False, capture_output=True).returncode:
        return "there are no loop devices"
    return ""


class Disk:
    """A filesystem in a file, not mounted at first; mounted at `place`."""

    def __init__(self, place: Path, filesystem: str) -> None:
        self.place, self._image = place, place.with_suffix(".image")
        place.mkdir()
        with self._image.open("xb") as image:
            image.truncate(IMAGE_BYTES)
        _run(f"mkfs.{filesystem}", "-q", self._image)

    def mount(self) -> None:
        """Replays the journal."""
        _run("mount", "-o", "loop", self._image, self.place)

    def cut(self, flag: int) -> None:
        """Stop it at this instant. Whatever uses it goes on, and finds that it writes and syncs no more."""
        root = os.open(self.place, os.O_RDONLY | os.O_DIRECTORY)
        try:
            guard(root, self.place)
            fcntl.ioctl(root, SHUTDOWN, struct.pack("I", flag))
        finally:
            os.close(root)


class Machine:
    """One computer, off at first. PostgreSQL is on its first disk, the store on its last one."""

    def __init__(self, folder: Path, filesystem: str, disks: int) -> None:
        self._disks = [Disk(folder / f"disk{number}", filesystem) for number in range(disks)]

    @property
    def data(self) -> Path:
        """The folder of the store."""
        return self._disks[-1].place / "data"

    @property
    def _cluster(self) -> Path:
        return self._disks[0].place / "data"

    def on(self) -> str:
        """Mount the disks and start PostgreSQL, which recovers; returns its URL."""
        for disk in self._disks:
            disk.mount()
        return embedded.start(self._cluster, "18")

    def cut(self, flag: int, chance: Random) -> None:
        """Stop all disks, one right after the other."""
        for disk in chance.sample(self._disks, len(self._disks)):
            disk.cut(flag)

    def off(self) -> None:
        """Kill PostgreSQL and unmount; nothing else may run on the disks any more."""
        for disk in self._disks:
            release(disk.place)
        if server := postmaster._children.pop(self._cluster.resolve() / "postgres", None):
            server.wait()


def guard(root: int, place: Path) -> None:
    """Raise RuntimeError unless the open folder is the root of a loop device's filesystem, mounted there."""
    device = os.fstat(root).st_dev
    others = {Path("/").stat().st_dev, place.parent.stat().st_dev}
    if not place.is_mount() or device in others or os.major(device) != LOOP_MAJOR:
        raise RuntimeError(f"{place} is no image of ours: it is not shut down")


@contextmanager
def machine(folder: Path, filesystem: str, *, disks: int = 1) -> Iterator[Machine]:
    """A new computer in a new folder; off and gone at the end, after kill -9 of this process too."""
    folder.mkdir(parents=True)
    # Its input ends with this process.
    watch = [sys.executable, "-m", "tests.crash.machine", folder.resolve()]
    with subprocess.Popen(watch, cwd=ROOT, stdin=subprocess.PIPE, start_new_session=True) as watcher:
        made = Machine(folder, filesystem, disks)
        try:
            yield made
        finally:
            made.off()
            watcher.communicate()


def release(place: Path) -> None:
    """Kill all who work there, unmount it and free the loop device. Not mounted is fine."""
    _kill_all(place)
    deadline = time.monotonic() + BUSY_SECONDS
    while _is_mounted(place):
        # What was killed may hold it for another moment; then it goes as soon as nobody does.
        lazily = ["--lazy"] if time.monotonic() > deadline else []
        subprocess.run(["umount", *lazily, place], check=False, capture_output=True)


def _is_mounted(place: Path) -> bool:
    """Not Path.is_mount: XFS answers no more after a cut."""
    mounts = (line.split()[1] for line in Path("/proc/self/mounts").read_text(encoding="utf-8").splitlines())
    return str(place.resolve()) in mounts


def _kill_all(place: Path) -> None:
    """Every process that works in a folder there: all of PostgreSQL, an initdb too."""
    found = [process for process in psutil.process_iter() if _works_in(place, process)]
    for process in found:
        with suppress(psutil.NoSuchProcess):
            process.kill()
    # Zombies do not count: whoever has to reap them may take a second.
    until(lambda: not any(map(lives, found)))


def _works_in(place: Path, process: psutil.Process) -> bool:
    with suppress(psutil.Error):
        return Path(process.cwd()).is_relative_to(place.resolve())
    return False


def _run(*words: object) -> None:
    """A command of the system that has to succeed; what it said otherwise is raised."""
    ran = subprocess.run([str(word) for word in words], check=False, capture_output=True, text=True)
    if ran.returncode:
        raise RuntimeError(f"{words[0]}: {ran.stderr.strip()}")


def main() -> None:
    """Clear a machine away when the input ends."""
    sys.stdin.read()
    folder = Path(sys.argv[1])
    for place in folder.glob("disk?"):
        release(place)
    shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
