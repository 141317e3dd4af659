"""A store that cannot be written to: what is refused, what goes on, and how it ends by itself."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import replace

import pytest

from blobstore.core import degraded, receive, upload
from blobstore.core.gate import Caller
from blobstore.core.store import Store
from blobstore.errors import BlobRefused, Busy, IncompleteBody, StorageFull, StorageUnavailable
from blobstore.storage.disk import Disk
from tests.core.acts import drop, fetch, numbers, person, rules, send, tidy
from tests.storage.contract import digest_of, sample
from tests.storage.faults import Faults, fails

ONE, OTHER = sample(1000, "one"), sample(2000, "other")
REFUSED = StorageUnavailable("the server's disk refused (EIO)")


@pytest.fixture
def me(store: Store) -> Caller:
    return person(store)


@pytest.fixture
def faults(store: Store) -> Faults:
    """What can be made to fail below `shaky`."""
    return Faults(store.storage)


@pytest.fixture
def shaky(store: Store, faults: Faults) -> Store:
    """The store as another worker sees it."""
    return Store(store.settings, store.database, faults)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The time, in seconds, as its only element."""
    now = [1000.0]
    monkeypatch.setattr(degraded, "monotonic", lambda: now[0])
    return now


def nothing_read() -> Iterator[bytes]:
    """A body that must not be read."""
    yield from ()
    raise AssertionError("the body was read")


def break_once(shaky: Store, faults: Faults, me: Caller, verb: str, error: Exception) -> None:
    """Let one upload fail."""
    faults.before(verb, fails(error), turn=1)
    with pytest.raises(type(error)):
        send(shaky, me, OTHER)


@pytest.mark.parametrize("verb", ["stage", "write", "publish"])
@pytest.mark.parametrize("error", [REFUSED, StorageFull("no space")], ids=lambda error: error.code)
def test_a_write_that_failed_ends_uploads_and_nothing_else(
    store: Store, shaky: Store, faults: Faults, me: Caller, verb: str, error: StorageFull | StorageUnavailable
) -> None:
    """If this failed, each client would send all of its bytes for nothing; or a full disk could not be emptied."""
    send(shaky, me, ONE)
    break_once(shaky, faults, me, verb, error)
    staged = faults.calls["stage"]
    for refused in (
        lambda: upload.upload(shaky, me, nothing_read(), {}),
        lambda: receive.check_room(shaky, me, receive.Announced.exactly(1)),
    ):
        with pytest.raises(type(error), match=error.detail[:8]):
            refused()
    assert faults.calls["stage"] == staged
    assert fetch(shaky, me, ONE) == ONE
    drop(shaky, me, ONE)
    tidy(shaky)
    assert send(store, me, OTHER).created, "another worker has to find out by itself"


def test_a_client_that_breaks_off_is_no_trouble(shaky: Store, me: Caller) -> None:
    """If this failed, any client could end the uploads of all others."""

    def cut() -> Iterator[bytes]:
        yield ONE
        raise IncompleteBody("cut")

    with pytest.raises(IncompleteBody):
        upload.upload(shaky, me, cut(), {})
    assert send(shaky, me, ONE).created


def test_a_probe_ends_it(shaky: Store, faults: Faults, me: Caller, clock: list[float]) -> None:
    """If this failed, a disk that was full for a second would need a restart of every worker."""
    break_once(shaky, faults, me, "publish", REFUSED)
    degraded.recover(shaky)
    assert faults.calls["probe"] == 0, "it was just refused"
    clock[0] += degraded.FIRST_PAUSE_SECONDS
    degraded.recover(shaky)
    assert send(shaky, me, ONE).created
    clock[0] += 1000
    degraded.recover(shaky)
    assert faults.calls["probe"] == 1, "there is nothing to look for any more"


