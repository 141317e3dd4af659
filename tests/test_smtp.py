"""One message to an SMTP server: by TLS, with a login, or not at all."""

from __future__ import annotations

import smtplib
import ssl
from email.message import EmailMessage
from pathlib import Path

import pytest

from blobstore import smtp
from blobstore.environment import load
from tests.mailbox import PASSWORD, USER, Mailbox, certificate, mailbox

LOGIN = {"SMTP_USER": USER, "SMTP_PASSWORD": PASSWORD}


def send(box: Mailbox, to: str = "ann@files.example", **given: str) -> None:
    """Send one message with these settings."""
    message = EmailMessage()
    message["From"], message["To"], message["Subject"] = "files@files.example", to, "Hello"
    message.set_content("hello\n")
    smtp.send(load({**box.settings, **given}, None), message)


def test_a_message_arrives_by_starttls_with_a_login(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No mail would go through the server of a provider, or the password would travel in clear."""
    made, context = certificate(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(made))
    with mailbox(tls_context=context, require_starttls=True, auth_required=True) as box:
        send(box, SMTP_TLS="starttls", **LOGIN)
        assert [message["Subject"] for message in box.messages] == ["Hello"]
        assert (box.logins, box.encrypted) == ([USER.encode()], [True])
        with pytest.raises(smtplib.SMTPAuthenticationError):
            send(box, SMTP_TLS="starttls", SMTP_USER=USER, SMTP_PASSWORD="wrong")
        with pytest.raises(smtplib.SMTPSenderRefused):
            send(box, SMTP_TLS="starttls")
    assert len(box.messages) == 1


def test_a_message_arrives_by_tls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that speaks TLS from the first byte could not be used."""
    made, context = certificate(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(made))
    with mailbox(ssl_context=context) as box:
        send(box, SMTP_TLS="tls")
    assert [message.get_content() for message in box.messages] == ["hello\r\n"]


@pytest.mark.parametrize("kind", ["starttls", "tls"])
def test_a_server_that_nobody_vouches_for_gets_nothing(tmp_path: Path, kind: str) -> None:
    """Whoever stands between us and the server would read every ticket and the password."""
    _, context = certificate(tmp_path)
    options = {"ssl_context": context} if kind == "tls" else {"tls_context": context}
    with mailbox(**options) as box, pytest.raises(ssl.SSLCertVerificationError):
        send(box, SMTP_TLS=kind, **LOGIN)
    assert (box.messages, box.logins) == ([], [])


def test_without_starttls_nothing_is_sent() -> None:
    """Whoever stands between us and the server could take STARTTLS out of its greeting."""
    with mailbox() as box, pytest.raises(smtplib.SMTPNotSupportedError):
        send(box, SMTP_TLS="starttls", **LOGIN)
    assert box.messages == []


def test_what_is_refused_for_good_is_told_from_what_is_not() -> None:
    """A mail would be tried for ever, or one that a busy server put off be lost."""
    with mailbox() as box:
        box.refusals = {"gone@files.example": "550 no such mailbox", "busy@files.example": "451 later"}
        verdicts = {}
        for to in box.refusals:
            with pytest.raises(smtplib.SMTPRecipientsRefused) as raised:
                send(box, to)
            verdicts[to] = smtp.is_final(raised.value)
    assert verdicts == {"gone@files.example": True, "busy@files.example": False}
    with pytest.raises(smtp.TROUBLE) as away:
        send(box)
    assert not smtp.is_final(away.value)
