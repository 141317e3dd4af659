"""Accounts: who may be made, changed and removed."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from hashlib import sha256

import psycopg2
import pytest

from blobstore.core import accounts, keys, upload
from blobstore.core.accounts import Account
from blobstore.core.credentials import Credentials
from blobstore.core.gate import ALL_SCOPES, Caller, Scope
from blobstore.core.store import Store
from blobstore.digest import Digest
from blobstore.environment import load
from blobstore.errors import AlreadyExists, BadName, BadOption, LastAdmin, NotFound, Unauthenticated
from tests.children import query, until
from tests.conftest import PASSWORD, libpq


def caller(account: Account) -> Caller:
    """The account with all scopes."""
    return Caller(account.id, account.name, account.role, ALL_SCOPES, account.quota_bytes, 0, by_password=True)


def put(store: Store, account: Account, content: bytes) -> Digest:
    """Upload a file of the account."""
    return upload.upload(store, caller(account), [content], {}).file.digest


def files_of(store: Store) -> dict[str, int]:
    """Every user's number of files."""
    return {account.name: account.file_count for account in accounts.accounts(store)}


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
        with pytest.raises(BadName):
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
    for email in ("ann", "@files.example", "ann@", "ann@local", "a b@files.example", "a" * 251 + "@b.c"):
        with pytest.raises(BadOption):
            accounts.add(store, "ann", PASSWORD, email=email)


def test_the_first_admin_is_made_once(store: Store) -> None:
    """Nobody could administer, or every start and every node would make another admin."""
    with ThreadPoolExecutor(4) as pool:
        made = [answer for answer in pool.map(lambda _: accounts.first_admin(store), range(4)) if answer]
    ((name, password),) = made
    assert name == "root"
    assert Credentials(store).by_password(name, password, "a").role == "admin"
    assert accounts.get(store, name).quota_bytes is None


def test_the_first_admin_by_the_settings(store: Store, database_url: str) -> None:
    """A container could not be set up without reading its log."""
    given = {"DATABASE_URL": database_url, "ADMIN_EMAIL": "ops@files.example", "ADMIN_PASSWORD": "chosen by ops"}
    assert accounts.first_admin(Store(load(given, None), store.database, store.storage)) == ("root", "chosen by ops")
    assert Credentials(store).by_password("ops@files.example", "chosen by ops", "a").role == "admin"


def test_the_last_admin_stays(store: Store) -> None:
    """Nobody could administer any more."""
    accounts.first_admin(store)
    with pytest.raises(LastAdmin):
        accounts.set_disabled(store, "root", disabled=True)
    with pytest.raises(LastAdmin):
        accounts.remove_account(store, "root")
    accounts.add(store, "second", PASSWORD, admin=True)
    accounts.set_disabled(store, "root", disabled=True)
    with pytest.raises(LastAdmin):
        accounts.set_disabled(store, "second", disabled=True)


def test_of_two_admins_who_disable_each_other_one_stays(store: Store) -> None:
    """Two commands at once could leave no admin."""
    for name in ("one", "two"):
        accounts.add(store, name, PASSWORD, admin=True)

    def disable(name: str) -> None:
        with suppress(LastAdmin):
            accounts.set_disabled(store, name, disabled=True)

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(disable, ["one", "two"]))
    assert sorted(account.disabled for account in accounts.accounts(store)) == [False, True]


def test_a_new_password_voids_the_old_one(store: Store, user: Account) -> None:
    """A stolen password would go on working, here or on another worker."""
    workers = [Credentials(store), Credentials(store)]
    for worker in workers:
        worker.by_password("me", PASSWORD, "a")
    accounts.set_password(store, "ME", "another one")
    for worker in workers:
        with pytest.raises(Unauthenticated):
            worker.by_password("me", PASSWORD, "a")
        assert worker.by_password("me", "another one", "a").name == "me"


def test_a_new_password_raises_the_epoch(store: Store, user: Account, database_url: str) -> None:
    """Links that were signed before would stay good."""
    accounts.set_password(store, "me", "another one")
    assert query(database_url, "SELECT epoch FROM users") == [(1,)]


def test_a_disabled_user_is_refused_and_may_come_back(store: Store, user: Account) -> None:
    """Disabling would do nothing until the worker forgets the password, or could not be undone."""
    credentials = Credentials(store)
    _, key = keys.issue(store, user.id, "k", [Scope.READ])
    credentials.by_password("me", PASSWORD, "a")
    accounts.set_disabled(store, "me", disabled=True)
    with pytest.raises(Unauthenticated):
        credentials.by_password("me", PASSWORD, "a")
    with pytest.raises(Unauthenticated):
        credentials.by_key(key)
    accounts.set_disabled(store, "me", disabled=False)
    assert credentials.by_password("me", PASSWORD, "a").name == credentials.by_key(key).name == "me"


def test_a_quota_may_be_below_what_is_used(store: Store, user: Account) -> None:
    """An admin could not stop somebody from storing more."""
    put(store, user, b"12345")
    accounts.set_quota(store, "me", 1)
    assert accounts.get(store, "me").quota_bytes == 1
    accounts.set_quota(store, "me", None)
    assert accounts.get(store, "me").quota_bytes is None


def test_nobody_is_not_found(store: Store) -> None:
    """A mistyped name would look as if it had worked."""
    for call, *values in (("get",), ("set_password", PASSWORD), ("set_quota", 1), ("remove_account",)):
        with pytest.raises(NotFound):
            getattr(accounts, str(call))(store, "nobody", *values)


def test_a_removed_user_harms_nobody_else(store: Store, user: Account) -> None:
    """Another owner of the same content would lose it, or the name could never be used again."""
    other = accounts.add(store, "other", PASSWORD)
    shared = put(store, user, b"both have this")
    put(store, user, b"only mine")
    put(store, other, b"both have this")
    _, key = keys.issue(store, user.id, "k", [Scope.READ])
    assert accounts.remove_account(store, "me") == 2
    assert files_of(store) == {"other": 1}
    assert put(store, other, b"both have this") == shared
    with pytest.raises(Unauthenticated):
        Credentials(store).by_key(key)
    accounts.add(store, "me", PASSWORD)


def test_more_files_than_one_batch_go(store: Store, user: Account, monkeypatch: pytest.MonkeyPatch) -> None:
    """A user with many files could not be removed."""
    monkeypatch.setattr(accounts, "DELETE_BATCH", 2)
    for number in range(5):
        put(store, user, b"%d" % number)
    assert accounts.remove_account(store, "me") == 5


def test_a_removal_waits_for_an_upload_that_was_under_way(store: Store, user: Account, database_url: str) -> None:
    """The removal would end in an error of the database, with the user half gone."""
    digest = sha256(b"late").hexdigest()
    put(store, user, b"early")
    with psycopg2.connect(libpq(database_url)) as early, psycopg2.connect(libpq(database_url)) as late:
        early.cursor().execute("SELECT FROM blobs FOR UPDATE")
        with ThreadPoolExecutor(1) as pool:
            removal = pool.submit(accounts.remove_account, store, "me")
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
            assert removal.result(60) == 2
    early.close()
    late.close()
    assert accounts.accounts(store) == []


def waiting(url: str, words: str) -> bool:
    """Whether a statement with these words waits for a lock."""
    running = f"wait_event_type = 'Lock' AND pid <> pg_backend_pid() AND query LIKE '%{words}%'"
    return bool(query(url, f"SELECT 1 FROM pg_stat_activity WHERE {running}"))


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
    accounts.rehash(store, user.id, weak, "the old one")
    assert Credentials(store).by_password("me", PASSWORD, "a").name == "me"
