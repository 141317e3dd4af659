"""The promises of blobstore/storage/__init__.py as tests, by their numbers. Every backend runs them.

A backend's test class inherits `StorageContract` and gives the fixtures `storage` and `oracle`; the oracle looks at
the bytes without the backend's code. `processes.py` has the promises that need several processes.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import BinaryIO, Protocol

import pytest

from blobstore.digest import EMPTY, Digest
from blobstore.errors import BlobMissing
from blobstore.storage import Storage

A_MINUTE = 60
"""Guards hangs only."""


class Oracle(Protocol):
    """The bytes of a backend, seen and changed behind its back."""

    def bytes_of(self, digest: Digest) -> bytes | None:
        """What lies at the blob's place, None when nothing does."""

    def damage(self, digest: Digest, instead: bytes) -> None:
        """Put other bytes at the place of a blob that is there."""

    def strays(self) -> list[str]:
        """Everything that lies there and is no blob: what is staged, what was left behind."""


def digest_of(content: bytes) -> Digest:
    """The digest that `content` is published under."""
    return Digest(hashlib.sha256(content).hexdigest())


def put(storage: Storage, content: bytes) -> str:
    """Publish `content`; return its location."""
    with storage.stage() as staged:
        staged.write(content)
        return staged.publish(digest_of(content))


def read(storage: Storage, location: str, start: int = 0) -> bytes:
    """All bytes of a blob from `start`, by as many reads as it takes."""
    with storage.open(location, start) as reader:
        return rest(reader)


def rest(reader: BinaryIO) -> bytes:
    """What a reader still has to give."""
    return b"".join(iter(lambda: reader.read(100_000), b""))


def sample(size_bytes: int, seed: str = "") -> bytes:
    """Bytes that differ from place to place and from seed to seed."""
    return hashlib.shake_128(f"sample {seed}".encode()).digest(size_bytes)


def at_once(*calls: Callable[[], object]) -> None:
    """Make all calls at the same time, each in a thread; raise what the first of them raised."""
    gate = threading.Barrier(len(calls))

    def run(call: Callable[[], object]) -> object:
        gate.wait(A_MINUTE)
        return call()

    with ThreadPoolExecutor(len(calls)) as pool:
        for running in [pool.submit(run, call) for call in calls]:
            running.result(A_MINUTE)


