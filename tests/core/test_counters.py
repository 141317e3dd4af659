"""Download counters: each download once, on whose file it counts."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from blobstore.core import accounts, download, upload
from blobstore.core.accounts import Account
from blobstore.core.counters import DownloadCounters
from blobstore.core.files import Changes
from blobstore.core.gate import ALL_SCOPES, Caller
from blobstore.core.store import Store, open_store
from blobstore.environment import load
from blobstore.errors import DatabaseUnavailable
from tests.children import query
from tests.conftest import PASSWORD


def put(store: Store, account: Account, content: bytes, name: str, visibility: str) -> download.Found:
    """Upload a file; what a download of it by its owner finds."""
    caller = Caller(account.id, account.name, "user", ALL_SCOPES, None, 0, by_password=True)
    given: Changes = {"name": name, "visibility": visibility}
    file = upload.upload(store, caller, [content], given).file
    return download.find(store, caller, file.digest)


def counts(url: str) -> dict[object, object]:
    """Downloads by the name of the file."""
    return dict(query(url, "SELECT name, downloads FROM files"))  # type: ignore[arg-type]


def test_a_download_counts_on_every_public_file(store: Store, user: Account, database_url: str) -> None:
    """The number would depend on who uploaded first, or tell a private file's owner of others' downloads."""
    other = accounts.add(store, "other", PASSWORD)
    put(store, user, b"x", "mine", "private")
    put(store, other, b"x", "a", "public")
    found = put(store, other, b"x", "b", "public")
    counters = DownloadCounters()
    for _ in range(3):
        counters.add(found)
    counters.flush(store)
    assert counts(database_url) == {"mine": 0, "a": 3, "b": 3}
    assert query(database_url, "SELECT count(last_downloaded_at) FROM files") == [(2,)]


def test_a_private_download_counts_on_that_file(store: Store, user: Account, database_url: str) -> None:
    """The owner would not see his own downloads."""
    first = put(store, user, b"x", "first", "private")
    put(store, user, b"x", "second", "private")
    counters = DownloadCounters()
    counters.add(first)
    counters.flush(store)
    counters.flush(store)
    assert counts(database_url) == {"first": 1, "second": 0}


def test_workers_add_up(store: Store, user: Account, database_url: str) -> None:
    """Workers that write at the same time would lose counts, or end in a deadlock."""
    found = [put(store, user, b"%d" % number, str(number), "public") for number in range(6)]

    def worker(turn: int) -> None:
        counters = DownloadCounters()
        for _ in range(5):
            for one in found[turn % 6 :] + found[: turn % 6]:
                counters.add(one)
            counters.flush(store)

    with ThreadPoolExecutor(6) as pool:
        list(pool.map(worker, range(6)))
    assert set(counts(database_url).values()) == {30}


def test_nothing_is_lost_while_the_database_is_away(
    store: Store, user: Account, database_url: str, tmp_path: Path
) -> None:
    """An outage of a minute would lose a minute's counts."""
    away = open_store(load({"DATABASE_URL": "postgresql://a:b@127.0.0.1:1/c", "BLOBSTORE_DATA": str(tmp_path)}, None))
    found = put(store, user, b"x", "x", "public")
    counters = DownloadCounters()
    counters.add(found)
    for _ in range(2):
        with pytest.raises(DatabaseUnavailable):
            counters.flush(away)
    counters.add(found)
    counters.flush(store)
    assert counts(database_url) == {"x": 2}
