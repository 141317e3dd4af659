"""API keys: their form, what is kept of them, who may end them."""

from __future__ import annotations

import hashlib
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import psycopg2
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy.exc import IntegrityError

from blobstore.core import accounts, keys
from blobstore.core.accounts import Account
from blobstore.core.credentials import Credentials
from blobstore.core.gate import Scope
from blobstore.core.ids import BASE62
from blobstore.core.store import Store
from blobstore.errors import AlreadyRotated, BadOption, NotFound, Unauthenticated
from tests.children import query, until
from tests.conftest import PASSWORD, libpq

KEY = keys.make()
WAITING = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
AGE = "UPDATE api_keys SET (created_at, expires_at) = (created_at - interval '{0}', expires_at - interval '{0}')"


def test_a_key_has_its_form() -> None:
    """Secret scanners would not find it."""
    assert KEY.startswith("bs_k")
    assert len(KEY) == 4 + 43 + 6
    assert keys.is_well_formed(KEY)
    assert keys.make() != KEY


@given(st.integers(4, len(KEY) - 1), st.sampled_from(BASE62))
def test_every_mistyped_character_is_noticed(place: int, character: str) -> None:
    """A mistyped key would cost a query."""
    mistyped = KEY[:place] + character + KEY[place + 1 :]
    assert keys.is_well_formed(mistyped) == (mistyped == KEY)


@given(st.text())
def test_no_text_is_an_error(text: str) -> None:
    """A strange Authorization would be an error of ours."""
    assert not keys.is_well_formed(text)


def test_only_the_hash_is_kept(store: Store, user: Account, database_url: str) -> None:
    """Who reads the database, or a backup of it, could act as every user."""
    stored, key = keys.issue(store, user.id, "laptop", [Scope.WRITE, Scope.READ, Scope.READ])
    ((row,),) = query(database_url, "SELECT api_keys::text FROM api_keys")
    assert key not in str(row)
    assert key[4:47] not in str(row)
    assert hashlib.sha256(key.encode()).hexdigest() in str(row)
    assert (stored.name, stored.last_four, stored.scopes) == ("laptop", key[-4:], ["read", "write"])
    assert keys.keys(store, user.id) == [stored]


def test_a_key_has_the_scopes_of_its_issue(store: Store, user: Account) -> None:
    """A key for reading could delete."""
    _, key = keys.issue(store, user.id, "k", [Scope.READ, Scope.ADMIN])
    assert Credentials(store).by_key(key).scopes == {Scope.READ}, "a user's key cannot administer"
    boss = accounts.add(store, "boss", PASSWORD, admin=True)
    _, key = keys.issue(store, boss.id, "k", [Scope.ADMIN])
    assert Credentials(store).by_key(key).scopes == {Scope.ADMIN}


def test_a_revoked_key_is_refused_at_once(store: Store, user: Account) -> None:
    """A lost key could still be used, by this worker or another."""
    judges = [Credentials(store), Credentials(store)]
    kept, key = keys.issue(store, user.id, "lost", [Scope.READ])
    for judge in judges:
        judge.by_key(key)
    keys.revoke(store, user.id, kept.id)
    for judge in judges:
        with pytest.raises(Unauthenticated):
            judge.by_key(key)
    assert keys.keys(store, user.id) == []


def test_nobody_ends_another_users_key(store: Store, user: Account) -> None:
    """Any user could lock out another one, or learn which ids there are."""
    other = accounts.add(store, "other", PASSWORD)
    kept, key = keys.issue(store, user.id, "k", [Scope.READ])
    for owner_id, key_id in ((other.id, kept.id), (user.id, "nosuchid")):
        with pytest.raises(NotFound):
            keys.revoke(store, owner_id, key_id)
    assert Credentials(store).by_key(key).name == "me"


def test_an_expired_key_is_refused_by_the_databases_clock(store: Store, user: Account) -> None:
    """A key for a day would work for ever, or as long as a worker's clock is late."""
    now = datetime.now(UTC)
    judge = Credentials(store)
    _, over = keys.issue(store, user.id, "over", [Scope.READ], expires_at=now - timedelta(seconds=1))
    _, good = keys.issue(store, user.id, "good", [Scope.READ], expires_at=now + timedelta(hours=1))
    with pytest.raises(Unauthenticated):
        judge.by_key(over)
    assert judge.by_key(good).name == "me"


def test_the_last_use_is_noted_once_a_minute(store: Store, user: Account, database_url: str) -> None:
    """Nobody could tell an unused key, or every request would write a row."""
    judge = Credentials(store)
    kept, key = keys.issue(store, user.id, "k", [Scope.READ])
    assert kept.last_used_at is None
    judge.by_key(key)
    first = keys.keys(store, user.id)[0].last_used_at
    assert first is not None
    judge.by_key(key)
    assert keys.keys(store, user.id)[0].last_used_at == first
    query(database_url, "UPDATE api_keys SET last_used_at = clock_timestamp() - interval '2 minutes'")
    judge.by_key(key)
    assert (keys.keys(store, user.id)[0].last_used_at or first) > first


def test_a_key_without_a_name_or_a_use_is_refused(store: Store, user: Account) -> None:
    """A list of keys could not be read, or would break a terminal."""
    for name, scopes in (("k", []), *((name, [Scope.READ]) for name in ("", " ", "a\nb", "k" * 256))):
        with pytest.raises(BadOption):
            keys.issue(store, user.id, name, scopes)
    assert keys.keys(store, user.id) == []


