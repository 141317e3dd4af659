"""Credentials to caller: what is remembered, what it costs, and what is refused before it costs anything."""

from __future__ import annotations

import time

import pytest

from blobstore.core import accounts, admin, credentials, keys
from blobstore.core.accounts import Account
from blobstore.core.credentials import Credentials
from blobstore.core.gate import Scope
from blobstore.core.passwords import DECOY, Verifier, is_outdated
from blobstore.core.store import Store
from blobstore.environment import load
from blobstore.errors import DatabaseUnavailable, TooManyAttempts, Unauthenticated
from blobstore.settings import Settings
from tests.children import query
from tests.conftest import PASSWORD

HERE = "192.0.2.1"


class Counted(Verifier):
    """The real verifier; it notes what it verified against."""

    def __init__(self) -> None:
        super().__init__()
        self.hashes: list[str] = []

    def verify(self, password_hash: str, password: str, client: str = "") -> bool:
        self.hashes.append(password_hash)
        return super().verify(password_hash, password, client)


class Judge(Credentials):
    """One worker's credentials, whose runs of argon2 can be counted."""

    def __init__(self, store: Store) -> None:
        super().__init__(store)
        self.verifier: Counted = Counted()

    def refuses(self, name: str, password: str, address: str = HERE) -> None:
        with pytest.raises(Unauthenticated):
            self.by_password(name, password, address)


@pytest.fixture
def judge(store: Store, user: Account) -> Judge:
    """A fresh worker; there is the user `me`."""
    return Judge(store)


