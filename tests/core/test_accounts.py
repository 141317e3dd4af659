"""Accounts: who may be made, and who is found."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from blobstore.core import accounts, admin, new_password, removal
from blobstore.core.credentials import Credentials
from blobstore.core.store import Store
from blobstore.errors import AlreadyExists, BadOption, BadUserName, NotFound
from tests.conftest import PASSWORD


def test_a_new_user_may_log_in(store: Store) -> None:
    """Nobody could be let in."""
    made = accounts.add(store, "Ann.Lee", PASSWORD, email="Ann@Files.Example", quota_bytes=10)
    assert (made.name, made.email, made.role) == ("ann.lee", "ann@files.example", "user")
    assert (made.quota_bytes, made.used_bytes, made.disabled) == (10, 0, False)
    credentials = Credentials(store)
    for name in ("ann.lee", "ANN.LEE", "ann@files.example", "ANN@files.example"):
        assert credentials.by_password(name, PASSWORD, "a").user_id == made.id


@pytest.mark.parametrize(("name", "email"), [("ANN", None), ("bob", "Ann@files.example")])
def test_a_name_and_an_address_belong_to_one(store: Store, name: str, email: str | None) -> None:
    """One user could log in as another."""
    accounts.add(store, "ann", PASSWORD, email="ann@files.example")
    with pytest.raises(AlreadyExists):
        accounts.add(store, name, PASSWORD, email=email)


def test_of_many_at_once_one_gets_the_name(store: Store) -> None:
    """Two people would share an account, or one would see an error of ours."""

    def attempt(_: int) -> int:
        try:
            accounts.add(store, "ann", PASSWORD)
        except AlreadyExists:
            return 0
        return 1

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(attempt, range(8))) == 1


def test_a_name_that_is_a_path_of_ours_is_refused(store: Store) -> None:
    """A user could take the place of a route, or not be reachable by a URL."""
    for name in ("admin", "upload", "a" * 65, "0" * 64, "a b", ".a", "a/b", "", "ä", "a\0"):
        with pytest.raises(BadUserName):
            accounts.add(store, name, PASSWORD)


def test_a_password_that_cannot_be_used_is_refused(store: Store) -> None:
    """The user would be made and could not log in, or could be guessed."""
    for password in ("short", "", "bs_looks-like-a-key", "with a \0 in it", "a" * 1025, "ä" * 513):
        with pytest.raises(BadOption):
            accounts.add(store, "ann", password)
    assert accounts.accounts(store) == []


def test_the_longest_password_works(store: Store) -> None:
    """The bound of making and that of asking would differ."""
    accounts.add(store, "ann", "ä" * 512)
    assert Credentials(store).by_password("ann", "ä" * 512, "a").name == "ann"


def test_an_address_that_is_none_is_refused(store: Store) -> None:
    """A name of another user could be taken as an address."""
    for email in (
        "ann",
        "@files.example",
        "ann@",
        "ann@local",
        "a b@files.example",
        "a" * 251 + "@b.c",
        "a@b.c\r\nBcc: d@e.f",
    ):
        with pytest.raises(BadOption):
            accounts.add(store, "ann", PASSWORD, email=email)


def test_a_user_is_found_by_what_people_type(store: Store) -> None:
    """An admin who types an address as its owner writes it would find nobody, and make a second account."""
    accounts.add(store, "ann", PASSWORD, email="ann@b\u00fccher.example")
    for typed in ("ANN", "Ann@B\u00dcCHER.example", "ann@xn--bcher-kva.EXAMPLE", "xn--BCHER", ""):
        assert [account.name for account in accounts.page(store, typed, limit=10, after="").items] == ["ann"], typed
    assert accounts.page(store, "\u212aate", limit=10, after="").items == []


def test_nobody_is_not_found(store: Store) -> None:
    """A mistyped name would look as if it had worked."""
    for act in (
        lambda: accounts.get(store, "nobody"),
        lambda: new_password.set_password(store, "nobody", PASSWORD),
        lambda: admin.set_quota(store, "nobody", 1),
        lambda: removal.remove_account(store, "nobody"),
    ):
        with pytest.raises(NotFound):
            act()


def test_who_looks_at_a_user_waits_for_nobody(store: Store) -> None:
    """A page of a user would hang while one of his uploads charges his quota."""
    accounts.add(store, "ann", PASSWORD)
    with store.database.transaction() as session:
        accounts.locked(session, "ann")
        assert accounts.get(store, "ann").name == "ann"
