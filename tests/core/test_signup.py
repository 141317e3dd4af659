"""Signing up: who may, what it tells, and who is let in."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import pytest
from sqlalchemy import event

from blobstore.core import accounts, admin, keys, mails, passwords, signup, tickets, upkeep
from blobstore.core.accounts import Account
from blobstore.core.actor import Actor
from blobstore.core.credentials import Credentials
from blobstore.core.gate import Scope
from blobstore.core.store import Store
from blobstore.core.tickets import Purpose
from blobstore.core.turns import Turns
from blobstore.environment import load
from blobstore.errors import (
    AlreadyExists,
    BadOption,
    BadUserName,
    BlobstoreError,
    Busy,
    EmailNotAllowed,
    EmailUnverified,
    RegistrationClosed,
    TooManyAttempts,
    Unauthenticated,
)
from tests.conftest import PASSWORD, SECRET_KEY
from tests.core.acts import ask

MAIL = {"SMTP_HOST": "127.0.0.1", "MAIL_FROM": "files@files.example", "BASE_URL": "https://files.example"}
OPEN = {"BLOBSTORE_REGISTRATION": "open"}
LISTED = {
    "BLOBSTORE_REGISTRATION": "allowlist",
    "BLOBSTORE_REGISTRATION_ALLOWLIST": "Boss@Files.Example, @team.example",
}
With = Callable[..., Store]


@pytest.fixture
def with_settings(store: Store, database_url: str) -> With:
    """`with_settings(**environ)` is the same store with these settings."""

    def make(**environ: str) -> Store:
        fixed = {"DATABASE_URL": database_url, "BLOBSTORE_DATA": str(store.settings.data), "SECRET_KEY": SECRET_KEY}
        return Store(load({**fixed, **environ}, None), store.database, store.storage)

    return make


def join(store: Store, name: str = "ann", email: str = "ann@files.example", **given: Any) -> Account:
    """Sign up."""
    by = Actor(None, given.get("client", "a"), "")
    return signup.sign_up(store, name, email, given.get("password", PASSWORD), by)


def log_in(store: Store, name: str) -> str:
    """Log in with the right password; the caller's name."""
    return Credentials(store).by_password(name, PASSWORD, "a").name


