"""A new e-mail, and its proof."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from blobstore.core import accounts, admin, new_email, new_password, tickets
from blobstore.core.accounts import Account
from blobstore.core.actor import OPERATOR
from blobstore.core.credentials import Credentials
from blobstore.core.store import Store
from blobstore.core.tickets import Purpose
from blobstore.errors import AlreadyExists, BadOption, BadSignature, EmailNotAllowed, TooManyAttempts, Unauthenticated
from tests.conftest import NEW_PASSWORD, PASSWORD
from tests.core.acts import ask
from tests.core.test_signup import LISTED, MAIL, With, with_settings

__all__ = ["with_settings"]
OLD, NEW = "me@files.example", "new@files.example"


@pytest.fixture
def me(store: Store) -> Account:
    """The user `me` with a verified e-mail."""
    return accounts.add(store, "me", PASSWORD, email=OLD)


def log_in(store: Store, name: str) -> str:
    return Credentials(store).by_password(name, PASSWORD, "a").name


@pytest.mark.usefixtures("me")
def test_a_new_address_is_to_be_verified(with_settings: With) -> None:
    """A mistyped address would be taken for proven; or the user be locked out until he proves it."""
    store = with_settings(**MAIL)
    changed = new_email.set_email(store, "me", "New@Files.Example", OPERATOR)
    assert (changed.email, changed.verified, changed.admitted) == (NEW, False, True)
    assert log_in(store, "me") == "me"
    for name in (OLD, NEW):
        with pytest.raises(Unauthenticated):
            log_in(store, name)
    waiting = ask(store, "SELECT kind, who, address FROM mails ORDER BY id")
    assert waiting == [("verify", "me", None), ("moved", "me", OLD)]
    tickets.redeem_email(store, tickets.issue(store, "me", Purpose.EMAIL)[0])
    assert log_in(store, NEW) == "me"


@pytest.mark.usefixtures("me")
def test_the_same_address_again_changes_nothing(with_settings: With) -> None:
    """A form that is sent twice would take the proof away."""
    store = with_settings(**MAIL)
    assert new_email.set_email(store, "me", OLD.upper(), OPERATOR).verified
    assert ask(store, "SELECT count(*) FROM mails") == [(0,)]


def test_an_unproven_address_is_not_told_of_the_change(with_settings: With, me: Account) -> None:
    """A stranger whose address somebody typed would be told of an account that is not his."""
    store = with_settings(**MAIL)
    new_email.set_email(store, me.name, NEW, OPERATOR)
    new_email.set_email(store, me.name, "third@files.example", OPERATOR)
    assert ask(store, "SELECT address FROM mails WHERE kind = 'moved'") == [(OLD,)]


def test_the_address_of_somebody_else(with_settings: With, me: Account) -> None:
    """A user could find out who else has an account, or take an address away from its owner."""
    store = with_settings(**MAIL)
    accounts.add(store, "you", PASSWORD, email="you@files.example")
    changed = new_email.set_email(store, "me", "you@files.example", OPERATOR)
    assert (changed.email, changed.verified) == ("you@files.example", False)
    with pytest.raises(AlreadyExists):
        tickets.redeem_email(store, tickets.issue(store, "me", Purpose.EMAIL)[0])
    assert log_in(store, "you@files.example") == "you"


def test_without_mail_an_address_that_somebody_has_is_refused(store: Store, me: Account) -> None:
    """Two users would have one address, and no mail would ever tell whose it is."""
    accounts.add(store, "you", PASSWORD, email="you@files.example")
    with pytest.raises(AlreadyExists):
        new_email.set_email(store, "me", "you@files.example", OPERATOR)
    assert accounts.get(store, "me").email == OLD
    assert ask(store, "SELECT count(*) FROM mails") == [(0,)]


@pytest.mark.usefixtures("me")
def test_an_address_that_may_have_no_account_is_refused(with_settings: With) -> None:
    """Who signed up by the list could leave it a minute later."""
    store = with_settings(**LISTED, **MAIL, BLOBSTORE_MAILS="2")
    with pytest.raises(EmailNotAllowed):
        new_email.set_email(store, "me", NEW, OPERATOR)
    with pytest.raises(BadOption):
        new_email.set_email(store, "me", "nowhere", OPERATOR)
    for name in ("one", "two"):
        new_email.set_email(store, "me", f"{name}@team.example", OPERATOR)
    with pytest.raises(TooManyAttempts):
        new_email.set_email(store, "me", "three@team.example", OPERATOR)
    assert accounts.get(store, "me").email == "two@team.example"


def test_a_ticket_proves_the_address_it_was_made_for(with_settings: With, me: Account) -> None:
    """A link that went to one address would prove another one, or the same one later."""
    store = with_settings(**MAIL)
    new_email.set_email(store, "me", NEW, OPERATOR)
    ticket, ends_at = tickets.issue(store, "me", Purpose.EMAIL)
    with pytest.raises(BadSignature):
        tickets.redeem_email(store, ticket, ends_at)
    with pytest.raises(BadSignature):
        tickets.redeem_password(store, ticket, NEW_PASSWORD)
    with pytest.raises(BadSignature):
        tickets.redeem_email(store, tickets.issue(store, "me")[0])
    for email in ("third@files.example", NEW):
        new_email.set_email(store, "me", email, OPERATOR)
        with pytest.raises(BadSignature):
            tickets.redeem_email(store, ticket)
    assert not accounts.get(store, "me").verified


def test_a_change_beside_a_proof_wins(with_settings: With, me: Account) -> None:
    """A link that was judged a moment before the address was changed would prove the new one."""
    store = with_settings(**MAIL)
    new_email.set_email(store, "me", NEW, OPERATOR)
    assert not new_email.verify_once(store, me.id, 0)
    assert not accounts.get(store, "me").verified
    assert new_email.verify_once(store, me.id, 1)


def test_a_new_address_ends_tickets_to_a_password(with_settings: With, me: Account) -> None:
    """Who has lost his mailbox to a thief would lose the account to a link that is still in it."""
    store = with_settings(**MAIL)
    for change in (
        lambda: new_email.set_email(store, "me", NEW, OPERATOR),
        lambda: admin.change(store, "me", {"email": "third@files.example"}),
        lambda: new_password.set_password(store, "me", NEW_PASSWORD),
    ):
        ticket, _ = tickets.issue(store, "me")
        change()
        with pytest.raises(BadSignature):
            tickets.redeem_password(store, ticket, NEW_PASSWORD)


def test_a_ticket_used_twice_at_once_works_once(with_settings: With, me: Account) -> None:
    """Whoever finds a link in a log could use it beside its owner."""
    store = with_settings(**MAIL)
    new_email.set_email(store, "me", NEW, OPERATOR)
    proof, _ = tickets.issue(store, "me", Purpose.EMAIL)
    reset, _ = tickets.issue(store, "me")

    def attempt(number: int) -> int:
        try:
            if number % 2:
                tickets.redeem_email(store, proof)
            else:
                tickets.redeem_password(store, reset, f"{NEW_PASSWORD} {number}")
        except BadSignature:
            return 0
        return 1 + number % 2

    with ThreadPoolExecutor(8) as pool:
        assert sorted(pool.map(attempt, range(8))) == [0] * 6 + [1, 2]
    assert accounts.get(store, "me").verified


def test_a_ticket_that_is_of_no_use_is_not_made(store: Store, me: Account) -> None:
    """An admin would hand out a link that says only that it does not work."""
    accounts.add(store, "you", PASSWORD)
    for name in ("me", "you"):
        with pytest.raises(BadOption):
            tickets.issue(store, name, Purpose.EMAIL)


def test_the_word_of_an_admin_is_proof(with_settings: With, me: Account) -> None:
    """An admin could not let in who cannot get mail; or a user would lose the account without one."""
    store = with_settings(**MAIL)
    new_email.set_email(store, "me", NEW, OPERATOR)
    assert admin.change(store, "me", {"email": NEW}).verified
    assert log_in(store, NEW) == "me"
    new_email.set_email(store, accounts.add(store, "thief", PASSWORD).name, "you@files.example", OPERATOR)
    assert accounts.add(store, "you", PASSWORD, email="you@files.example").verified
    assert admin.change(store, "me", {"email": None}).verified
    assert admin.change(store, "me", {"quota": 5}).email is None
