"""The disk under greenlets, killed requests, and with no space left."""

from __future__ import annotations

import errno
import os
import resource
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest

from blobstore.errors import BlobMissing, BlobRefused, Busy, StorageFull, StorageUnavailable
from blobstore.storage.disk import Disk
from tests.storage.contract import A_MINUTE, digest_of, put, read, rest, sample
from tests.storage.disks import ClosesWhatIsUsed, NamedDisk
from tests.storage.oracle import DiskOracle
from tests.storage.tracing import REPOSITORY


class Pausing(Disk):
    """Tells when a publish is about to wait for its lock."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.waiting = threading.Event()

    def locked(self, shard: str, how: int):  # type: ignore[no-untyped-def]
        self.waiting.set()
        return super().locked(shard, how)


def discard_beside_a_publish(disk: Disk, pausing: Disk, waiting: threading.Event) -> bytes:
    """What is stored when a publish in a thread is discarded and others stage at once, on what descriptors are free."""
    content = sample(50_000)
    staged = pausing.stage()
    staged.write(content)
    with ThreadPoolExecutor(1) as pool:
        with disk.exclusive(digest_of(content)):
            running = pool.submit(staged.publish, digest_of(content))
            assert waiting.wait(A_MINUTE)
            staged.discard()
            others = [disk.stage() for _ in range(5)]
            for other in others:
                other.write(b"somebody else's")
        location = running.result(A_MINUTE)
    for other in others:
        other.discard()
    return read(disk, location)


def test_a_discard_beside_a_publish_mixes_nothing_up(disk: Disk) -> None:
    """If this failed, a killed request would publish another client's bytes under its own digest."""
    pausing = Pausing(disk.root)
    assert discard_beside_a_publish(disk, pausing, pausing.waiting) == sample(50_000)


class ClosesWhatIsUsedPausing(ClosesWhatIsUsed, Pausing):
    """The planted bug, with the signal that the test waits for."""


def test_the_discard_test_catches_a_planted_bug(root: Path) -> None:
    """If this failed, a discard that pulls the descriptor from under a publish would pass."""
    mutant = ClosesWhatIsUsedPausing(root)
    try:
        stored = discard_beside_a_publish(Disk(root), mutant, mutant.waiting)
    except Exception:
        # Somebody else's descriptor, or a closed one: caught either way.
        return
    assert stored != sample(50_000)


GREENLETS = """
import gevent.monkey
gevent.monkey.patch_all()
import sys, gevent
from pathlib import Path
from blobstore.offload import offload
from blobstore.storage.disk import Disk
from tests.storage.contract import digest_of, put, read
disk, content, seen = Disk(Path(sys.argv[1])), b"green", []
def upload():
    seen.append(offload(put, disk, content))
with disk.exclusive(digest_of(content)):
    uploads = [gevent.spawn(upload) for _ in range(5)]
    gevent.sleep(0.1)
    assert seen == [], "published under the lock"
gevent.joinall(uploads, timeout=60, raise_error=True)
assert len(seen) == 5 and read(disk, seen[0]) == content
"""


def test_greenlets_exclude_each_other(disk: Disk) -> None:
    """If this failed, a lock would stop a whole worker, or not hold between its greenlets."""
    subprocess.run([sys.executable, "-c", GREENLETS, str(disk.root)], cwd=REPOSITORY, check=True, timeout=A_MINUTE)


@pytest.fixture(params=[Disk, NamedDisk])
def tiny(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Disk]:
    """A disk of one megabyte and room for 20 files, of its own."""
    place = tmp_path / "tiny"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m,nr_inodes=540", "tmpfs", str(place)]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True, check=False).returncode != 0:
        pytest.skip("mounting needs root")
    try:
        disk: Disk = request.param(place / "store")
        disk.prepare()
        yield disk
    finally:
        subprocess.run(["umount", place], check=True)


def test_a_full_disk_still_reads_and_deletes(tiny: Disk) -> None:
    """If this failed, a full disk would stop downloads, or could not be emptied, or would need a restart."""
    kept = put(tiny, b"kept" * 50_000)
    with pytest.raises(StorageFull):
        put(tiny, sample(2_000_000))
    assert DiskOracle(tiny.root).strays() == []
    assert read(tiny, kept) == b"kept" * 50_000
    assert [found for found, *_ in tiny.locations()] == [kept]
    tiny.delete(kept)
    assert read(tiny, put(tiny, sample(900_000))) == sample(900_000)


def test_a_probe_makes_the_staging_folder_anew(disk: Disk) -> None:
    """A store whose staging folder somebody has removed would refuse uploads, once degraded, until a restart."""
    (disk.root / "tmp").rmdir()
    disk.probe()
    assert list((disk.root / "tmp").iterdir()) == []


