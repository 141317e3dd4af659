"""The disk under greenlets, killed requests, and with no space left."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from blobstore.errors import StorageFull
from blobstore.storage.disk import Disk
from tests.storage.contract import A_MINUTE, digest_of, put, read, sample
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
