"""The disk keeps the contract, in both ways of staging, and what is its own: folders, modes, symlinks, a full disk."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path

import pytest

from blobstore.digest import EMPTY, Digest
from blobstore.errors import BlobMissing, StorageFull, StorageUnavailable
from blobstore.storage import Storage
from blobstore.storage.disk import SHARDS, Disk
from tests.storage.contract import A_MINUTE, StorageContract, digest_of, put, read, sample
from tests.storage.disks import NamedDisk
from tests.storage.processes import DiskInProcesses
from tests.storage.tracing import REPOSITORY


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


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Where the store is, not there yet."""
    return tmp_path / "data" / "store"


@pytest.fixture
def oracle(root: Path) -> DiskOracle:
    """Looks at `root`."""
    return DiskOracle(root)


@pytest.fixture
def disk(root: Path) -> Disk:
    """A prepared one, staging as this filesystem allows."""
    disk = Disk(root)
    disk.prepare()
    return disk


@pytest.fixture(scope="module")
def shared_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A prepared store for many tests: making 512 folders and locks takes longer than most of them."""
    root = tmp_path_factory.mktemp("data") / "store"
    Disk(root).prepare()
    return root


def empty(root: Path) -> None:
    """Remove every blob and whatever else is not a lock."""
    for path in root.glob("*/*"):
        if path.parent.name != "locks":
            path.unlink()


class OnDisk(StorageContract, DiskInProcesses):
    """Everything that holds for both ways of staging."""

    @pytest.fixture
    def root(self, shared_root: Path) -> Iterator[Path]:
        yield shared_root
        empty(shared_root)


class TestDisk(OnDisk):
    """Staged without a name, where that exists."""

    @pytest.fixture
    def storage(self, root: Path) -> Disk:
        disk = Disk(root)
        if not disk.nameless:
            pytest.skip("this filesystem has no O_TMPFILE")
        return disk


class TestNamedDisk(OnDisk):
    """Staged with a name, as on filesystems without O_TMPFILE."""

    @pytest.fixture
    def storage(self, root: Path) -> Disk:
        return NamedDisk(root)


def test_disk_is_a_storage(disk: Disk) -> None:
    """If this failed, mypy would tell that the disk has not all the verbs of the contract."""
    storage: Storage = disk
    assert storage.free_bytes()


def test_nothing_happens_before_prepare(root: Path) -> None:
    """If this failed, merely wiring the service together would write to the disk."""
    Disk(root)
    assert not root.parent.exists()


def test_prepare_makes_every_folder_for_its_owner_alone(root: Path) -> None:
    """If this failed, an upload would meet a missing folder, or others on the machine could read the blobs."""
    before = os.umask(0)
    try:
        Disk(root).prepare()
    finally:
        os.umask(before)
    assert {path.name for path in root.iterdir()} == {*SHARDS, "tmp", "locks"}
    assert {(root / shard).stat().st_mode & 0o7777 for shard in SHARDS} == {0o750}
    assert root.stat().st_mode & 0o7777 == 0o750
    assert (root / "tmp").stat().st_mode & 0o7777 == 0o700


def test_prepare_again_changes_nothing(disk: Disk) -> None:
    """If this failed, a restart would lose blobs or undo the modes that an operator chose."""
    location = put(disk, b"kept")
    (disk.root / "ab").chmod(0o700)
    Disk(disk.root).prepare()
    assert read(disk, location) == b"kept"
    assert (disk.root / "ab").stat().st_mode & 0o7777 == 0o700


@pytest.mark.parametrize("target", ["folder", "file"])
def test_prepare_refuses_a_shard_that_is_no_folder(root: Path, tmp_path: Path, target: str) -> None:
    """If this failed, blobs would be written through a symlink to somewhere else."""
    root.mkdir(parents=True)
    if target == "folder":
        (root / "ab").symlink_to(tmp_path)
    else:
        (root / "ab").touch()
    with pytest.raises(StorageUnavailable):
        Disk(root).prepare()


def test_looking_for_nameless_files_leaves_nothing(disk: Disk, oracle: DiskOracle) -> None:
    """If this failed, every start would leave a file behind."""
    assert isinstance(disk.nameless, bool)
    assert oracle.strays() == []


def test_a_blob_is_read_only(disk: Disk, oracle: DiskOracle) -> None:
    """If this failed, a slip in another program of the same user could change a blob, or a proxy could not read it."""
    for storage in (disk, NamedDisk(disk.root)):
        put(storage, b"blob")
        assert oracle.place(digest_of(b"blob")).stat().st_mode & 0o7777 == 0o440


@pytest.mark.parametrize(
    "path",
    ["ab/../../etc/passwd", "ab/" + "cd" * 32, "AB/" + "AB" * 32, "ab/" + "ab" * 32 + "\n", "/ab/" + "ab" * 32, "ab/"],
)
def test_only_the_exact_form_is_a_location(disk: Disk, path: str) -> None:
    """If this failed, a path would be built from unchecked text."""
    for call in (disk.open, disk.size, disk.delete):
        with pytest.raises(ValueError):
            call(f"disk:{path}")


@pytest.mark.parametrize("kind", ["symlink", "folder", "fifo", "dangling"])
def test_what_is_no_file_is_damage(disk: Disk, oracle: DiskOracle, tmp_path: Path, kind: str) -> None:
    """If this failed, a planted symlink would be served, a FIFO would hang a worker, or no upload could heal it."""
    location = put(disk, b"blob")
    place = oracle.place(digest_of(b"blob"))
    place.unlink()
    (tmp_path / "secret").write_bytes(b"blob")
    match kind:
        case "symlink":
            place.symlink_to(tmp_path / "secret")
        case "dangling":
            place.symlink_to(tmp_path / "nowhere")
        case "folder":
            place.mkdir()
        case "fifo":
            os.mkfifo(place)
    with pytest.raises(BlobMissing):
        disk.open(location)
    assert disk.size(location) is None
    assert list(disk.locations()) == []
    if kind != "folder":
        put(disk, b"blob")
        assert read(disk, location) == (tmp_path / "secret").read_bytes() == b"blob"


def test_foreign_files_are_passed_over(disk: Disk) -> None:
    """If this failed, upkeep would adopt and then delete what an operator put there, or stop at it."""
    hexadecimal = digest_of(b"x").hex
    for name in ("ff/" + "ab" * 32, "ab/README", "ab/" + "ab" * 31, "ab/" + "AB" * 32, hexadecimal, "tmp/" + "ab" * 32):
        (disk.root / name).write_bytes(b"foreign")
    location = put(disk, b"ours")
    assert [found for found, *_ in disk.locations()] == [location]
    assert disk.discard_abandoned(timedelta(0)) == 0
    assert len(list(disk.root.glob("*/*"))) == 256 + 6


def test_a_disk_that_is_away_is_not_an_empty_one(disk: Disk) -> None:
    """If this failed, an unmounted disk would have every blob marked as damaged, or its rows swept away."""
    location = put(disk, b"blob")
    shard = disk.root / location[5:7]
    shard.rename(disk.root / "away")
    for call in (disk.open, disk.size, disk.delete):
        with pytest.raises(StorageUnavailable):
            call(location)
    with pytest.raises(StorageUnavailable):
        list(disk.locations())
    with pytest.raises(StorageUnavailable):
        put(disk, b"blob")
    (disk.root / "away").rename(shard)
    assert read(disk, location) == b"blob"


def test_trouble_names_no_path(disk: Disk) -> None:
    """If this failed, an answer to a stranger would say where the files of the service are."""
    (disk.root / "locks" / EMPTY.hex[:2]).unlink()
    with pytest.raises(StorageUnavailable) as caught:
        put(disk, b"")
    assert caught.value.detail == "the server's disk refused (ENOENT)"
    assert isinstance(caught.value.__cause__, FileNotFoundError)


def open_descriptors() -> int:
    """How many this process has."""
    return len(list(Path("/proc/self/fd").iterdir()))


def test_no_descriptor_leaks(disk: Disk) -> None:
    """If this failed, a worker would run out of descriptors after some days."""
    location = put(disk, b"blob")
    before = open_descriptors()
    for storage in (disk, NamedDisk(disk.root)):
        put(storage, b"blob")
        storage.stage().discard()
        storage.stage()
        storage.free_bytes()
        list(storage.locations())
        storage.discard_abandoned(timedelta(0))
        with pytest.raises(BlobMissing):
            storage.open(f"disk:{EMPTY.hex[:2]}/{EMPTY}")
        with pytest.raises(TypeError), storage.stage() as staged:
            staged.write("text")  # type: ignore[arg-type]
        storage.open(location).close()
    assert open_descriptors() == before


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


def test_a_disk_without_inodes_is_full(tiny: Disk) -> None:
    """If this failed, a disk with space but no inodes would be answered as a broken one."""
    made: list[str] = []

    def fill() -> None:
        while len(made) < 100:
            made.append(put(tiny, b"%d" % len(made)))

    with pytest.raises(StorageFull):
        fill()
    assert made
    for location in made:
        assert read(tiny, location)
        tiny.delete(location)
    put(tiny, b"again")
