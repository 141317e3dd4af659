"""The disk keeps the contract, in both ways of staging, and what is its own: folders, modes, symlinks, a full disk."""

from __future__ import annotations

import os
from datetime import timedelta
from pathlib import Path

import pytest

from blobstore.digest import EMPTY
from blobstore.errors import BlobMissing, StorageUnavailable
from blobstore.storage import Storage
from blobstore.storage.disk import IDENTITY, SHARDS, Disk
from tests.storage.contract import StorageContract, digest_of, put, read
from tests.storage.disks import NamedDisk
from tests.storage.oracle import DiskOracle
from tests.storage.processes import DiskInProcesses


class TestDisk(StorageContract, DiskInProcesses):
    """Staged without a name, where that exists."""

    @pytest.fixture
    def storage(self, root: Path) -> Disk:
        disk = Disk(root)
        if not disk.nameless:
            pytest.skip("this filesystem has no O_TMPFILE")
        return disk


class TestNamedDisk(StorageContract, DiskInProcesses):
    """Staged with a name, as on filesystems without O_TMPFILE."""

    @pytest.fixture
    def storage(self, root: Path) -> Disk:
        return NamedDisk(root)


def test_disk_is_a_storage(disk: Disk) -> None:
    """If this failed, mypy would tell that the disk has not all the verbs of the contract."""
    storage: Storage = disk
    assert storage.free_bytes()


def test_nothing_happens_before_prepare(absent: Path) -> None:
    """If this failed, merely wiring the service together would write to the disk."""
    Disk(absent)
    assert not absent.parent.exists()


def test_prepare_makes_every_folder_for_its_owner_alone(absent: Path) -> None:
    """If this failed, an upload would meet a missing folder, or others on the machine could read the blobs."""
    before = os.umask(0)
    try:
        Disk(absent).prepare()
    finally:
        os.umask(before)
    assert {path.name for path in absent.iterdir()} == {*SHARDS, "tmp", "locks", IDENTITY}
    assert {(absent / shard).stat().st_mode & 0o7777 for shard in SHARDS} == {0o750}
    assert absent.stat().st_mode & 0o7777 == 0o750
    assert (absent / "tmp").stat().st_mode & 0o7777 == 0o700


def test_prepare_again_changes_nothing(fresh: Disk) -> None:
    """If this failed, a restart would lose blobs or undo the modes that an operator chose."""
    location = put(fresh, b"kept")
    (fresh.root / "ab").chmod(0o700)
    Disk(fresh.root).prepare()
    assert read(fresh, location) == b"kept"
    assert (fresh.root / "ab").stat().st_mode & 0o7777 == 0o700


@pytest.mark.parametrize("target", ["folder", "file"])
def test_prepare_refuses_a_shard_that_is_no_folder(absent: Path, tmp_path: Path, target: str) -> None:
    """If this failed, blobs would be written through a symlink to somewhere else."""
    absent.mkdir(parents=True)
    if target == "folder":
        (absent / "ab").symlink_to(tmp_path)
    else:
        (absent / "ab").touch()
    with pytest.raises(StorageUnavailable):
        Disk(absent).prepare()


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


def test_foreign_files_are_passed_over(fresh: Disk) -> None:
    """If this failed, upkeep would adopt and then delete what an operator put there, or stop at it."""
    hexadecimal = digest_of(b"x").hex
    for name in ("ff/" + "ab" * 32, "ab/README", "ab/" + "ab" * 31, "ab/" + "AB" * 32, hexadecimal, "tmp/" + "ab" * 32):
        (fresh.root / name).write_bytes(b"foreign")
    location = put(fresh, b"ours")
    assert [found for found, *_ in fresh.locations()] == [location]
    assert fresh.discard_abandoned(timedelta(0)) == 0
    assert len(list(fresh.root.glob("*/*"))) == 256 + 6


def test_a_disk_that_is_away_is_not_an_empty_one(fresh: Disk) -> None:
    """If this failed, an unmounted fresh would have every blob marked as damaged, or its rows swept away."""
    location = put(fresh, b"blob")
    shard = fresh.root / location[5:7]
    shard.rename(fresh.root / "away")
    for call in (fresh.open, fresh.size, fresh.delete):
        with pytest.raises(StorageUnavailable):
            call(location)
    with pytest.raises(StorageUnavailable):
        list(fresh.locations())
    with pytest.raises(StorageUnavailable):
        put(fresh, b"blob")
    (fresh.root / "away").rename(shard)
    assert read(fresh, location) == b"blob"


def test_trouble_names_no_path(fresh: Disk) -> None:
    """If this failed, an answer to a stranger would say where the files of the service are."""
    (fresh.root / "locks" / EMPTY.hex[:2]).unlink()
    with pytest.raises(StorageUnavailable) as caught:
        put(fresh, b"")
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
