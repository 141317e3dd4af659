"""Requests a minute: counted in one place for all workers, not at all without a limit, and never in the way."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from sqlalchemy import event

from blobstore.core import allowances
from blobstore.core.allowances import Allowance, Allowances
from blobstore.core.gate import Caller
from blobstore.core.store import Store
from blobstore.environment import load
from blobstore.errors import TooManyRequests
from blobstore.settings import Settings
from tests.children import query
from tests.core.acts import person

HERE = "192.0.2.1"


@pytest.fixture
def settings(settings: Settings) -> Settings:
    """Three requests a minute for a user, two for an address."""
    given = {"BLOBSTORE_REQUESTS_PER_MINUTE": "3", "BLOBSTORE_REQUESTS_PER_MINUTE_PER_ADDRESS": "2"}
    return load({"DATABASE_URL": settings.external_database or "", "BLOBSTORE_DATA": str(settings.data), **given}, None)


def _refused(allowance: Allowance) -> int:
    with pytest.raises(TooManyRequests) as raised:
        allowance.check()
    assert (raised.value.retry_after_seconds, allowance.left) == (allowance.ends_in_seconds, 0)
    return -1


@pytest.fixture
def later(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Add seconds to it, and the worker's clock is that much later."""
    shifts: list[float] = []
    now = time.monotonic
    monkeypatch.setattr(time, "monotonic", lambda: now() + sum(shifts))
    return shifts


@contextmanager
def statements(store: Store) -> Iterator[list[str]]:
    """The connections that are taken from the pool meanwhile: each is a statement."""
    taken: list[str] = []

    def note(*_: object) -> None:
        taken.append("taken")

    event.listen(store.database.engine, "checkout", note)
    yield taken
    event.remove(store.database.engine, "checkout", note)


def spent(worker: Allowances, caller: Caller | None, times: int, address: str = HERE) -> list[int]:
    """What is left after each of so many requests; -1 for one that is refused."""
    found = []
    for _ in range(times):
        allowance = worker.spend(caller, address)
        assert allowance is not None
        assert 0 < allowance.ends_in_seconds <= 60
        found.append(allowance.left if allowance.hits <= allowance.limit else _refused(allowance))
    return found


def test_users_and_addresses_have_their_own(store: Store) -> None:
    """One user, or one address without a login, would use up what others may ask."""
    worker = Allowances(store)
    me, you = person(store, "me"), person(store, "you")
    assert spent(worker, me, 5) == [2, 1, 0, -1, -1]
    assert spent(worker, you, 1) == [2]
    assert spent(worker, None, 3) == [1, 0, -1]
    assert spent(worker, None, 1, "192.0.2.2") == [1]
    assert spent(Allowances(store), me, 1) == [-1], "another worker"


def test_one_statement_counts(store: Store) -> None:
    """Each request would cost three round trips more."""
    worker = Allowances(store)
    with statements(store) as taken:
        spent(worker, None, 2)
    assert len(taken) == 2


@pytest.mark.parametrize("name", ["BLOBSTORE_REQUESTS_PER_MINUTE", "BLOBSTORE_REQUESTS_PER_MINUTE_PER_ADDRESS"])
def test_without_a_limit_nothing_is_counted(store: Store, name: str) -> None:
    """Who sets no limit, or one of the two, would pay for it with a statement a request."""
    me = person(store)
    for given in ({}, {name: "5"}):
        bare = Store(load(given, None), store.database, store.storage)
        worker = Allowances(bare)
        assert worker.on is bool(given)
        with statements(store) as taken:
            for caller in (me, None):
                limited = bool(given) and name.endswith("ADDRESS") is (caller is None)
                assert (worker.spend(caller, HERE) is None) is not limited
        assert len(taken) == len(given)


def test_a_window_begins_with_its_first_request_and_ends(store: Store, database_url: str, later: list[float]) -> None:
    """Who goes on asking would be refused for ever; or a full minute's requests pass before it is over."""
    worker = Allowances(store)
    spent(worker, None, 1)
    query(database_url, "UPDATE rate_limits SET expires_at = expires_at - interval '30 seconds'")
    assert spent(worker, None, 3) == [0, -1, -1]
    allowance = worker.spend(None, HERE)
    assert allowance is not None
    assert 25 <= allowance.ends_in_seconds <= 30
    query(database_url, "UPDATE rate_limits SET expires_at = clock_timestamp()")
    later.append(31)
    assert spent(worker, None, 3) == [1, 0, -1]


def test_who_is_refused_costs_no_more_statements(store: Store, later: list[float]) -> None:
    """A flood would go on to load the database, and wait for one row, although it is refused."""
    worker = Allowances(store)
    spent(worker, None, 3)
    with statements(store) as taken:
        assert spent(worker, None, 100) == [-1] * 100
    assert taken == []
    later.append(61)
    with statements(store) as taken:
        spent(worker, None, 1)
    assert len(taken) == 1


def test_what_a_worker_remembers_has_an_end(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """A flood from many addresses would fill the memory."""
    monkeypatch.setattr(allowances, "REMEMBERED", 5)
    worker = Allowances(store)
    for number in range(12):
        assert spent(worker, None, 3, f"192.0.2.{number}") == [1, 0, -1]
        assert len(worker._spent) <= 5


def test_requests_go_on_when_nobody_counts(
    store: Store, database_url: str, caplog: pytest.LogCaptureFixture, later: list[float]
) -> None:
    """Downloads would end with a table that is locked or gone, or each wait for it; or nobody see it, or for ever."""
    worker = Allowances(store)
    query(database_url, "ALTER TABLE rate_limits RENAME TO gone")
    try:
        with caplog.at_level(logging.WARNING):
            assert worker.spend(None, HERE) is None
        assert "not counted" in caplog.text
    finally:
        query(database_url, "ALTER TABLE gone RENAME TO rate_limits")
    with statements(store) as taken:
        assert [worker.spend(None, HERE) for _ in range(3)] == [None] * 3
    assert taken == []
    later.append(11)
    assert spent(worker, None, 1) == [1]