class StorageContract:
    """Promises 1 to 10, within one process."""

    excluded_seconds = 0.2
    """How long a publish is given to break into `exclusive`. A right one never does, however long."""

    @pytest.mark.parametrize("size_bytes", [0, 1, 4095, 4096, 4097, 3_000_001])
    def test_0_bytes_come_back(self, storage: Storage, oracle: Oracle, size_bytes: int) -> None:
        """If this failed, what is read would not be what was written."""
        content = sample(size_bytes)
        location = put(storage, content)
        assert read(storage, location) == oracle.bytes_of(digest_of(content)) == content
        assert storage.size(location) == size_bytes

    def test_0_pieces_of_every_kind(self, storage: Storage) -> None:
        """If this failed, a buffer that is filled again, or a piece of one, would be stored wrongly."""
        buffer = bytearray(b"-first-")
        content = b"first" + b"second" + b"third"
        with storage.stage() as staged:
            staged.write(memoryview(buffer)[1:-1])
            buffer[:] = b"second"
            staged.write(buffer)
            buffer[:] = b""
            staged.write(buffer)
            staged.write(b"third")
            location = staged.publish(digest_of(content))
        assert read(storage, location) == content

    def test_0_a_reader_starts_where_it_is_told(self, storage: Storage) -> None:
        """If this failed, a Range would be answered with other bytes."""
        content = sample(200_000)
        location = put(storage, content)
        for start in (0, 1, 4096, 199_999, 200_000, 200_001):
            assert read(storage, location, start) == content[start:]

    def test_0_locations_say_what_is_there(self, storage: Storage) -> None:
        """If this failed, upkeep would adopt, sweep or verify something else than what is stored."""
        began = datetime.now(UTC) - timedelta(seconds=2)
        made = {put(storage, content): content for content in (b"", b"one", sample(70_000))}
        found = {location: (digest, size) for location, digest, size, _ in storage.locations()}
        assert found == {location: (digest_of(content), len(content)) for location, content in made.items()}
        for _, _, _, published_at in storage.locations():
            assert published_at.tzinfo is UTC
            assert began <= published_at <= datetime.now(UTC) + timedelta(seconds=2)

    @pytest.mark.parametrize("location", ["", "elsewhere:ab/" + "ab" * 32, "disk:../etc/passwd", "\0", "disk:"])
    def test_0_a_foreign_location_is_refused(self, storage: Storage, location: str) -> None:
        """If this failed, a text that this storage did not make would reach a path, a key or a statement."""
        for call in (storage.open, storage.size, storage.delete):
            with pytest.raises(ValueError):
                call(location)

    def test_1_nothing_staged_is_visible(self, storage: Storage, oracle: Oracle) -> None:
        """If this failed, bytes that nobody vouched for would be served or counted."""
        content = sample(300_000)
        location = put(storage, content)
        storage.delete(location)
        with storage.stage() as staged:
            staged.write(content)
            assert storage.size(location) is None
            with pytest.raises(BlobMissing):
                storage.open(location)
            assert list(storage.locations()) == []
            assert oracle.bytes_of(digest_of(content)) is None
        assert list(storage.locations()) == []
        assert oracle.strays() == []

    def test_2_publish_is_atomic(self, storage: Storage) -> None:
        """If this failed, a reader would see a part of a blob while it is published again and deleted."""
        content = sample(400_000)
        location = put(storage, content)

        def publish() -> None:
            for _ in range(15):
                put(storage, content)

        def delete() -> None:
            for _ in range(15):
                storage.delete(location)

        def look() -> None:
            for _ in range(60):
                assert storage.size(location) in (None, len(content))
                with suppress(BlobMissing):
                    assert read(storage, location) == content

        at_once(publish, publish, delete, look, look)

    def test_4_publishing_again_heals(self, storage: Storage, oracle: Oracle) -> None:
        """If this failed, a damaged blob would stay damaged although somebody uploaded it whole again."""
        content = sample(100_000)
        put(storage, content)
        for damage in (b"", content[:-1], content + b"!", b"\0" * len(content), b"!" + content[1:]):
            oracle.damage(digest_of(content), damage)
            location = put(storage, content)
            assert read(storage, location) == content
            assert oracle.bytes_of(digest_of(content)) == content
        assert oracle.strays() == []

    def test_5_open_of_an_absent_blob_raises(self, storage: Storage) -> None:
        """If this failed, an answer would begin before it is known that there are no bytes, or too few."""
        location = put(storage, b"gone")
        for size in (0, 3, 5):
            with pytest.raises(BlobMissing):
                storage.open(location, 0, size)
        storage.delete(location)
        with pytest.raises(BlobMissing):
            storage.open(location)
        assert storage.size(location) is None

    def test_6_delete_of_an_absent_blob_succeeds(self, storage: Storage, oracle: Oracle) -> None:
        """If this failed, a sweep that was cut off between its steps could never be finished."""
        location = put(storage, b"twice")
        storage.delete(location)
        storage.delete(location)
        assert oracle.bytes_of(digest_of(b"twice")) is None

    def test_7_discard_at_any_time(self, storage: Storage, oracle: Oracle) -> None:
        """If this failed, leaving an upload early, late or twice would raise, leak or take a blob along."""
        for pieces in ([], [b""], [b"some"]):
            staged = storage.stage()
            for piece in pieces:
                staged.write(piece)
            staged.discard()
            staged.discard()
            with pytest.raises(ValueError):
                staged.write(b"late")
            with pytest.raises(ValueError):
                staged.publish(EMPTY)
        with storage.stage() as staged:
            staged.write(b"kept")
            location = staged.publish(digest_of(b"kept"))
            staged.discard()
            with pytest.raises(ValueError):
                staged.publish(digest_of(b"kept"))
        staged.discard()
        assert read(storage, location) == b"kept"
        assert oracle.strays() == []

    def test_8_many_threads(self, storage: Storage, oracle: Oracle) -> None:
        """If this failed, uploads at the same time would mix their bytes or lose one another."""
        contents = [sample(50_000 + number, str(number)) for number in range(5)]

        def upload() -> None:
            for content in contents:
                assert read(storage, put(storage, content)) == content

        at_once(*[upload] * 8)
        assert sorted(digest for _, digest, _, _ in storage.locations()) == sorted(map(digest_of, contents))
        assert oracle.strays() == []

    def test_8_exclusive_keeps_publish_out(self, storage: Storage) -> None:
        """If this failed, a sweep could delete what was published after it had looked."""
        content = b"swept and published"
        location = put(storage, content)
        published = threading.Event()

        def publish() -> None:
            put(storage, content)
            published.set()

        with ThreadPoolExecutor(1) as pool:
            with storage.exclusive(digest_of(content)):
                running = pool.submit(publish)
                assert not published.wait(self.excluded_seconds)
                storage.delete(location)
            running.result(A_MINUTE)
        assert read(storage, location) == content

    def test_8_exclusive_ends_with_its_block(self, storage: Storage) -> None:
        """If this failed, a sweep that raised would stop every upload of its shard for ever."""
        with pytest.raises(OSError, match="of the block"), storage.exclusive(EMPTY):
            raise OSError("of the block")
        with storage.exclusive(EMPTY):
            pass
        assert read(storage, put(storage, b"")) == b""

    def test_9_a_reader_keeps_its_bytes(self, storage: Storage, oracle: Oracle) -> None:
        """If this failed, a download would break, or change its bytes, when the blob is deleted or published again."""
        content = sample(600_000)

        def delete(location: str) -> None:
            storage.delete(location)

        def publish_again(_: str) -> None:
            put(storage, content)

        def both(location: str) -> None:
            delete(location)
            publish_again(location)

        for change in (delete, publish_again, both):
            location = put(storage, content)
            damaged = sample(len(content), "damaged")
            oracle.damage(digest_of(content), damaged)
            with storage.open(location) as reader:
                first = reader.read(1000)
                change(location)
                assert first + rest(reader) == damaged

    def test_upkeep_leaves_what_is_alive(self, storage: Storage) -> None:
        """If this failed, upkeep would take the bytes of an upload away while it is running."""
        content = sample(5000)
        kept = put(storage, b"kept")
        with storage.stage() as staged:
            staged.write(content)
            assert storage.discard_abandoned(timedelta(0)) == 0
            location = staged.publish(digest_of(content))
        assert storage.discard_abandoned(timedelta(0)) == 0
        assert read(storage, location) == content
        assert read(storage, kept) == b"kept"

    def test_free_bytes_is_a_number_or_unknown(self, storage: Storage) -> None:
        """If this failed, the floor of free space could not be kept."""
        free = storage.free_bytes()
        assert free is None or free > 0

    def test_10_a_probe_leaves_nothing(self, storage: Storage, oracle: Oracle) -> None:
        """If this failed, a store in trouble would be filled by looking whether it still is."""
        assert (storage.probe(), oracle.strays(), list(storage.locations())) == (None, [], [])