@pytest.fixture
def later(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Add seconds to it, and the worker's clock is that much later."""
    shifts: list[float] = []
    now = time.monotonic
    monkeypatch.setattr(time, "monotonic", lambda: now() + sum(shifts))
    return shifts


def test_a_good_password_costs_argon2_once(judge: Judge, later: list[float]) -> None:
    """A client that sends Basic with every request would burn a core."""
    for _ in range(5):
        judge.by_password("me", PASSWORD, HERE)
    assert len(judge.verifier.hashes) == 1
    later.append(299)
    judge.by_password("me", PASSWORD, HERE)
    assert len(judge.verifier.hashes) == 1
    later.append(2)
    judge.by_password("me", PASSWORD, HERE)
    assert len(judge.verifier.hashes) == 2


def test_a_wrong_password_costs_argon2_once_a_minute(judge: Judge, later: list[float]) -> None:
    """A client with an old password would burn a core, or a corrected memory would refuse for ever."""
    for _ in range(3):
        judge.refuses("me", "wrong")
    assert len(judge.verifier.hashes) == 1
    later.append(61)
    judge.refuses("me", "wrong")
    assert len(judge.verifier.hashes) == 2


def test_an_unknown_name_costs_the_same(judge: Judge) -> None:
    """The time of the answer would tell which names there are."""
    judge.refuses("nobody", PASSWORD)
    assert judge.verifier.hashes == [DECOY]
    assert not is_outdated(DECOY)


def test_a_disabled_user_costs_the_same(store: Store, judge: Judge, database_url: str) -> None:
    """The time of the answer, or a limit that is never reached, would tell who was shut out and has the password."""
    judge.by_password("me", PASSWORD, HERE)
    admin.set_disabled(store, "me", disabled=True)
    for number in range(10):
        judge.refuses("me", PASSWORD if number % 2 else f"wrong {number}")
    assert judge.verifier.hashes[1:] == [DECOY] * 6
    assert query(database_url, "SELECT max(hits) FROM rate_limits") == [(10,)]
    admin.set_disabled(store, "me", disabled=False)
    assert judge.by_password("me", PASSWORD, HERE).name == "me"
    assert Judge(store).by_password("me", PASSWORD, "192.0.2.2").name == "me"


def test_what_cannot_be_a_login_costs_nothing(judge: Judge, database_url: str) -> None:
    """Long passwords would buy an attacker our time, and a NUL an error of ours."""
    for name in ("", "m\0e", "m" * 255, "ä" * 128):
        judge.refuses(name, PASSWORD)
    judge.refuses("me", "")
    judge.refuses("me", "a" * 1025)
    assert judge.verifier.hashes == []
    assert query(database_url, "SELECT * FROM rate_limits") == []


def test_failures_are_limited_before_argon2(store: Store, judge: Judge, later: list[float]) -> None:
    """Passwords could be guessed as fast as we hash, on every worker anew."""
    other = Judge(store)
    for number in range(10):
        (judge, other)[number % 2].refuses("me", f"wrong {number}")
    for worker in (judge, other):
        before = len(worker.verifier.hashes)
        with pytest.raises(TooManyAttempts) as raised:
            worker.by_password("ME", "wrong 11", HERE)
        assert 1 <= raised.value.retry_after_seconds <= 301
        assert len(worker.verifier.hashes) == before
    assert judge.by_password("me", PASSWORD, "192.0.2.2").name == "me"


def test_a_remembered_password_passes_the_limit(judge: Judge) -> None:
    """An attacker could lock a user out of the clients he has."""
    judge.by_password("me", PASSWORD, HERE)
    for number in range(10):
        judge.refuses("me", f"wrong {number}")
    assert judge.by_password("me", PASSWORD, HERE).name == "me"


def test_a_remembered_password_is_not_told_to_who_guesses_on(judge: Judge, later: list[float]) -> None:
    """Behind the address of somebody at work passwords could be tried until one passes: the right one."""
    judge.by_password("me", PASSWORD, HERE)
    for number in range(10):
        judge.refuses("me", f"wrong {number}")
    for number in range(10):
        with pytest.raises(TooManyAttempts):
            judge.by_password("me", f"guess {number}", HERE)
    with pytest.raises(TooManyAttempts):
        judge.by_password("me", PASSWORD, HERE)
    later.append(301)
    assert not judge._guesses.abound(("me", HERE))


def test_a_client_with_an_old_password_locks_nobody_out(judge: Judge) -> None:
    """A forgotten script that goes on with the password of last year would lock its own user out."""
    judge.by_password("me", PASSWORD, HERE)
    for number in range(50):
        with pytest.raises(Unauthenticated if number < 10 else TooManyAttempts):
            judge.by_password("me", "the password of last year", HERE)
    assert judge.by_password("me", PASSWORD, HERE).name == "me"


def test_what_is_remembered_helps_nobody_elsewhere(judge: Judge) -> None:
    """Guesses from anywhere would be answered at once, without a limit, for as long as their victim is at work."""
    judge.by_password("me", PASSWORD, HERE)
    for number in range(10):
        judge.refuses("me", f"wrong {number}", "192.0.2.2")
    with pytest.raises(TooManyAttempts):
        judge.by_password("me", PASSWORD, "192.0.2.2")
    assert judge.by_password("me", PASSWORD, HERE).name == "me"


def test_successes_do_not_count_as_failures(store: Store, user: Account, database_url: str) -> None:
    """Many workers behind one address would lock their user out by logging in."""
    for _ in range(15):
        Judge(store).by_password("me", PASSWORD, HERE)
    assert query(database_url, "SELECT sum(hits) FROM rate_limits") == [(0,)]


def test_all_failures_together_are_limited(settings: Settings, store: Store, user: Account) -> None:
    """A thousand addresses could guess a thousand names each."""
    tight = load({**knobs(settings), "BLOBSTORE_LOGIN_FAILURES_TOTAL": "3"}, None)
    judge = Judge(Store(tight, store.database, store.storage))
    for number in range(3):
        judge.refuses(f"nobody{number}", "wrong", f"192.0.2.{number}")
    with pytest.raises(TooManyAttempts):
        judge.by_password("me", PASSWORD, HERE)


def test_an_address_has_so_many_failures(settings: Settings, store: Store, user: Account, database_url: str) -> None:
    """One client could use up what all have together, so that nobody logs in for five minutes."""
    tight = load({**knobs(settings), "BLOBSTORE_LOGIN_FAILURES_PER_ADDRESS": "3"}, None)
    judge = Judge(Store(tight, store.database, store.storage))
    for number in range(3):
        judge.refuses(f"nobody{number}", "wrong")
    for _ in range(20):
        with pytest.raises(TooManyAttempts):
            judge.by_password("me", "wrong", HERE)
    assert len(judge.verifier.hashes) == 3
    assert query(database_url, "SELECT hits FROM rate_limits WHERE key LIKE '%total%'") == [(3,)]
    assert judge.by_password("me", PASSWORD, "192.0.2.2").name == "me"


def test_what_is_not_judged_is_no_failure(settings: Settings, store: Store, user: Account) -> None:
    """Who tries while nobody is let in would be locked out for longer than the others."""
    tight = load({**knobs(settings), "BLOBSTORE_LOGIN_FAILURES_TOTAL": "1"}, None)
    judge = Judge(Store(tight, store.database, store.storage))
    judge.refuses("nobody", "wrong", "192.0.2.2")
    for _ in range(20):
        with pytest.raises(TooManyAttempts):
            judge.by_password("me", PASSWORD, HERE)
    assert Judge(store).by_password("me", PASSWORD, HERE).name == "me"


def knobs(settings: Settings) -> dict[str, str]:
    """The environment of a test's settings."""
    return {"DATABASE_URL": settings.require_database(), "BLOBSTORE_DATA": str(settings.data)}


def test_the_memory_is_bounded(judge: Judge, monkeypatch: pytest.MonkeyPatch) -> None:
    """A flood of names would fill the worker's memory; what is used often must stay."""
    monkeypatch.setattr(credentials, "REMEMBERED", 2)
    for name in ("me", "one", "me", "two", "me"):
        if name == "me":
            judge.by_password(name, PASSWORD, HERE)
        else:
            judge.refuses(name, "wrong")
    assert len(judge._memory) == 2
    assert len(judge.verifier.hashes) == 3


def test_a_remembered_pair_is_no_other_pair(judge: Judge) -> None:
    """Who knows one password could log in with a part of it, as CVE-2022-46146 allowed."""
    assert judge._memory_key(1, "23", "4") != judge._memory_key(12, "3", "4")
    assert judge._memory_key(1, "2", "34") != judge._memory_key(1, "23", "4")


def test_a_key_stands_in_for_the_password_of_its_user_only(store: Store, judge: Judge, user: Account) -> None:
    """git and restic, which know only Basic, could not use keys; or a log would show another name than the key's."""
    accounts.add(store, "other", PASSWORD)
    _, key = keys.issue(store, user.id, "k", [Scope.READ])
    found = judge.by_password("ME", key, HERE)
    assert (found.name, found.scopes) == ("me", frozenset({Scope.READ}))
    assert not found.by_password
    judge.refuses("other", key)
    with pytest.raises(Unauthenticated):
        judge.by_password("me", key, HERE, keys_too=False)


def test_a_password_has_all_scopes_of_its_user(store: Store, judge: Judge) -> None:
    """A user could administer, or an admin could not."""
    accounts.add(store, "boss", PASSWORD, admin=True)
    mine, his = judge.by_password("me", PASSWORD, HERE), judge.by_password("boss", PASSWORD, HERE)
    assert mine.scopes == {Scope.READ, Scope.WRITE, Scope.DELETE}
    assert his.scopes == mine.scopes | {Scope.ADMIN}
    assert mine.by_password
    assert his.by_password


def test_a_malformed_key_is_refused_without_a_query(tmp_path: object) -> None:
    """A flood of nonsense would reach the database."""
    from blobstore.core.store import open_store

    away = open_store(load({"DATABASE_URL": "postgresql://a:b@127.0.0.1:1/c", "BLOBSTORE_DATA": str(tmp_path)}, None))
    judge = Credentials(away)
    good = keys.make()
    for key in ("", "bs_k", good[:-1], good + "0", good[:-1] + ("0" if good[-1] != "0" else "1"), "x" + good[1:]):
        with pytest.raises(Unauthenticated):
            judge.by_key(key)
    with pytest.raises(DatabaseUnavailable):
        judge.by_key(good)
