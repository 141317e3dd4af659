"""The mails: what they say, to whom, and that none is lost; against a real SMTP server."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from blobstore.core import accounts, admin, delivery, mails, new_email, signup, tickets
from blobstore.core.accounts import Account
from blobstore.core.actor import OPERATOR
from blobstore.core.credentials import Credentials
from blobstore.core.store import Store
from tests.conftest import NEW_PASSWORD, PASSWORD
from tests.core.acts import ask
from tests.core.test_signup import OPEN, With, with_settings
from tests.mailbox import FROM, Mailbox, mailbox

__all__ = ["with_settings"]
NOBODY = {"SMTP_HOST": "127.0.0.1", "SMTP_PORT": "1", "SMTP_TLS": "none"}
"""A server that is away."""


@pytest.fixture
def box() -> Iterator[Mailbox]:
    """A running SMTP server."""
    with mailbox() as running:
        yield running


@pytest.fixture
def posting(with_settings: With, box: Mailbox) -> Store:
    """The store, which sends its mail to `box`; anybody may sign up."""
    return with_settings(**OPEN, **box.settings)


def join(store: Store, name: str = "ann", email: str = "ann@files.example") -> Account:
    """Sign up."""
    return signup.sign_up(store, name, email, PASSWORD, OPERATOR)


def waiting(store: Store) -> list[tuple[object, ...]]:
    """The mails that wait: what for, and how often they were tried."""
    return ask(store, "SELECT kind, attempts FROM mails ORDER BY id")


def make_due(store: Store) -> None:
    """Let the time pass until the next try."""
    ask(store, "UPDATE mails SET due_at = now()")


def test_the_link_of_a_signup_lets_in(posting: Store, box: Mailbox) -> None:
    """Nobody who signs up could ever log in, or the mail would come from nobody, or be answered by machines."""
    join(posting)
    assert delivery.deliver(posting) == 1
    message = box.messages[0]
    assert (message["To"], message["From"], message["Auto-Submitted"]) == ("ann@files.example", FROM, "auto-generated")
    assert message["Subject"] == "Verify your e-mail address"
    assert message["Date"]
    assert message["Message-ID"].endswith("@localhost>")
    assert box.envelopes == [("files@files.example", ["ann@files.example"])]
    assert f"http://localhost/auth/email#ticket={box.ticket()}\n" in box.text()
    assert '"ann"' in box.text()
    assert waiting(posting) == []
    tickets.redeem_email(posting, box.ticket())
    assert Credentials(posting).by_password("ann@files.example", PASSWORD, "a").name == "ann"


def test_who_has_the_address_is_told_instead(posting: Store, box: Mailbox) -> None:
    """Whoever forgot that he has an account would wait for a link; or a second one would take his address."""
    accounts.add(posting, "ben", PASSWORD, email="ann@files.example")
    join(posting)
    delivery.deliver(posting)
    assert box.messages[0]["Subject"] == "You have an account already"
    assert '"ben"' in box.text()
    assert "ticket=" not in box.text()


def test_the_link_of_a_reset_sets_a_password(posting: Store, box: Mailbox) -> None:
    """Who has lost his password would need an admin."""
    accounts.add(posting, "ben", PASSWORD, email="ben@files.example")
    for who in ("BEN", "Ben@Files.Example"):
        mails.ask(posting, "reset", who, "a")
    assert delivery.deliver(posting) == 2
    assert f"http://localhost/auth/password#ticket={box.ticket()}\n" in box.text()
    tickets.redeem_password(posting, box.ticket(), NEW_PASSWORD)
    assert Credentials(posting).by_password("ben", NEW_PASSWORD, "a").name == "ben"


def test_no_reset_goes_where_it_should_not(posting: Store, box: Mailbox) -> None:
    """A stranger whose address was mistyped would get the account; or somebody who may not log in a link."""
    accounts.add(posting, "mistyped", PASSWORD, email="me@files.example")
    new_email.set_email(posting, "mistyped", "you@files.example", OPERATOR)
    join(posting, "waits", "waits@files.example")
    accounts.add(posting, "disabled", PASSWORD, email="disabled@files.example")
    admin.set_disabled(posting, "disabled", disabled=True)
    accounts.add(posting, "silent", PASSWORD)
    ask(posting, "DELETE FROM mails")
    for who in ("mistyped", "me@files.example", "you@files.example", "waits", "disabled", "silent", "nobody"):
        mails.ask(posting, "reset", who, "a")
    assert delivery.deliver(posting) == 0
    assert (box.messages, waiting(posting)) == ([], [])


def test_the_link_is_sent_again_to_who_waits(posting: Store, box: Mailbox) -> None:
    """A mail that was thrown away would cost the account; or a verified user be asked to verify."""
    join(posting)
    accounts.add(posting, "ben", PASSWORD, email="ben@files.example")
    ask(posting, "DELETE FROM mails")
    for who in ("ann", "ANN@files.example", "ben", "ben@files.example", "nobody"):
        mails.ask(posting, "verify", who, "a")
    assert delivery.deliver(posting) == 2
    assert [message["To"] for message in box.messages] == ["ann@files.example"] * 2
    tickets.redeem_email(posting, box.ticket(0))


def test_a_new_address_and_the_old_one_are_told(posting: Store, box: Mailbox) -> None:
    """A thief with the password could move the account away unseen; or the new address could not be proven."""
    accounts.add(posting, "ben", PASSWORD, email="old@files.example")
    new_email.set_email(posting, "ben", "new@files.example", OPERATOR)
    assert delivery.deliver(posting) == 2
    assert [message["To"] for message in box.messages] == ["new@files.example", "old@files.example"]
    assert "new@files.example" not in box.text()
    assert "ticket=" not in box.text()
    tickets.redeem_email(posting, box.ticket(0))


def test_a_server_that_is_away_costs_no_mail(
    with_settings: With, posting: Store, box: Mailbox, caplog: pytest.LogCaptureFixture
) -> None:
    """A link would be lost silently, or a restart of the mail server would be an error for who signs up."""
    away = with_settings(**OPEN, **{**box.settings, **NOBODY})
    join(away)
    assert (delivery.deliver(away), waiting(away)) == (0, [("verify", 1)])
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    assert "put off, try 1 failed: ConnectionRefusedError" in record.message
    assert delivery.deliver(posting) == 0
    make_due(away)
    assert (delivery.deliver(posting), waiting(away)) == (1, [])
    assert box.ticket()


def test_a_mail_is_given_up_after_a_day(
    with_settings: With, posting: Store, box: Mailbox, caplog: pytest.LogCaptureFixture
) -> None:
    """Mails that nobody takes would be tried for ever, or vanish without a word."""
    away = with_settings(**OPEN, **{**box.settings, **NOBODY})
    join(away)
    ask(away, "UPDATE mails SET created_at = now() - interval '25 hours', attempts = 30")
    delivery.deliver(away)
    assert waiting(away) == []
    assert caplog.records[-1].levelno == logging.ERROR
    assert "given up after 30 tries" in caplog.records[-1].message


def test_a_mailbox_that_is_not_there_is_tried_once(
    posting: Store, box: Mailbox, caplog: pytest.LogCaptureFixture
) -> None:
    """One mistyped address would be tried for a day, or stop the mails behind it."""
    box.refusals = {"gone@files.example": "550 no such mailbox", "busy@files.example": "451 later"}
    for name in ("gone", "busy", "ann"):
        join(posting, name, f"{name}@files.example")
    assert delivery.deliver(posting) == 0
    assert waiting(posting) == [("verify", 1), ("verify", 0)]
    assert "given up, the server refused it" in caplog.records[0].message
    assert delivery.deliver(posting) == 1
    assert box.envelopes == [("files@files.example", ["ann@files.example"])]
    box.refusals = {}
    make_due(posting)
    assert delivery.deliver(posting) == 1


def test_many_workers_send_each_mail_once(posting: Store, box: Mailbox) -> None:
    """People would get every mail once from each worker."""
    for number in range(8):
        join(posting, f"a{number}", f"a{number}@files.example")
    with ThreadPoolExecutor(4) as pool:
        assert sum(pool.map(lambda _: delivery.deliver(posting), range(4))) == 8
    assert sorted(message["To"] for message in box.messages) == [f"a{number}@files.example" for number in range(8)]


def test_nobody_is_flooded(with_settings: With, box: Mailbox) -> None:
    """Anybody could fill somebody's mailbox through us, from many addresses."""
    store = with_settings(**box.settings, BLOBSTORE_MAILS="2")
    accounts.add(store, "ben", PASSWORD, email="ben@files.example")
    accounts.add(store, "ann", PASSWORD, email="ann@files.example")
    for number in range(5):
        mails.ask(store, "reset", "ben", str(number))
    mails.ask(store, "reset", "ann", "another")
    delivery.deliver(store)
    assert sorted(message["To"] for message in box.messages) == ["ann@files.example", *["ben@files.example"] * 2]
    assert waiting(store) == []


def test_no_secret_waits_in_the_database(posting: Store, box: Mailbox) -> None:
    """Whoever reads a dump of the database could take over every account whose mail was on its way."""
    accounts.add(posting, "ben", PASSWORD, email="ben@files.example")
    mails.ask(posting, "reset", "ben", "a")
    kept = ask(posting, "SELECT mails::text FROM mails")
    assert "reset,ben,," in str(kept)
    delivery.deliver(posting)
    assert box.ticket().rpartition(".")[2] not in str(kept)


def test_a_header_holds_one_line(posting: Store, box: Mailbox) -> None:
    """Whoever signs up could send mail of his own to anybody, through a line end in an address that came in by SQL."""
    ask(posting, "INSERT INTO users (name, email, password_hash) VALUES ('ben', E'b@c.d\\r\\nBcc: e@f.g', '')")
    mails.ask(posting, "reset", "ben", "a")
    with pytest.raises(ValueError):
        delivery.deliver(posting)
    ask(posting, "UPDATE mails SET due_at = now(), created_at = now() - interval '25 hours'")
    assert delivery.deliver(posting) == 0
    assert (box.messages, waiting(posting)) == ([], [])
