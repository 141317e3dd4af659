"""The storage of core's tests keeps the promises too, alone and inside the wrapper that breaks them on demand."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from blobstore.digest import Digest
from blobstore.errors import StorageFull, StorageUnavailable
from tests.storage.contract import StorageContract, at_once, digest_of, put, read
from tests.storage.faults import Faults, Stall, fails
from tests.storage.memory import Memory


class MemoryOracle:
    """The dictionary itself."""

    def __init__(self, memory: Memory) -> None:
        self._memory = memory

    def bytes_of(self, digest: Digest) -> bytes | None:
        return self._memory.blobs.get(f"memory:{digest}", (None,))[0]

    def damage(self, digest: Digest, instead: bytes) -> None:
        assert f"memory:{digest}" in self._memory.blobs
        self._memory.blobs[f"memory:{digest}"] = instead, datetime.now(UTC)

    def strays(self) -> list[str]:
        return []


@pytest.fixture
def memory() -> Memory:
    """A fresh, empty one."""
    return Memory()


@pytest.fixture
def oracle(memory: Memory) -> MemoryOracle:
    """Looks at `memory`."""
    return MemoryOracle(memory)


class TestMemory(StorageContract):
    """Memory keeps the contract."""

    @pytest.fixture
    def storage(self, memory: Memory) -> Memory:
        return memory


class TestFaultsWithoutFaults(StorageContract):
    """A Faults that was asked for nothing keeps the contract of what it wraps."""

    @pytest.fixture
    def storage(self, memory: Memory) -> Faults:
        return Faults(memory)


def test_a_fault_fails_the_chosen_turn(memory: Memory) -> None:
    """If this failed, tests of core would believe that they had survived a fault that never happened."""
    faults = Faults(memory)
    put(faults, b"first")
    faults.before("publish", fails(StorageFull()), turn=2)
    put(faults, b"second")
    with pytest.raises(StorageFull):
        put(faults, b"third")
    put(faults, b"fourth")
    assert len(memory.blobs) == 3
    assert faults.calls["publish"] == 4


def test_a_fault_behind_a_verb_leaves_its_effect(memory: Memory) -> None:
    """If this failed, the outcome that a caller cannot know could not be tested."""
    faults = Faults(memory)
    faults.after("publish", fails(StorageUnavailable()))
    with pytest.raises(StorageUnavailable):
        put(faults, b"there all the same")
    assert f"memory:{digest_of(b'there all the same')}" in memory.blobs
    faults.clear()
    put(faults, b"no fault any more")


def test_a_stall_holds_its_verb_until_it_is_let_go(memory: Memory) -> None:
    """If this failed, interleavings could not be tested in a fixed order."""
    faults, stall = Faults(memory), Stall()
    faults.before("publish", stall)

    def look() -> None:
        stall.reached()
        assert memory.blobs == {}
        stall.go_on()

    at_once(lambda: put(faults, b"late"), look)
    assert len(memory.blobs) == 1


def test_a_reader_can_fail_in_the_middle(memory: Memory) -> None:
    """If this failed, a disk that breaks during a download could not be tested."""
    faults = Faults(memory)
    location = put(faults, b"x" * 250_000)
    faults.before("read", fails(OSError(5, "broken")), turn=3)
    with pytest.raises(OSError, match="broken"):
        read(faults, location)


def test_an_unknown_verb_is_refused(memory: Memory) -> None:
    """If this failed, a misspelled verb would make a fault that never strikes."""
    with pytest.raises(AssertionError):
        Faults(memory).before("commit", fails(StorageFull()))
