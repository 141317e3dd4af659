"""Users who are removed with all that is theirs."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256

import psycopg2
import pytest

from blobstore.core import accounts, keys, removal
from blobstore.core.accounts import Account
from blobstore.core.credentials import Credentials
from blobstore.core.gate import Scope
from blobstore.core.store import Store
from blobstore.errors import Unauthenticated
from tests.children import query, until
from tests.conftest import PASSWORD, libpq
from tests.core.acts import put


def files_of(store: Store) -> dict[str, int]:
    """Every user's number of files."""
    return {account.name: account.file_count for account in accounts.accounts(store)}


def test_a_removed_user_harms_nobody_else(store: Store, user: Account) -> None:
    """Another owner of the same content would lose it, or the name could never be used again."""
    other = accounts.add(store, "other", PASSWORD)
    shared = put(store, user, b"both have this")
    put(store, user, b"only mine")
    put(store, other, b"both have this")
    _, key = keys.issue(store, user.id, "k", [Scope.READ])
    assert removal.remove_account(store, "me") == 2
    assert files_of(store) == {"other": 1}
    assert put(store, other, b"both have this") == shared
    with pytest.raises(Unauthenticated):
        Credentials(store).by_key(key)
    accounts.add(store, "me", PASSWORD)


def test_more_files_than_one_batch_go(store: Store, user: Account, monkeypatch: pytest.MonkeyPatch) -> None:
    """A user with many files could not be removed."""
    monkeypatch.setattr(removal, "DELETE_BATCH", 2)
    for number in range(5):
        put(store, user, b"%d" % number)
    assert removal.remove_account(store, "me") == 5


def test_a_removal_waits_for_an_upload_that_was_under_way(store: Store, user: Account, database_url: str) -> None:
    """The removal would end in an error of the database, with the user half gone."""
    digest = sha256(b"late").hexdigest()
    put(store, user, b"early")
    with psycopg2.connect(libpq(database_url)) as early, psycopg2.connect(libpq(database_url)) as late:
        early.cursor().execute("SELECT FROM blobs FOR UPDATE")
        with ThreadPoolExecutor(1) as pool:
            removed = pool.submit(removal.remove_account, store, "me")
            until(lambda: waiting(database_url, "blobs"))
            with late.cursor() as cursor:
                cursor.execute("INSERT INTO blobs VALUES (%s, 4, 1, NULL, NULL, NULL, NULL, NULL, 'x/y')", [digest])
                cursor.execute("INSERT INTO claims VALUES (%s, %s, 1)", [user.id, digest])
            early.rollback()
            until(lambda: waiting(database_url, "DELETE FROM users"))
            with late.cursor() as cursor:
                cursor.execute(
                    "INSERT INTO files (id, owner_id, digest, name, folder, visibility) "
                    "VALUES (%s, %s, %s, %s, %s, %s)",
                    ["late", user.id, digest, "late", "/", "public"],
                )
                cursor.execute("UPDATE users SET used_bytes = 4, logical_bytes = 4, file_count = 1, content_count = 1")
            late.commit()
            assert removed.result(60) == 2
    early.close()
    late.close()
    assert accounts.accounts(store) == []


def waiting(url: str, words: str) -> bool:
    """Whether a statement with these words waits for a lock."""
    running = f"wait_event_type = 'Lock' AND pid <> pg_backend_pid() AND query LIKE '%{words}%'"
    return bool(query(url, f"SELECT 1 FROM pg_stat_activity WHERE {running}"))
