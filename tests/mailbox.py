"""A real SMTP server that keeps what it is sent, in a thread of this process."""

from __future__ import annotations

import re
import socket
import ssl
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from pathlib import Path
from typing import Any

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult, Envelope, LoginPassword

from tests import leaks
from tests.served import eventually

USER, PASSWORD = "files", "the password of the mail server"
leaks.record(PASSWORD)
TICKET = re.compile(r"^http\S+#ticket=(\S+)$", re.MULTILINE)
FROM = "Files <files@files.example>"


@dataclass
class Mailbox:
    """What the server has taken, oldest first; and how it answers."""

    port: int = 0
    messages: list[EmailMessage] = field(default_factory=list)
    envelopes: list[tuple[str | None, list[str]]] = field(default_factory=list)
    logins: list[bytes] = field(default_factory=list)
    refusals: dict[str, str] = field(default_factory=dict)
    """To whom it refuses mail, and what it says then."""
    encrypted: list[bool] = field(default_factory=list)

    async def handle_RCPT(self, _server: Any, _session: Any, envelope: Envelope, address: str, _options: Any) -> str:
        """Take the mail, or refuse it."""
        if address not in self.refusals:
            envelope.rcpt_tos.append(address)
        return self.refusals.get(address, "250 OK")

    async def handle_DATA(self, _server: Any, session: Any, envelope: Envelope) -> str:
        """Keep the message."""
        assert isinstance(envelope.content, bytes)
        self.messages.append(message_from_bytes(envelope.content, EmailMessage, policy=default))
        self.envelopes.append((envelope.mail_from, envelope.rcpt_tos))
        self.encrypted.append(session.ssl is not None)
        return "250 OK"

    def authenticate(self, _server: Any, _session: Any, _envelope: Any, _mechanism: str, given: Any) -> AuthResult:
        """Let in who knows the password."""
        assert isinstance(given, LoginPassword)
        self.logins.append(given.login)
        return AuthResult(success=given == LoginPassword(USER.encode(), PASSWORD.encode()), handled=False)

    @property
    def settings(self) -> dict[str, str]:
        """What a service needs to send its mail here, in the clear and without a login."""
        here = {"SMTP_HOST": "127.0.0.1", "SMTP_PORT": str(self.port), "SMTP_TLS": "none", "MAIL_FROM": FROM}
        return {**here, "BASE_URL": "http://localhost"}

    def text(self, number: int = -1) -> str:
        """What one of the messages says."""
        return str(self.messages[number].get_content()).replace("\r\n", "\n")

    def ticket(self, number: int = -1) -> str:
        """The ticket in the link of one of the messages."""
        (found,) = TICKET.findall(self.text(number))
        return str(found)

    def newest(self, page: str) -> str | None:
        """The ticket in the newest link that leads to this page."""
        found = [
            ticket
            for number in range(len(self.messages))
            for ticket in TICKET.findall(self.text(number))
            if f"{page}#ticket={ticket}" in self.text(number)
        ]
        return found[-1] if found else None

    def wait(self, count: int) -> None:
        """Until so many messages are there."""
        eventually(lambda: len(self.messages) >= count)


@contextmanager
def mailbox(**options: Any) -> Iterator[Mailbox]:
    """A running server; `options` are aiosmtpd's."""
    box = Mailbox()
    with socket.create_server(("127.0.0.1", 0)) as probe:
        box.port = int(probe.getsockname()[1])
    if options.get("auth_required"):
        options["authenticator"] = box.authenticate
    controller = Controller(box, "127.0.0.1", box.port, **options)
    controller.start()
    try:
        yield box
    finally:
        controller.stop()


def certificate(folder: Path) -> tuple[Path, ssl.SSLContext]:
    """A certificate of 127.0.0.1 that nobody knows, and a server's context with it. Skips without openssl."""
    made, key = folder / "certificate.pem", folder / "key.pem"
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", "-subj", "/CN=127.0.0.1"]
    files = ["-addext", "subjectAltName=IP:127.0.0.1", "-keyout", str(key), "-out", str(made)]
    try:
        subprocess.run([*command, *files], check=True, capture_output=True)
    except FileNotFoundError:
        pytest.skip("there is no openssl here")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(made, key)
    return made, context
