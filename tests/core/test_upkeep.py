"""Upkeep as a use case: what each part takes, what it leaves, and after how long."""

from __future__ import annotations

import shutil
from datetime import timedelta
from typing import Any

import pytest

from blobstore.core import upkeep, verify
from blobstore.core.gate import Caller
from blobstore.core.store import Store
from blobstore.errors import ContentDamaged, NotFound, StorageUnavailable
from blobstore.storage.disk import Disk
from tests.core.acts import A_DAY, NOW, ask, bytes_on_disk, drop, fetch, nothing_is_left, numbers, person, rules, send
from tests.storage.contract import digest_of, put, sample
from tests.storage.faults import Faults, fails

ONE, OTHER = sample(1000, "one"), sample(2000, "other")
AN_HOUR = timedelta(hours=1)


@pytest.fixture
def me(store: Store) -> Caller:
    return person(store)


@pytest.fixture
def in_twos(monkeypatch: pytest.MonkeyPatch) -> None:
    """Batches of two, so that five of anything are three batches."""
    monkeypatch.setattr(upkeep, "BATCH", 2)
    monkeypatch.setattr(verify, "BATCH", 2)


def _stall(store: Store, caller: Caller, content: bytes, age: timedelta) -> None:
    """An upload that died between its transactions so long ago."""
    send(store, caller, content, name="stalled")
    ask(
        store,
        "UPDATE files SET ready_at = NULL, reserved_at = clock_timestamp() - :age WHERE digest = :digest",
        age=age,
        digest=digest_of(content).hex,
    )


def _rot(store: Store, content: bytes, instead: bytes | None) -> None:
    path = store.settings.store / digest_of(content).hex[:2] / digest_of(content).hex
    path.unlink()
    if instead is not None:
        path.write_bytes(instead)


def test_reap_takes_what_stalled_for_longer(store: Store, me: Caller) -> None:
    """If this failed, an upload under way would be given up, or a dead one stay charged."""
    _stall(store, me, ONE, timedelta(hours=2))
    _stall(store, me, OTHER, timedelta(minutes=30))
    assert upkeep.reap(store, AN_HOUR) == 1
    assert ask(store, "SELECT digest FROM files") == [(digest_of(OTHER).hex,)]
    assert numbers(store, me) == (2000, 2000, 1, 1)
    assert upkeep.reap(store, AN_HOUR) == 0


def test_reap_takes_what_has_expired(store: Store, me: Caller) -> None:
    """If this failed, an expired file would be charged for ever, or one that lasts would go."""
    send(store, me, ONE, name="x")
    send(store, me, ONE, name="y")
    ask(store, "UPDATE files SET expires_at = clock_timestamp() WHERE name = 'x'")
    ask(store, "UPDATE files SET expires_at = clock_timestamp() + interval '1 minute' WHERE name = 'y'")
    assert upkeep.reap(store, AN_HOUR) == 1
    assert fetch(store, me, ONE) == ONE


def test_many_are_taken_in_batches(store: Store, me: Caller, in_twos: None) -> None:
    """If this failed, what is beyond the first batch would stay, or a batch would be taken for ever."""
    contents = [sample(10, str(number)) for number in range(5)]
    for content in contents:
        send(store, me, content)
    assert len(list(verify.published(store))) == 5
    ask(store, "UPDATE files SET expires_at = clock_timestamp()")
    assert upkeep.reap(store, AN_HOUR) == 5
    assert upkeep.sweep(store, NOW) == upkeep.Swept(blobs=5, freed_bytes=50)
    nothing_is_left(store)


def test_sweep_waits_for_the_grace(store: Store, me: Caller) -> None:
    """If this failed, bytes would go while a backup or a failover may still need them."""
    send(store, me, ONE)
    drop(store, me, ONE)
    assert upkeep.sweep(store, A_DAY) == upkeep.Swept(0, 0)
    ask(store, "UPDATE blobs SET unreferenced_at = clock_timestamp() - interval '25 hours'")
    assert upkeep.sweep(store, A_DAY) == upkeep.Swept(1, 1000)
    nothing_is_left(store)


def test_the_grace_begins_anew(store: Store, me: Caller) -> None:
    """If this failed, a content that was taken up again and left would go by the age of its first leaving."""
    send(store, me, ONE)
    drop(store, me, ONE)
    ask(store, "UPDATE blobs SET unreferenced_at = clock_timestamp() - interval '25 hours'")
    send(store, me, ONE)
    assert ask(store, "SELECT unreferenced_at FROM blobs") == [(None,)]
    drop(store, me, ONE)
    assert upkeep.sweep(store, A_DAY) == upkeep.Swept(0, 0)


def test_sweep_leaves_what_fails_for_another_time(store: Store, me: Caller) -> None:
    """If this failed, one bad file would stop the sweep of all others, or lose the row of bytes that are there."""
    for content in (ONE, OTHER):
        send(store, me, content)
        drop(store, me, content)
    faulty = Faults(store.storage)
    faulty.before("delete", fails(StorageUnavailable("EIO")), turn=1)
    assert upkeep.sweep(Store(store.settings, store.database, faulty), NOW).blobs == 1
    assert rules(store) == []
    assert len(bytes_on_disk(store)) == 1
    assert upkeep.sweep(store, NOW).blobs == 1
    nothing_is_left(store)