def test_probes_become_rare(shaky: Store, faults: Faults, me: Caller, clock: list[float]) -> None:
    """If this failed, every worker would write to a broken disk all the time, or never again."""
    break_once(shaky, faults, me, "publish", REFUSED)
    faults.before("probe", fails(StorageFull("full meanwhile")))
    pauses, before = [], clock[0]
    for _ in range(4 * 60):
        clock[0] += 0.5
        seen = faults.calls["probe"]
        degraded.recover(shaky)
        if faults.calls["probe"] > seen:
            pauses.append(clock[0] - before)
            before = clock[0]
    assert pauses == [1, 2, 4, 8, 16, 30, 30]
    with pytest.raises(StorageFull, match="full meanwhile"):
        send(shaky, me, ONE)
    faults.clear()
    clock[0] += degraded.MAX_PAUSE_SECONDS
    degraded.recover(shaky)
    break_once(shaky, faults, me, "publish", REFUSED)
    assert shaky.condition.probe_at == clock[0] + degraded.FIRST_PAUSE_SECONDS


def test_a_write_that_fails_beside_a_probe_counts(shaky: Store, faults: Faults, me: Caller, clock: list[float]) -> None:
    """If this failed, a probe that began before a failure would say that all is well after it."""
    break_once(shaky, faults, me, "publish", REFUSED)
    clock[0] += degraded.FIRST_PAUSE_SECONDS

    def fails_meanwhile() -> None:
        with pytest.raises(StorageFull), degraded.watched(shaky):
            raise StorageFull("again")

    faults.after("probe", fails_meanwhile)
    degraded.recover(shaky)
    with pytest.raises(StorageFull):
        send(shaky, me, ONE)


def test_the_disk_that_comes_back_is_looked_at(shaky: Store, store: Store, faults: Faults, me: Caller) -> None:
    """If this failed, uploads would go to whatever stands in the place of a disk that went away under the service."""
    send(shaky, me, ONE)
    break_once(shaky, faults, me, "publish", REFUSED)
    identity = store.settings.store / "identity"
    right = identity.read_text()
    identity.write_text("of another disk\n")
    shaky.condition.probe_at = 0.0
    degraded.recover(shaky)
    with pytest.raises(StorageUnavailable, match="not the storage that the database knows"):
        send(shaky, me, OTHER)
    identity.write_text(right)
    assert send(shaky, me, OTHER).created


@pytest.mark.unaudited
def test_what_is_one_blobs_trouble_is_not_the_stores(store: Store, me: Caller) -> None:
    """If this failed, one folder in the wrong place would end everybody's uploads, again and again, or stay charged."""
    digest = digest_of(ONE).hex
    (store.settings.store / digest[:2] / digest).mkdir()
    for _ in range(2):
        with pytest.raises(BlobRefused):
            send(store, me, ONE)
        assert store.condition.trouble is None
    assert numbers(store, me) == (0, 0, 0, 0)
    assert send(store, me, OTHER).created
    assert rules(store) == ["no file in the place of a blob"]


def test_a_process_without_descriptors_is_not_the_stores_trouble(shaky: Store, faults: Faults, me: Caller) -> None:
    """If this failed, a burst of clients would end the uploads of all others for a second and more."""
    break_once(shaky, faults, me, "publish", Busy("this process has no file descriptor left"))
    assert shaky.condition.trouble is None
    assert send(shaky, me, ONE).created


def test_a_disk_that_fills_up_is_a_line_in_the_log(
    store: Store, me: Caller, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Who watches the log would not learn that nobody can upload any more; or the log would be full of it."""
    send(store, me, ONE)
    for free, told in ((0, 1), (store.settings.free_floor_bytes, 0), (1 << 40, 1), (1 << 40, 0)):
        monkeypatch.setattr(Disk, "free_bytes", lambda _, free=free: free)
        caplog.clear()
        for _ in range(2):
            with pytest.raises(StorageFull) if free < 1 << 40 else nullcontext():
                degraded.refuse(store)
        assert len(caplog.records) == told


def test_no_room_at_all_is_a_full_disk(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a floor a worker would call itself ready for uploads on a disk that takes none."""
    bare = replace(store, settings=store.settings.model_copy(update={"free_floor_bytes": 0}))
    monkeypatch.setattr(Disk, "free_bytes", lambda _: 0)
    with pytest.raises(StorageFull):
        degraded.refuse(bare)
