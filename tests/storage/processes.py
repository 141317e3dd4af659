"""The promises of a disk that need another process: crashes, locks, power cuts. Mixed into each way of staging."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from datetime import timedelta
from pathlib import Path

import pytest

from blobstore.digest import Digest
from blobstore.storage.disk import Disk
from tests.storage.contract import A_MINUTE, Oracle, at_once, digest_of, put, read, sample
from tests.storage.peer import CHURNED
from tests.storage.tracing import attempts, line, order_violations, run, started, successes, traced

SIZE = 100_000
CONTENT = sample(SIZE)
DIGEST = digest_of(CONTENT)
LOCATION = f"disk:{DIGEST.hex[:2]}/{DIGEST}"
BEFORE_THE_NAME = ("staged", "mid_write", "after_write", "after_fsync", "after_link")
NOW = timedelta(0)


def wait_for(path: Path) -> None:
    """Return when `path` exists."""
    deadline = time.monotonic() + A_MINUTE
    while not path.exists():
        assert time.monotonic() < deadline, f"{path.name} never came"
        time.sleep(0.005)


class DiskInProcesses:
    """`storage` is the way of staging under test, prepared; peers make another of the same class at its root."""

    excluded_seconds = 0.2

    def test_2_nothing_has_a_name_before_it_is_whole(self, storage: Disk, oracle: Oracle, tmp_path: Path) -> None:
        """If this failed, an upload could be seen under its hash before its bytes are durable, at this very point."""
        for point in BEFORE_THE_NAME:
            go = tmp_path / point
            with started(
                type(storage).__name__, storage.root, "publish", SIZE, failpoints=f"{point}=wait:{go}"
            ) as peer:
                wait_for(go.with_name(f"{point}.reached"))
                assert storage.size(LOCATION) is None, point
                assert list(storage.locations()) == [], point
                go.touch()
                assert line(peer) == LOCATION
            assert oracle.bytes_of(DIGEST) == CONTENT
            storage.delete(LOCATION)

    @pytest.mark.parametrize("point", [*BEFORE_THE_NAME, "after_dirsync"])
    def test_3_a_kill_leaves_all_or_nothing(self, storage: Disk, oracle: Oracle, tmp_path: Path, point: str) -> None:
        """If this failed, kill -9 at this point would leave a part of a blob, a lock, or what upkeep cannot remove."""
        with started(type(storage).__name__, storage.root, "publish", SIZE, failpoints=f"{point}=kill") as peer:
            assert line(peer) == ""
            assert peer.wait(A_MINUTE) == -9
        assert oracle.bytes_of(DIGEST) == (CONTENT if point == "after_dirsync" else None)
        left = len(oracle.strays())
        assert left <= 1
        assert storage.discard_abandoned(timedelta(hours=1)) == 0
        assert storage.discard_abandoned(NOW) == left
        assert oracle.strays() == []
        with storage.exclusive(DIGEST):
            pass
        assert read(storage, put(storage, CONTENT)) == CONTENT

    @pytest.mark.parametrize(
        ("point", "errno", "answer"),
        [(point, "EIO", "StorageUnavailable") for point in (*BEFORE_THE_NAME, "after_dirsync")]
        + [(point, "EDQUOT", "StorageFull") for point in ("staged", "mid_write", "after_link")],
    )
    def test_3_trouble_is_never_acknowledged(
        self, storage: Disk, oracle: Oracle, point: str, errno: str, answer: str
    ) -> None:
        """If this failed, an error of the disk at this point would be answered as a success, or leave a part."""
        printed = run(type(storage).__name__, storage.root, "publish", SIZE, failpoints=f"{point}=errno:{errno}")
        assert printed == answer
        assert oracle.bytes_of(DIGEST) == (CONTENT if point == "after_dirsync" else None)
        assert oracle.strays() == []

    @pytest.mark.parametrize("there", [False, True])
    def test_3_a_power_cut_loses_nothing(self, storage: Disk, there: bool) -> None:
        """If this failed, an acknowledged upload would not survive a power cut, or an empty file would show."""
        if there:
            put(storage, CONTENT)
        printed, lines = traced(type(storage).__name__, storage.root, "publish", SIZE)
        assert printed == LOCATION
        assert order_violations(lines, storage.root, DIGEST) == []

    def test_3_names_are_given_under_the_lock(self, storage: Disk) -> None:
        """If this failed, a sweep in another process could delete what was just published."""
        _, lines = traced(type(storage).__name__, storage.root, "publish", SIZE)
        lock = f"locks/{DIGEST.hex[:2]}>"
        seen = [
            arguments.rpartition(" ")[2] if call == "flock" else call
            for call, arguments in successes(lines)
            if (call == "flock" and lock in arguments) or (call.startswith("rename") and DIGEST.hex in arguments)
        ]
        assert seen == ["LOCK_SH", "renameat", "LOCK_UN"]

    def test_3_a_failed_fsync_is_final(self, storage: Disk, oracle: Oracle) -> None:
        """If this failed, a second fsync would succeed although the bytes are gone, and they would be acknowledged."""
        printed, lines = traced(type(storage).__name__, storage.root, "publish", SIZE, inject="fsync:error=EIO:when=1")
        assert printed == "StorageUnavailable"
        assert attempts(lines, "fsync") == 1
        assert oracle.bytes_of(DIGEST) is None
        assert oracle.strays() == []

    @pytest.mark.parametrize("call", ["fsync:error=EIO:when=2", "renameat:error=EIO", "flock:error=ENOLCK"])
    def test_3_a_late_failure_keeps_what_was_there(self, storage: Disk, oracle: Oracle, call: str) -> None:
        """If this failed, a publish that failed would take away a blob that somebody else was promised."""
        put(storage, CONTENT)
        printed, _ = traced(type(storage).__name__, storage.root, "publish", SIZE, inject=call)
        assert printed == "StorageUnavailable"
        assert oracle.bytes_of(DIGEST) == CONTENT
        assert oracle.strays() == []

    def test_3_a_lying_write_is_found_out(self, storage: Disk, oracle: Oracle) -> None:
        """If this failed, bytes that the disk never took would be acknowledged."""
        printed, _ = traced(
            type(storage).__name__, storage.root, "publish", SIZE, inject=f"write:retval={SIZE // 2}:when=2"
        )
        assert printed == "StorageUnavailable"
        assert oracle.bytes_of(DIGEST) is None

    def test_3_a_short_write_is_continued(self, storage: Disk, oracle: Oracle) -> None:
        """If this failed, a write that took a part would lose the rest of its piece."""
        assert run(type(storage).__name__, storage.root, "limited", SIZE, SIZE) == LOCATION
        storage.delete(LOCATION)
        assert run(type(storage).__name__, storage.root, "limited", SIZE, SIZE - 1) == "BlobRefused"
        assert oracle.bytes_of(DIGEST) is None
        assert oracle.strays() == []

    def test_8_a_sweep_in_another_process_keeps_publish_out(self, storage: Disk) -> None:
        """If this failed, a sweeper that lost its database would unlink what is published meanwhile."""
        published = threading.Event()

        def publish() -> None:
            put(storage, CONTENT)
            published.set()

        with ThreadPoolExecutor(1) as pool:
            with started(type(storage).__name__, storage.root, "hold", DIGEST) as peer:
                assert line(peer) == "held"
                running = pool.submit(publish)
                put(storage, another_shard())
                assert not published.wait(self.excluded_seconds)
            # The peer was killed at the end of the block: that frees the lock.
            running.result(A_MINUTE)
        assert read(storage, LOCATION) == CONTENT

    def test_8_a_lock_that_cannot_be_given_back(self, storage: Disk) -> None:
        """If this failed, a sweep that has done everything would be called an error of ours, and end early."""
        printed, _ = traced(type(storage).__name__, storage.root, "hold", DIGEST, inject="flock:error=EIO:when=2")
        assert printed.split() == ["held", "released"]
        with storage.exclusive(DIGEST):
            pass

    def test_8_many_processes_publish_and_sweep(self, storage: Disk, oracle: Oracle, tmp_path: Path) -> None:
        """If this failed, a blob whose row says that it is published would have no bytes, or not its own."""
        rows = tmp_path / "rows"
        rows.mkdir()
        name = type(storage).__name__
        at_once(*[lambda seed=seed: run(name, storage.root, "churn", 150, seed, rows) for seed in range(4)])
        for content in CHURNED:
            stored = oracle.bytes_of(digest_of(content))
            assert stored == content or (stored is None and not (rows / digest_of(content).hex).exists())
        assert oracle.strays() == []

    def test_upkeep_tells_the_living_from_the_dead(self, storage: Disk, oracle: Oracle) -> None:
        """If this failed, upkeep would take a running upload's bytes, or keep those of a killed one for ever."""
        with started(type(storage).__name__, storage.root, "abandon", SIZE) as peer:
            assert line(peer) == "staged"
            assert storage.discard_abandoned(NOW) == 0
            left = len(oracle.strays())
        assert left == (0 if storage.nameless else 1)
        assert storage.discard_abandoned(timedelta(hours=1)) == 0
        assert storage.discard_abandoned(NOW) == left
        assert oracle.strays() == []

    def test_upkeep_waits_for_a_name_that_is_being_given(self, storage: Disk, tmp_path: Path) -> None:
        """If this failed, upkeep would unlink a temporary name just before it is renamed."""
        go = tmp_path / "go"
        with ExitStack() as stack:
            peer = stack.enter_context(
                started(type(storage).__name__, storage.root, "publish", SIZE, failpoints=f"after_link=wait:{go}")
            )
            pool = stack.enter_context(ThreadPoolExecutor(1))
            wait_for(tmp_path / "go.reached")
            discarding = pool.submit(storage.discard_abandoned, NOW)
            go.touch()
            assert line(peer) == LOCATION
            assert discarding.result(A_MINUTE) == 0
        assert read(storage, LOCATION) == CONTENT


def another_shard() -> bytes:
    """A content whose shard is not DIGEST's."""
    contents = (sample(10, str(number)) for number in range(1000))
    return next(content for content in contents if _shard(digest_of(content)) != _shard(DIGEST))


def _shard(digest: Digest) -> str:
    return digest.hex[:2]
