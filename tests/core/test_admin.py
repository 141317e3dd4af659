"""What an admin changes, and that one stays."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import pytest

from blobstore.core import accounts, admin, keys, removal
from blobstore.core.accounts import Account
from blobstore.core.credentials import Credentials
from blobstore.core.gate import Scope
from blobstore.core.store import Store
from blobstore.environment import load
from blobstore.errors import LastAdmin, Unauthenticated
from tests.conftest import PASSWORD
from tests.core.acts import put


def test_the_first_admin_is_made_once(store: Store) -> None:
    """Nobody could administer, or every start and every node would make another admin."""
    with ThreadPoolExecutor(4) as pool:
        made = [answer for answer in pool.map(lambda _: admin.first_admin(store), range(4)) if answer]
    ((name, password),) = made
    assert name == "root"
    assert Credentials(store).by_password(name, password, "a").role == "admin"
    assert accounts.get(store, name).quota_bytes is None


def test_the_first_admin_by_the_settings(store: Store, database_url: str) -> None:
    """A container could not be set up without reading its log."""
    given = {"DATABASE_URL": database_url, "ADMIN_EMAIL": "ops@files.example", "ADMIN_PASSWORD": "chosen by ops"}
    assert admin.first_admin(Store(load(given, None), store.database, store.storage)) == ("root", "chosen by ops")
    assert Credentials(store).by_password("ops@files.example", "chosen by ops", "a").role == "admin"


def test_the_last_admin_stays(store: Store) -> None:
    """Nobody could administer any more."""
    admin.first_admin(store)
    with pytest.raises(LastAdmin):
        admin.set_disabled(store, "root", disabled=True)
    with pytest.raises(LastAdmin):
        removal.remove_account(store, "root")
    accounts.add(store, "second", PASSWORD, admin=True)
    admin.set_disabled(store, "root", disabled=True)
    with pytest.raises(LastAdmin):
        admin.set_disabled(store, "second", disabled=True)


def test_of_two_admins_who_disable_each_other_one_stays(store: Store) -> None:
    """Two commands at once could leave no admin."""
    for name in ("one", "two"):
        accounts.add(store, name, PASSWORD, admin=True)

    def disable(name: str) -> None:
        with suppress(LastAdmin):
            admin.set_disabled(store, name, disabled=True)

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(disable, ["one", "two"]))
    assert sorted(account.disabled for account in accounts.accounts(store)) == [False, True]


def test_a_disabled_user_is_refused_and_may_come_back(store: Store, user: Account) -> None:
    """Disabling would do nothing until the worker forgets the password, or could not be undone."""
    credentials = Credentials(store)
    _, key = keys.issue(store, user.id, "k", [Scope.READ])
    credentials.by_password("me", PASSWORD, "a")
    admin.set_disabled(store, "me", disabled=True)
    with pytest.raises(Unauthenticated):
        credentials.by_password("me", PASSWORD, "a")
    with pytest.raises(Unauthenticated):
        credentials.by_key(key)
    admin.set_disabled(store, "me", disabled=False)
    assert credentials.by_password("me", PASSWORD, "a").name == credentials.by_key(key).name == "me"


def test_a_quota_may_be_below_what_is_used(store: Store, user: Account) -> None:
    """An admin could not stop somebody from storing more."""
    put(store, user, b"12345")
    admin.set_quota(store, "me", 1)
    assert accounts.get(store, "me").quota_bytes == 1
    admin.set_quota(store, "me", None)
    assert accounts.get(store, "me").quota_bytes is None