def test_adopt_never_vouches(store: Store, me: Caller) -> None:
    """If this failed, bytes that nobody here has published durably would be served."""
    put(store.storage, ONE)
    assert upkeep.adopt(store, NOW) == 1
    assert ask(store, "SELECT refs, published_at, size_bytes FROM blobs") == [(0, None, 1000)]
    assert upkeep.adopt(store, NOW) == 0
    with pytest.raises(NotFound):
        fetch(store, me, ONE)
    assert send(store, me, ONE).created
    assert fetch(store, me, ONE) == ONE


def test_adopted_bytes_are_swept_after_a_grace_of_their_own(store: Store) -> None:
    """If this failed, bytes would go as soon as they are found, although their rows may be in a backup."""
    put(store.storage, ONE)
    assert upkeep.adopt(store, NOW) == 1
    assert upkeep.sweep(store, A_DAY).blobs == 0
    assert upkeep.sweep(store, NOW) == upkeep.Swept(1, 1000)
    nothing_is_left(store)


@pytest.mark.unaudited
def test_adopt_waits_for_the_grace(store: Store) -> None:
    """If this failed, the bytes of an upload under way would be taken for abandoned ones."""
    put(store.storage, ONE)
    assert upkeep.adopt(store, AN_HOUR) == 0
    assert ask(store, "SELECT count(*) FROM blobs") == [(0,)]


ROT = {
    "a flipped bit": bytes([ONE[0] ^ 1]) + ONE[1:],
    "cut": ONE[:-1],
    "longer": ONE + b"\0",
    "zeros": bytes(1000),
    "empty": b"",
    "another content": sample(1000, "swapped"),
    "missing": None,
}


@pytest.mark.parametrize("kind", ROT)
def test_verify_finds_rot(store: Store, me: Caller, kind: str) -> None:
    """If this failed, wrong bytes would be served under a hash for ever, or could not be healed."""
    send(store, me, ONE, name="x")
    send(store, me, OTHER)
    _rot(store, ONE, ROT[kind])
    found = list(verify.verify(store))
    assert [damage.digest for damage in found] == [digest_of(ONE)]
    with pytest.raises(ContentDamaged):
        fetch(store, me, ONE)
    assert fetch(store, me, OTHER) == OTHER
    assert rules(store) == ["the bytes are known to be damaged"]
    assert list(verify.verify(store)) == []
    assert not send(store, me, ONE, name="x").created
    assert fetch(store, me, ONE) == ONE
    assert list(verify.verify(store)) == []


@pytest.mark.parametrize("replaced", [False, True])
@pytest.mark.parametrize("look", [lambda store, me: list(verify.verify(store)), lambda *who: fetch(*who, ONE)])
def test_nothing_is_judged_while_the_disk_is_away(store: Store, me: Caller, look: Any, replaced: bool) -> None:
    """If this failed, a disk that goes away under a running service would make its blobs damaged ones, for good."""
    send(store, me, ONE)
    folder = store.settings.store
    away = folder.rename(folder.with_name("away"))
    if replaced:
        Disk(folder).prepare()
    with pytest.raises(StorageUnavailable):
        look(store, me)
    if replaced:
        shutil.rmtree(folder)
    away.rename(folder)
    assert rules(store) == []
    assert fetch(store, me, ONE) == ONE


def test_verify_notes_what_is_whole(store: Store, me: Caller) -> None:
    """If this failed, nobody could see when the bytes were read last."""
    send(store, me, ONE)
    assert list(verify.verify(store)) == []
    assert ask(store, "SELECT verified_at IS NOT NULL, damaged_at FROM blobs") == [(True, None)]


@pytest.mark.parametrize("kind", ["missing", "empty", "cut", "longer"])
def test_a_reader_finds_what_is_missing_or_not_whole(store: Store, me: Caller, kind: str) -> None:
    """If this failed, what is known to be wrong at a look would be served, and never be called damaged."""
    send(store, me, ONE, name="x")
    _rot(store, ONE, ROT[kind])
    with pytest.raises(ContentDamaged):
        fetch(store, me, ONE)
    assert ask(store, "SELECT published_at, damaged_at IS NOT NULL FROM blobs") == [(None, True)]
    send(store, me, ONE, name="x")
    assert fetch(store, me, ONE) == ONE


def test_damaged_bytes_that_nobody_has_are_swept(store: Store, me: Caller) -> None:
    """If this failed, rotten bytes would stay on the disk after their last owner."""
    send(store, me, ONE)
    _rot(store, ONE, b"rot")
    list(verify.verify(store))
    drop(store, me, ONE)
    assert upkeep.sweep(store, NOW).blobs == 1
    nothing_is_left(store)


def test_a_round_in_the_background(store: Store, me: Caller) -> None:
    """If this failed, the background upkeep would ignore its graces, or not say what it did."""
    _stall(store, me, ONE, timedelta(hours=2))
    send(store, me, OTHER)
    drop(store, me, OTHER)
    ask(store, "UPDATE blobs SET unreferenced_at = clock_timestamp() - interval '25 hours' WHERE refs = 0")
    told = "reaped 1 files, adopted 0 blobs, swept 1 blobs (2000 bytes), verified 0 blobs (0 bytes): 0 damaged"
    assert upkeep.run(store) == told
    assert bytes_on_disk(store) == [digest_of(ONE).hex]
