"""Verify in the background: what it reads, in which order, how fast, until when, and what it condemns."""

from __future__ import annotations

import errno
import logging
from typing import Any

import pytest

from blobstore.core import pace, rounds, upkeep, verify
from blobstore.core.gate import Caller
from blobstore.core.pace import Pace
from blobstore.core.rounds import Tally
from blobstore.core.store import Store
from blobstore.errors import Busy, ContentDamaged, StorageUnavailable
from tests.core.acts import ask, fetch, person, rules, send
from tests.storage.contract import digest_of, sample
from tests.storage.faults import Faults, fails

ONE, OTHER, THIRD = sample(1000, "one"), sample(2000, "other"), sample(3000, "third")
MIB = 1 << 20
EIO = OSError(errno.EIO, "Input/output error")


@pytest.fixture
def me(store: Store) -> Caller:
    return person(store)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The time, in seconds, as its only element; who sleeps moves it."""
    now = [1000.0]

    def sleep(seconds: float) -> None:
        now[0] += seconds

    monkeypatch.setattr(pace, "monotonic", lambda: now[0])
    monkeypatch.setattr(pace, "sleep", sleep)
    return now


def changed(store: Store, storage: Any = None, **settings: Any) -> Store:
    """The same store with other settings, or through another storage."""
    return Store(store.settings.model_copy(update=settings), store.database, storage or store.storage)


def unread(store: Store, content: bytes, days: float, *, since: str = "published_at") -> None:
    """Let so many days pass since it was published, or verified."""
    statement = f"UPDATE blobs SET {since} = clock_timestamp() - :days * interval '1 day' WHERE digest = :digest"
    ask(store, statement, days=days, digest=digest_of(content).hex)


def rot(store: Store, content: bytes) -> None:
    """Flip a bit of it."""
    path = store.settings.store / digest_of(content).hex[:2] / digest_of(content).hex
    path.unlink()
    path.write_bytes(bytes([content[0] ^ 1]) + content[1:])


def some(store: Store, seconds: float = 1e9) -> Tally:
    """What one round of it did."""
    tally = Tally()
    verify.verify_due(store, Pace(1 << 40, seconds), tally)
    return tally


def test_what_was_not_read_for_long_is_due(store: Store, me: Caller) -> None:
    """If this failed, bit rot would be found by nobody; or everything be read all the time."""
    for content in (ONE, OTHER, THIRD):
        send(store, me, content)
        unread(store, content, 30)
    unread(store, OTHER, 29, since="verified_at")
    unread(store, THIRD, 10, since="verified_at")
    assert some(store) == Tally(2, 3000, 0)
    assert some(store) == Tally(0, 0, 0)
    assert some(changed(store, verify_days=13)) == Tally(1, 3000, 0)


@pytest.mark.parametrize("days", [1, 30])
def test_it_is_read_before_the_period_is_over(store: Store, me: Caller, days: int) -> None:
    """If this failed, what comes due at once, as after a large import, would be read too late."""
    send(store, me, ONE)
    unread(store, ONE, days * 0.74)
    assert some(changed(store, verify_days=days)).handled == 0
    unread(store, ONE, days * 0.76)
    assert some(changed(store, verify_days=days)).handled == 1


def test_the_longest_unread_come_first(store: Store, me: Caller) -> None:
    """If this failed, of more than can be read in time some would never be read, those with the highest digests."""
    for content, days in ((ONE, 31), (OTHER, 33), (THIRD, 32)):
        send(store, me, content)
        unread(store, content, days)
    assert [some(store, seconds=0).handled_bytes for _ in range(4)] == [2000, 3000, 1000, 0]


def test_damage_is_told_and_not_served(store: Store, me: Caller, caplog: pytest.LogCaptureFixture) -> None:
    """If this failed, wrong bytes would be served under a hash until somebody runs a command."""
    for content in (ONE, OTHER):
        send(store, me, content, name="x")
        unread(store, content, 30)
    rot(store, ONE)
    with caplog.at_level(logging.ERROR):
        assert some(store) == Tally(2, 3000, 1)
    (record,) = caplog.records
    assert (record.levelno, digest_of(ONE).hex in record.getMessage()) == (logging.ERROR, True)
    with pytest.raises(ContentDamaged):
        fetch(store, me, ONE)
    assert fetch(store, me, OTHER) == OTHER
    assert [digest for digest, _ in verify.damaged(store)] == [digest_of(ONE)]
    assert verify.count_damaged(store) == 1
    send(store, me, ONE, name="x")
    assert verify.count_damaged(store) == 0


def test_what_nobody_has_is_not_counted_as_damaged(store: Store, me: Caller) -> None:
    """If this failed, an operator would look for the owner of bytes that wait for their sweep."""
    send(store, me, ONE)
    rot(store, ONE)
    assert len(list(verify.verify(store))) == 1
    ask(store, "UPDATE users SET used_bytes = 0, logical_bytes = 0, file_count = 0, content_count = 0")
    ask(store, "DELETE FROM files")
    ask(store, "DELETE FROM claims")
    ask(store, "UPDATE blobs SET refs = 0, unreferenced_at = now()")
    assert (verify.count_damaged(store), verify.damaged(store)) == (0, [])


def test_it_keeps_its_pace(store: Store, me: Caller, clock: list[float]) -> None:
    """If this failed, downloads would wait for a disk that is being read as fast as it goes."""
    send(store, me, sample(3 * MIB))
    unread(store, sample(3 * MIB), 30)
    began = clock[0]
    verify.verify_due(store, Pace(MIB, 1000), Tally())
    assert clock[0] - began == 3
    for number in range(8):
        send(store, me, b"%d" % number)
        unread(store, b"%d" % number, 30)
    verify.verify_due(store, Pace(MIB, 1000), Tally())
    assert clock[0] - began == pytest.approx(5), "a file costs a seek and a commit, however small"


def test_what_the_disk_was_too_slow_for_is_not_made_up_for(clock: list[float]) -> None:
    """If this failed, a pause would be followed by reading at full speed."""
    paced = Pace(MIB, 1000)
    clock[0] += 100
    paced(2 * MIB)
    assert clock[0] == 1102


def test_it_ends_with_the_interval(store: Store, me: Caller, clock: list[float]) -> None:
    """If this failed, reap and sweep would wait for as long as it takes to read a store."""
    for number in range(5):
        content = sample(MIB, str(number))
        send(store, me, content)
        unread(store, content, 30)
    tally = Tally()
    verify.verify_due(store, Pace(MIB, 3.5), tally)
    assert (tally.handled, clock[0]) == (3, 1003)


@pytest.mark.parametrize(("interval", "spent", "left"), [(600, 20, 580), (600, 700, 60), (0, 700, float("inf"))])
def test_it_has_what_is_left_of_the_interval(
    store: Store, monkeypatch: pytest.MonkeyPatch, interval: int, spent: float, left: float
) -> None:
    """If this failed, rounds would overlap, or a slow sweep would leave no time to ever read anything."""
    given: list[tuple[int, float]] = []
    monkeypatch.setattr(upkeep, "Pace", lambda *args: given.append(args) or Pace(*args))
    upkeep._verify(changed(store, upkeep_interval_seconds=interval, verify_bytes_per_second=5), spent)
    assert given == [(5, left)]


def test_a_round_verifies_last(store: Store, me: Caller) -> None:
    """If this failed, an operator would not see what was read, or damage would be told of as nothing."""
    send(store, me, ONE)
    unread(store, ONE, 30)
    rot(store, ONE)
    assert upkeep.run(store).endswith(", verified 1 blobs (1000 bytes): 1 damaged")
    last = rounds.last(store)["verify"]
    assert (last.handled, last.handled_bytes, last.findings, last.problem) == (1, 1000, 1, None)
    send(store, me, ONE)


def test_it_can_be_switched_off(store: Store, me: Caller) -> None:
    """If this failed, who verifies elsewhere would have his disks read twice."""
    send(store, me, ONE)
    unread(store, ONE, 30)
    assert "verified" not in upkeep.run(changed(store, verify_days=0))
    assert "verify" not in rounds.last(store)


def test_one_reading_condemns_nothing(store: Store, me: Caller) -> None:
    """If this failed, one error on the way to memory would take a file from its owner until he sends it again."""
    send(store, me, ONE)
    faults = Faults(store.storage)
    faults.before("read", fails(EIO), turn=1)
    assert list(verify.verify(changed(store, faults))) == []
    assert fetch(store, me, ONE) == ONE


def test_a_disk_that_cannot_be_read_condemns_nothing(store: Store, me: Caller) -> None:
    """If this failed, a disk that fails for a minute would cost every file that was looked at meanwhile, for good."""
    send(store, me, ONE)
    faults = Faults(store.storage)
    faults.before("read", fails(EIO))
    faults.before("probe", fails(StorageUnavailable("the server's disk refused (EIO)")))
    with pytest.raises(StorageUnavailable):
        list(verify.verify(changed(store, faults)))
    assert rules(store) == []
    faults.clear()
    faults.before("read", fails(EIO))
    assert len(list(verify.verify(changed(store, faults)))) == 1, "the disk works, but for these bytes"
    send(store, me, ONE)


@pytest.mark.parametrize("verb", ["scan", "read"])
def test_a_lack_of_descriptors_condemns_nothing(store: Store, me: Caller, verb: str) -> None:
    """If this failed, whole files would be called damaged because this process lacked something."""
    send(store, me, ONE)
    faults = Faults(store.storage)
    faults.before(verb, fails(Busy("lacking") if verb == "scan" else OSError(errno.ENOMEM, "Cannot allocate memory")))
    with pytest.raises(Busy):
        list(verify.verify(changed(store, faults)))
    assert rules(store) == []


@pytest.mark.parametrize(
    ("statement", "index", "condition"),
    [("_DUE", "blobs_verified", "Index Cond: (COALESCE("), ("_COUNT_DAMAGED", "blobs_damaged", "blobs_damaged")],
)
def test_looking_costs_nothing(store: Store, statement: str, index: str, condition: str) -> None:
    """If this failed, each round and each look at the numbers would read the table of all blobs."""
    ask(
        store,
        "INSERT INTO blobs (digest, size_bytes, refs, location, published_at, content_type)"
        " SELECT lpad(to_hex(n), 64, '0'), 1, 0, 'x', now(), '' FROM generate_series(1, 2000) n",
    )
    try:
        with store.database.transaction() as session:
            session.connection().exec_driver_sql("ANALYZE blobs")
        sql = getattr(verify, statement).text.replace(":age", "'20 days'").replace(":limit", "100")
        plan = "\n".join(row[0] for row in ask(store, f"EXPLAIN {sql}"))
        assert index in plan
        assert condition in plan
    finally:
        ask(store, "DELETE FROM blobs")