def test_a_probe_tells_a_full_disk(tiny: Disk) -> None:
    """If this failed, uploads would be sent to a full disk, or never again to one that was emptied."""
    tiny.probe()
    filler = tiny.root.parent / "filler"
    with pytest.raises(OSError, match="No space left"):
        filler.write_bytes(bytes(2 << 20))
    for _ in range(2):
        with pytest.raises(StorageFull):
            tiny.probe()
    assert DiskOracle(tiny.root).strays() == []
    filler.unlink()
    tiny.probe()


def test_a_disk_without_inodes_is_full(tiny: Disk) -> None:
    """If this failed, a disk with space but no inodes would be answered as a broken one."""
    made: list[str] = []

    def fill() -> None:
        while len(made) < 100:
            made.append(put(tiny, b"%d" % len(made)))

    with pytest.raises(StorageFull):
        fill()
    assert made
    with pytest.raises(StorageFull):
        tiny.probe()
    for location in made:
        assert read(tiny, location)
        tiny.delete(location)
    put(tiny, b"again")


@contextmanager
def limited(what: int, limit: int) -> Iterator[None]:
    """This process with so much of a resource."""
    soft, hard = resource.getrlimit(what)
    resource.setrlimit(what, (limit, hard))
    try:
        yield
    finally:
        resource.setrlimit(what, (soft, hard))


@pytest.mark.parametrize("kind", ["a folder", "a full folder"])
@pytest.mark.parametrize("named", [False, True])
def test_11_a_folder_in_the_place_of_a_blob(disk: Disk, oracle: DiskOracle, kind: str, named: bool) -> None:
    """If this failed, one folder in the wrong place would be taken for a broken disk, and end everybody's uploads."""
    storage = NamedDisk(disk.root) if named else disk
    place = oracle.place(digest_of(b"blob"))
    place.mkdir()
    if kind == "a full folder":
        (place / "somebody's").write_bytes(b"file")
    with pytest.raises(BlobRefused) as caught:
        put(storage, b"blob")
    assert str(disk.root) not in caught.value.detail
    assert oracle.strays() == []
    assert list(disk.obstacles()) == [str(place)]
    assert read(disk, put(storage, b"another")) == b"another"
    shutil.rmtree(place)
    assert read(disk, put(storage, b"blob")) == b"blob"


def test_11_a_file_too_large_for_the_disk(disk: Disk, oracle: DiskOracle) -> None:
    """If this failed, one upload beyond the largest file of the filesystem would end everybody's."""
    with limited(resource.RLIMIT_FSIZE, 1 << 20), pytest.raises(BlobRefused, match="no file of this size"):
        put(disk, sample(2 << 20))
    assert oracle.strays() == []
    assert read(disk, put(disk, b"small")) == b"small"


def test_a_process_without_descriptors_is_no_broken_disk(disk: Disk) -> None:
    """If this failed, a burst of clients would end everybody's uploads, and the disk would be looked at for nothing."""
    location = put(disk, b"blob")
    with limited(resource.RLIMIT_NOFILE, 3):
        for call in (disk.stage, lambda: disk.open(location), lambda: disk.scan(location), disk.probe, disk.identity):
            with pytest.raises(Busy, match="no file descriptor left"):
                call()
    assert read(disk, location) == b"blob"


def test_trouble_says_all_that_it_was_about(disk: Disk) -> None:
    """If this failed, an operator would read that something is wrong somewhere."""
    digest = digest_of(b"blob")
    place = disk.root / digest.hex[:2] / digest.hex
    place.mkdir()
    with pytest.raises(BlobRefused) as refused:
        put(disk, b"blob")
    (note,) = refused.value.__notes__
    assert note.startswith(f"cannot replace {place}: [Errno {errno.EISDIR}]")
    place.rmdir()
    lock = disk.root / "locks" / digest.hex[:2]
    lock.unlink()
    with pytest.raises(StorageUnavailable) as raised:
        put(disk, b"blob")
    lock.touch()
    (note,) = raised.value.__notes__
    assert note.startswith(f"cannot publish {place}: [Errno {errno.ENOENT}]")


def cached_pages(path: Path) -> int:
    """How many pages of a file memory has."""
    told = subprocess.run(["fincore", "-nbo", "PAGES", path], check=True, capture_output=True, text=True)
    return int(told.stdout)


def test_a_scan_leaves_memory_alone(disk: Disk, oracle: DiskOracle) -> None:
    """If this failed, verify would read what memory has, not the disk, and throw out of memory what is asked for."""
    content = sample(3_000_001)
    location = put(disk, content)
    place = oracle.place(digest_of(content))
    assert read(disk, location) == content
    before = cached_pages(place)
    with disk.scan(location) as reader:
        opened = cached_pages(place)
        assert rest(reader) == content
        over = cached_pages(place)
    if b" tmpfs " in subprocess.check_output(["findmnt", "-no", "FSTYPE", "-T", place]):
        return
    assert (before > 700, opened, over < 40) == (True, 0, True)
    place.unlink()
    with pytest.raises(BlobMissing):
        disk.scan(location)
