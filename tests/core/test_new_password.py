"""New passwords, and new hashes."""

from __future__ import annotations

import pytest

from blobstore.core import new_password
from blobstore.core.accounts import Account
from blobstore.core.credentials import Credentials
from blobstore.core.store import Store
from blobstore.errors import Unauthenticated
from tests.children import query
from tests.conftest import NEW_PASSWORD, PASSWORD


def test_a_new_password_voids_the_old_one(store: Store, user: Account) -> None:
    """A stolen password would go on working, here or on another worker."""
    workers = [Credentials(store), Credentials(store)]
    for worker in workers:
        worker.by_password("me", PASSWORD, "a")
    new_password.set_password(store, "ME", NEW_PASSWORD)
    for worker in workers:
        with pytest.raises(Unauthenticated):
            worker.by_password("me", PASSWORD, "a")
        assert worker.by_password("me", NEW_PASSWORD, "a").name == "me"


def test_a_new_password_raises_the_epoch(store: Store, user: Account, database_url: str) -> None:
    """Links that were signed before would stay good."""
    new_password.set_password(store, "me", NEW_PASSWORD)
    assert query(database_url, "SELECT epoch FROM users") == [(1,)]


def test_an_outdated_hash_is_replaced_at_a_login(store: Store, user: Account, database_url: str) -> None:
    """Old and cheap hashes would stay for ever."""
    from argon2 import PasswordHasher

    weak = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1).hash(PASSWORD)
    query(database_url, f"UPDATE users SET password_hash = '{weak}'")
    assert Credentials(store).by_password("me", PASSWORD, "a").name == "me"
    ((kept,),) = query(database_url, "SELECT password_hash FROM users")
    assert "m=19456,t=2,p=1" in str(kept)
    assert Credentials(store).by_password("me", PASSWORD, "a").name == "me"


def test_a_new_hash_never_undoes_a_new_password(store: Store, user: Account, database_url: str) -> None:
    """A login beside a change of the password would bring the old one back."""
    weak = "$argon2id$v=19$m=8,t=1,p=1$c29tZXNhbHQ$jvkzy3cK5l7M0hI7kRRUjg"
    new_password.rehash(store, user.id, weak, f"{PASSWORD} of old")
    assert Credentials(store).by_password("me", PASSWORD, "a").name == "me"
