"""What is added up before it is noted: downloads of private files, and failed logins."""

from __future__ import annotations

from pathlib import Path

import pytest

from blobstore.core import accounts, download, events
from blobstore.core.accounts import Account
from blobstore.core.actor import Actor
from blobstore.core.credentials import Credentials
from blobstore.core.events import Filters, StoredEvent
from blobstore.core.gate import Caller
from blobstore.core.store import Store, open_store
from blobstore.core.tally import Tally
from blobstore.environment import load
from blobstore.errors import DatabaseUnavailable, TooManyAttempts, Unauthenticated
from tests.conftest import PASSWORD
from tests.core.acts import caller as of
from tests.core.acts import person, send

ME, LINK = Actor("me", "192.0.2.1", "r1"), Actor(None, "192.0.2.2", "r2")


def noted(store: Store) -> list[StoredEvent]:
    """Downloads and failed logins, the oldest first."""
    found = events.page(store, Filters(), limit=1000, cursor=None).items
    return [each for each in found if each.action in ("download", "login_failed")][::-1]


def private(store: Store, caller: Caller, content: bytes) -> download.Found:
    return download.find(store, caller, send(store, caller, content, visibility="private").file.digest)


def test_downloads_are_added_up(store: Store) -> None:
    """If this failed, a reader of private files would leave no trace, or a player's thousand ranges fill the log."""
    me, tally = person(store), Tally()
    one, other = private(store, me, b"one"), private(store, me, b"other")
    for found, by, length in ((one, ME, 3), (one, ME, 2), (one, LINK, 3), (other, ME, 5)):
        tally.download(found, by, length)
    tally.flush(store)
    tally.flush(store)
    assert [(each.user, each.file_id, each.address, each.details) for each in noted(store)] == [
        ("me", one.file_id, "192.0.2.1", {"times": 2, "bytes": 5}),
        (None, one.file_id, "192.0.2.2", {"times": 1, "bytes": 3}),
        ("me", other.file_id, "192.0.2.1", {"times": 1, "bytes": 5}),
    ]
    assert {each.owner_id for each in noted(store)} == {me.user_id}


def test_downloads_may_be_left_out(store: Store) -> None:
    """If this failed, a busy service could not do without a row for each reader."""
    tally = Tally(traffic=False)
    tally.download(private(store, person(store), b"one"), ME, 3)
    tally.failed_login("me", 1, "192.0.2.1")
    tally.flush(store)
    assert [each.action for each in noted(store)] == ["login_failed"]


def test_nothing_is_lost_while_the_database_is_away(store: Store, tmp_path: Path) -> None:
    """If this failed, an outage of a minute would hide who read private files in it."""
    away = open_store(load({"DATABASE_URL": "postgresql://a:b@127.0.0.1:1/c", "BLOBSTORE_DATA": str(tmp_path)}, None))
    tally, found = Tally(), private(store, person(store), b"one")
    tally.download(found, ME, 3)
    for _ in range(2):
        with pytest.raises(DatabaseUnavailable):
            tally.flush(away)
    tally.download(found, Actor("me", "192.0.2.1", "r7"), 3)
    tally.flush(store)
    (only,) = noted(store)
    assert (only.details, only.request_id) == ({"times": 2, "bytes": 6}, "r7")


def test_a_failed_login_is_noted_where_its_owner_sees_it(store: Store, user: Account) -> None:
    """If this failed, a user would not see that somebody tries his password."""
    tally = Tally()
    credentials = Credentials(store, tally)
    for password in ("wrong", "wrong", "other wrong"):
        with pytest.raises(Unauthenticated):
            credentials.by_password("ME", password, "192.0.2.1")
    credentials.by_password("me", PASSWORD, "192.0.2.1")
    tally.flush(store)
    (only,) = noted(store)
    assert (only.user, only.address, only.details) == ("me", "192.0.2.1", {"times": 3})
    assert [each.action for each in events.activity(store, of(user), limit=1, cursor=None).items] == ["login_failed"]


def test_a_name_that_nobody_has_is_not_kept(store: Store) -> None:
    """If this failed, a password that was typed into the field of the name would be there for every admin to read."""
    tally = Tally()
    with pytest.raises(Unauthenticated):
        Credentials(store, tally).by_password("correct horse battery", "staple", "192.0.2.1")
    tally.flush(store)
    (only,) = noted(store)
    assert (only.user, only.owner_id, only.target) == (None, None, None)
    assert "horse" not in repr(only)


def test_a_flood_of_wrong_passwords_is_a_few_rows(store: Store) -> None:
    """If this failed, whoever sends wrong passwords would fill the table as fast as he can send."""
    accounts.add(store, "ann", PASSWORD)
    tally = Tally()
    credentials = Credentials(store, tally)
    for number in range(30):
        with pytest.raises((Unauthenticated, TooManyAttempts)):
            credentials.by_password("ann", f"wrong{number % 12}", "192.0.2.1")
        tally.flush(store)
    assert sum(each.details["times"] for each in noted(store)) == store.settings.login_failures
