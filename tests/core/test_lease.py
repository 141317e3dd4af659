"""Leases: one holder among all workers and nodes."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

from blobstore.core import lease
from blobstore.core.store import Store
from tests.children import query

HOUR = timedelta(hours=1)


def test_of_many_one_gets_it(store: Store) -> None:
    """Upkeep would run in every worker of every node."""
    with ThreadPoolExecutor(8) as pool:
        taken = list(pool.map(lambda number: lease.take(store, "upkeep", f"node/{number}", HOUR), range(8)))
    assert taken.count(True) == 1


def test_the_holder_renews_it(store: Store, database_url: str) -> None:
    """The work would wander from worker to worker, and two could run it at once."""
    assert lease.take(store, "upkeep", "a", HOUR)
    before = query(database_url, "SELECT expires_at FROM leases")
    assert lease.take(store, "upkeep", "a", 2 * HOUR)
    assert query(database_url, "SELECT expires_at FROM leases") > before
    assert not lease.take(store, "upkeep", "b", HOUR)


def test_a_dead_holders_lease_ends(store: Store) -> None:
    """After a crash nobody would ever do the work again."""
    assert lease.take(store, "upkeep", "dead", timedelta(0))
    assert lease.take(store, "upkeep", "b", HOUR)
    assert not lease.take(store, "upkeep", "dead", HOUR)


def test_leases_have_names(store: Store) -> None:
    """One kind of work would keep another one waiting."""
    assert lease.take(store, "upkeep", "a", HOUR)
    assert lease.take(store, "other", "b", HOUR)