def test_a_rotated_key_takes_the_place_of_the_old_one(store: Store, user: Account, database_url: str) -> None:
    """A program would get a key that may do more or less than the old one, or lives longer or shorter."""
    now = datetime.now(UTC)
    scopes = [Scope.WRITE, Scope.READ]
    old, key = keys.issue(store, user.id, "ci", scopes, folder="/a", expires_at=now + timedelta(days=30))
    query(database_url, AGE.format("20 days"))
    new, new_key = keys.rotate(store, user.id, old.id, timedelta(0))
    assert new_key != key
    assert (new.name, new.scopes, new.folder, new.rotated_at) == ("ci", ["read", "write"], "/a", None)
    assert new.expires_at is not None
    assert abs(new.expires_at - new.created_at - timedelta(days=30)) < timedelta(minutes=1)
    judge = Credentials(store)
    assert (judge.by_key(new_key).scopes, judge.by_key(new_key).folder) == (set(scopes), "/a")
    with pytest.raises(Unauthenticated):
        judge.by_key(key)
    assert [each.id for each in keys.keys(store, user.id)] == [new.id]


def test_the_old_key_works_on_for_the_overlap(store: Store, user: Account, database_url: str) -> None:
    """A program would stand still until it has the new key; or the old key would never end, or outlive its end."""
    judge = Credentials(store)
    old, key = keys.issue(store, user.id, "ci", [Scope.READ])
    new, new_key = keys.rotate(store, user.id, old.id, timedelta(hours=1))
    assert new.expires_at is None
    assert judge.by_key(key).name == judge.by_key(new_key).name == "me"
    ending, lasting = keys.keys(store, user.id)
    assert (ending.id, lasting.id, lasting.rotated_at) == (old.id, new.id, None)
    assert ending.rotated_at is not None
    assert ending.expires_at == ending.rotated_at + timedelta(hours=1)
    query(database_url, "UPDATE api_keys SET expires_at = clock_timestamp() WHERE rotated_at IS NOT NULL")
    with pytest.raises(Unauthenticated):
        judge.by_key(key)
    soon = datetime.now(UTC) + timedelta(minutes=5)
    short, _ = keys.issue(store, user.id, "short", [Scope.READ], expires_at=soon)
    keys.rotate(store, user.id, short.id, keys.MAX_OVERLAP)
    assert next(each for each in keys.keys(store, user.id) if each.id == short.id).expires_at == soon


@pytest.mark.parametrize(("overlap", "refusal"), [(timedelta(days=7), AlreadyRotated), (timedelta(0), NotFound)])
def test_two_who_rotate_at_once(
    store: Store, user: Account, database_url: str, overlap: timedelta, refusal: type[Exception]
) -> None:
    """Each would believe that all others have his key, and one key be there that nobody knows of."""
    old, _ = keys.issue(store, user.id, "ci", [Scope.READ])
    holder = psycopg2.connect(libpq(database_url))
    with ThreadPoolExecutor(2) as pool, holder.cursor() as cursor:
        cursor.execute("SELECT FROM api_keys FOR UPDATE")
        rotating = [pool.submit(keys.rotate, store, user.id, old.id, overlap) for _ in range(2)]
        until(lambda: query(database_url, WAITING) == [(2,)])
        holder.commit()
        failed = [future.exception(60) for future in rotating]
    holder.close()
    assert sorted(type(error) is refusal for error in failed) == [False, True], failed
    assert failed.count(None) == 1
    assert len([key for key in keys.keys(store, user.id) if key.rotated_at is None]) == 1


def test_a_key_is_rotated_once(store: Store, user: Account) -> None:
    """The key that is about to end would be rotated in place of the new one, which would end with it."""
    old, _ = keys.issue(store, user.id, "ci", [Scope.READ])
    keys.rotate(store, user.id, old.id, timedelta(days=7))
    with pytest.raises(AlreadyRotated):
        keys.rotate(store, user.id, old.id, timedelta(0))
    other = accounts.add(store, "other", PASSWORD)
    for owner_id, key_id in ((other.id, old.id), (user.id, "nosuchid")):
        with pytest.raises(NotFound):
            keys.rotate(store, owner_id, key_id, timedelta(0))
    for overlap in (timedelta(seconds=-1), timedelta(days=7, seconds=1)):
        with pytest.raises(BadOption):
            keys.rotate(store, user.id, old.id, overlap)
    assert len(keys.keys(store, user.id)) == 2


def test_a_rotation_that_fails_leaves_the_old_key(store: Store, user: Account, monkeypatch: pytest.MonkeyPatch) -> None:
    """The old key would be gone, and nobody have the new one."""
    old, key = keys.issue(store, user.id, "ci", [Scope.READ])
    monkeypatch.setattr(keys, "make", lambda: key)
    with pytest.raises(IntegrityError):
        keys.rotate(store, user.id, old.id, timedelta(hours=1))
    assert keys.keys(store, user.id) == [old]
    assert Credentials(store).by_key(key).name == "me"


def test_an_expired_key_is_renewed(store: Store, user: Account, database_url: str) -> None:
    """Who notices too late would have to remember the scopes and the folder; or the old key would live again."""
    now = datetime.now(UTC)
    old, key = keys.issue(store, user.id, "ci", [Scope.READ], expires_at=now + timedelta(hours=1))
    query(database_url, AGE.format("2 hours"))
    new, new_key = keys.rotate(store, user.id, old.id, timedelta(days=1))
    assert Credentials(store).by_key(new_key).name == "me"
    assert new.expires_at is not None
    assert new.expires_at > now + timedelta(minutes=55)
    with pytest.raises(Unauthenticated):
        Credentials(store).by_key(key)