@contextmanager
def statements(store: Store) -> Iterator[list[str]]:
    """Every statement that is sent meanwhile."""
    seen: list[str] = []

    def note(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        seen.append(statement)

    event.listen(store.database.engine, "before_cursor_execute", note)
    try:
        yield seen
    finally:
        event.remove(store.database.engine, "before_cursor_execute", note)


def test_nobody_signs_up_by_default(store: Store) -> None:
    """Whoever finds the service would store his files in it."""
    with pytest.raises(RegistrationClosed):
        join(store)
    assert accounts.accounts(store) == []


def test_with_nothing_to_verify_one_may_log_in_at_once(with_settings: With) -> None:
    """A service without mail could not be open; or somebody would log in by an e-mail that is not his."""
    store = with_settings(**OPEN, BLOBSTORE_DEFAULT_QUOTA_BYTES="5")
    made = join(store, "Ann", "Ann@Files.Example")
    assert (made.name, made.email, made.role, made.quota_bytes) == ("ann", "ann@files.example", "user", 5)
    assert (made.verified, made.admitted) == (False, True)
    assert log_in(store, "ANN") == "ann"
    with pytest.raises(Unauthenticated):
        log_in(store, "ann@files.example")


@pytest.mark.parametrize("environ", [{**OPEN, **MAIL}, {**LISTED, **MAIL}, LISTED], ids=["open", "listed", "no mail"])
def test_one_logs_in_once_the_address_is_verified(with_settings: With, environ: dict[str, str]) -> None:
    """Anybody could have an account under an address of the list; or nobody could get in at all."""
    store = with_settings(**environ)
    made = join(store, "ann", "Ann@Team.example")
    assert (made.verified, made.admitted) == (False, False)
    for name in ("ann", "ANN"):
        with pytest.raises(EmailUnverified):
            log_in(store, name)
    with pytest.raises(Unauthenticated):
        Credentials(store).by_password("ann", "wrong-password", "a")
    with pytest.raises(Unauthenticated):
        log_in(store, "ann@team.example")
    _, key = keys.issue(store, made.id, "k", [Scope.READ])
    with pytest.raises(Unauthenticated):
        Credentials(store).by_key(key)
    tickets.redeem_email(store, tickets.issue(store, "ann", Purpose.EMAIL)[0])
    assert log_in(store, "ann") == log_in(store, "ANN@team.example") == "ann"
    assert Credentials(store).by_key(key).name == "ann"


def test_who_is_disabled_is_not_told_to_verify(with_settings: With) -> None:
    """A disabled user could tell that his password is right, or get in by verifying."""
    store = with_settings(**OPEN, **MAIL)
    join(store)
    admin.set_disabled(store, "ann", disabled=True)
    with pytest.raises(Unauthenticated):
        log_in(store, "ann")
    tickets.redeem_email(store, tickets.issue(store, "ann", Purpose.EMAIL)[0])
    with pytest.raises(Unauthenticated):
        log_in(store, "ann")


def test_only_who_is_on_the_list_signs_up(with_settings: With) -> None:
    """A service of one team would be open to all."""
    store = with_settings(**LISTED, **MAIL)
    for email in ("ann@elsewhere.example", "ann@sub.team.example", "team.example@files.example", "bob@files.example"):
        with pytest.raises(EmailNotAllowed):
            join(store, "ann", email)
    assert accounts.accounts(store) == []
    join(store, "ann", "ANN@Team.Example")
    join(store, "boss", "BOSS@files.example")


@pytest.mark.parametrize(
    ("given", "error"),
    [
        ({"name": "admin"}, BadUserName),
        ({"name": "a/b"}, BadUserName),
        ({"name": "\uff41nn"}, BadUserName),
        ({"name": "0" * 64}, BadUserName),
        ({"email": "nowhere"}, BadOption),
        ({"email": "a@b.example\r\nBcc: c@d.example"}, BadOption),
        ({"password": "short"}, BadOption),
        ({"password": "bs_looks-like-a-key"}, BadOption),
        ({"name": "BEN", "email": "new@files.example"}, AlreadyExists),
    ],
    ids=str,
)
def test_what_is_no_account_is_refused(with_settings: With, given: dict[str, str], error: type[BlobstoreError]) -> None:
    """An account would be made that nobody can use, or that looks like another one (case 81)."""
    store = with_settings(**OPEN, **MAIL)
    accounts.add(store, "ben", PASSWORD, email="ben@files.example")
    with pytest.raises(error):
        join(store, **given)
    assert [account.name for account in accounts.accounts(store)] == ["ben"]
    assert ask(store, "SELECT count(*) FROM mails") == [(0,)]


def test_the_work_tells_nothing_of_an_address(with_settings: With) -> None:
    """A stranger could find out who has an account: by the answer, by the time it takes, or by trying a name twice."""
    store = with_settings(**OPEN, **MAIL)
    accounts.add(store, "ben", PASSWORD, email="ben@files.example")
    sent, answers = [], []
    for name, email in (("ann", "ben@files.example"), ("eve", "nobody@files.example")):
        with statements(store) as seen:
            made = join(store, name, email)
        sent.append(seen)
        answers.append((made.verified, made.admitted, made.email == email))
    assert sent[0] == sent[1]
    assert answers[0] == answers[1]
    for name in ("ann", "eve"):
        with pytest.raises(AlreadyExists):
            join(store, name, "third@files.example")
        with pytest.raises(EmailUnverified):
            log_in(store, name)
    assert log_in(store, "ben@files.example") == "ben"


def test_asking_for_a_mail_costs_the_same_for_nobody(with_settings: With) -> None:
    """A stranger could find out who has an account here, by the time that it takes."""
    store = with_settings(**MAIL)
    accounts.add(store, "ben", PASSWORD, email="ben@files.example")
    sent = []
    for who in ("ben", "BEN@files.example", "nobody", "nobody@files.example", "\uff42en"):
        with statements(store) as seen:
            mails.ask(store, "reset", who, "a")
        sent.append(seen)
    assert all(seen == sent[0] for seen in sent)
    assert sent[0]


def test_of_many_who_want_a_name_one_gets_it(with_settings: With) -> None:
    """Two people would share an account, or one would see an error of ours."""
    store = with_settings(**OPEN, **MAIL)
    assert together(lambda number: join(store, "ann", f"a{number}@files.example", client=str(number))) == 1
    assert ask(store, "SELECT who FROM mails") == [("ann",)]


def test_without_mail_one_of_many_gets_the_address(with_settings: With) -> None:
    """Two accounts would have one address where no mail decides whose it is."""
    store = with_settings(**OPEN)
    assert together(lambda number: join(store, f"a{number}", client=str(number))) == 1
    assert len(accounts.accounts(store)) == 1


def test_with_mail_the_address_is_whose_proof_comes_first(with_settings: With) -> None:
    """Whoever is first to type an address would keep its owner out; or two accounts would have proven it."""
    store = with_settings(**OPEN, **MAIL)
    for name in ("thief", "ann"):
        join(store, name)
    thiefs = tickets.issue(store, "thief", Purpose.EMAIL)[0]
    tickets.redeem_email(store, tickets.issue(store, "ann", Purpose.EMAIL)[0])
    with pytest.raises(AlreadyExists):
        tickets.redeem_email(store, thiefs)
    assert log_in(store, "ann@files.example") == "ann"
    with pytest.raises(EmailUnverified):
        log_in(store, "thief")


def test_of_two_proofs_at_once_one_counts(with_settings: With) -> None:
    """Two accounts would have one address, or one would see an error of ours."""
    store = with_settings(**OPEN, **MAIL)
    issued = [tickets.issue(store, join(store, f"a{number}").name, Purpose.EMAIL)[0] for number in range(4)]
    assert together(lambda number: tickets.redeem_email(store, issued[number]), 4) == 1
    assert [account.verified for account in accounts.accounts(store)].count(True) == 1


def together(act: Callable[[int], object], count: int = 8) -> int:
    """Act so many times at once; how often it succeeded. Fails for any other error than AlreadyExists."""

    def attempt(number: int) -> bool:
        try:
            act(number)
        except AlreadyExists:
            return False
        return True

    with ThreadPoolExecutor(count) as pool:
        return sum(pool.map(attempt, range(count)))


def test_signups_are_limited(with_settings: With) -> None:
    """A program could fill the database with accounts, or try which names there are."""
    store = with_settings(**OPEN, **MAIL, BLOBSTORE_SIGNUPS="3")
    for number in range(3):
        join(store, f"a{number}", f"a{number}@files.example")
    with pytest.raises(TooManyAttempts) as refused:
        join(store, "ann")
    assert 0 < refused.value.retry_after_seconds <= 3601
    join(store, "ann", client="another address")


def test_strangers_run_one_argon2_at_a_time(with_settings: With, monkeypatch: pytest.MonkeyPatch) -> None:
    """A flood of signups would take every core; those who log in would wait behind it."""
    store = with_settings(**OPEN, **MAIL)
    turns = Turns(waiting=0)
    monkeypatch.setattr(passwords, "_TURNS", turns)
    with turns.turn("another address"), pytest.raises(Busy):
        join(store)
    join(store)


def test_who_never_verifies_is_forgotten(with_settings: With) -> None:
    """Names would be taken for ever by accounts that nobody uses; or somebody would lose one that he uses."""
    store = with_settings(**OPEN, **MAIL)
    for name in ("gone", "fresh", "proven", "keyed"):
        join(store, name, f"{name}@files.example")
    keys.issue(store, accounts.get(store, "keyed").id, "k", [Scope.READ])
    tickets.redeem_email(store, tickets.issue(store, "proven", Purpose.EMAIL)[0])
    accounts.add(store, "made", PASSWORD)
    ask(store, "UPDATE users SET created_at = created_at - interval '8 days' WHERE name <> 'fresh'")
    upkeep.run(store)
    assert [account.name for account in accounts.accounts(store)] == ["fresh", "keyed", "made", "proven"]
