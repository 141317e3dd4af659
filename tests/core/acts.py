"""What people do, in one call each, for the tests of the use cases."""

from __future__ import annotations

import os
from datetime import timedelta
from typing import Any

from sqlalchemy import text

from blobstore.core import delete, download, upkeep, upload
from blobstore.core.accounts import Account
from blobstore.core.check import check
from blobstore.core.files import Changes
from blobstore.core.gate import ALL_SCOPES, Caller
from blobstore.core.store import Store
from blobstore.core.upload import Outcome
from blobstore.digest import Digest
from blobstore.storage.disk import IDENTITY
from tests.storage.contract import digest_of

NOW = timedelta(0)
A_DAY = timedelta(days=1)


def person(store: Store, name: str = "me", quota_bytes: int | None = None) -> Caller:
    """A new user, without a password that would have to be hashed."""
    insert = "INSERT INTO users (name, password_hash, quota_bytes) VALUES (:name, '', :quota) RETURNING id"
    user_id = ask(store, insert, name=name, quota=quota_bytes)[0][0]
    return Caller(user_id, name, "user", ALL_SCOPES, quota_bytes, 0, by_password=True)


def caller(account: Account) -> Caller:
    """The account with all scopes."""
    return Caller(account.id, account.name, account.role, ALL_SCOPES, account.quota_bytes, 0, by_password=True)


def put(store: Store, account: Account, content: bytes) -> Digest:
    """Upload a file of the account."""
    return upload.upload(store, caller(account), [content], {}).file.digest


def ask(store: Store, statement: str, **values: Any) -> list[tuple[Any, ...]]:
    """The rows of one statement, which is committed."""
    with store.database.transaction() as session:
        result = session.execute(text(statement), values)
        return [tuple(row) for row in result] if result.returns_rows else []  # type: ignore[attr-defined]


def send(store: Store, caller: Caller, content: bytes, **given: Any) -> Outcome:
    return upload.upload(store, caller, [content], Changes(**given))  # type: ignore[typeddict-item]


def fetch(store: Store, caller: Caller | None, content: bytes) -> bytes:
    """What is served under the digest of `content`."""
    found = download.find(store, caller, digest_of(content))
    pieces = download.read(store, found, 0, found.size_bytes)
    try:
        return b"".join(pieces)
    finally:
        pieces.close()


def drop(store: Store, caller: Caller, content: bytes) -> delete.Deleted:
    return delete.delete_content(store, caller, digest_of(content))


def rules(store: Store) -> list[str]:
    """The rules that the oracle finds violated."""
    return [finding.rule for finding in check(store, deep=True)]


def numbers(store: Store, caller: Caller) -> tuple[int, int, int, int]:
    """Used bytes, logical bytes, files, contents."""
    look = "SELECT used_bytes, logical_bytes, file_count, content_count FROM users WHERE id = :id"
    used, logical, count, contents = ask(store, look, id=caller.user_id)[0]
    return used, logical, count, contents


def tidy(store: Store) -> None:
    """All upkeep without any grace."""
    upkeep.reap(store, NOW)
    for _ in range(2):
        upkeep.sweep(store, NOW)
        upkeep.adopt(store, NOW)


def nothing_is_left(store: Store) -> None:
    """Neither rows nor bytes, after upkeep."""
    tidy(store)
    for table in ("files", "claims", "blobs"):
        assert ask(store, f"SELECT count(*) FROM {table}") == [(0,)], table
    assert ask(store, "SELECT name FROM users WHERE used_bytes + logical_bytes + file_count + content_count > 0") == []
    assert bytes_on_disk(store) == []


def bytes_on_disk(store: Store) -> list[str]:
    """The names of all files of the store but its own, left-overs too."""
    root = str(store.settings.store)
    found = (name for folder, _, names in os.walk(root) if not folder.endswith("/locks") for name in names)
    return sorted(name for name in found if name != IDENTITY)
