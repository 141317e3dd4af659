"""One message to the SMTP server of the settings."""

from __future__ import annotations

import smtplib
import ssl
from contextlib import suppress
from email.message import EmailMessage
from smtplib import SMTPDataError, SMTPException, SMTPRecipientsRefused
from urllib.parse import urlsplit

from blobstore.settings import Settings

TROUBLE = (SMTPException, OSError)
"""What `send` raises; of none of them is it known that the message was not taken."""


def send(settings: Settings, message: EmailMessage) -> None:
    """Hand the message over, by TLS and with a login as the settings say. Raises any of TROUBLE."""
    server = _connect(settings)
    try:
        if settings.smtp_user and settings.smtp_password:
            server.login(settings.smtp_user, settings.smtp_password.get_secret_value())
        server.send_message(message)
    finally:
        with suppress(*TROUBLE):
            server.quit()
        server.close()


def is_final(error: Exception) -> bool:
    """Whether the server will never take this message: no such mailbox, or not such a content."""
    if isinstance(error, SMTPRecipientsRefused):
        return all(code >= 500 for code, _ in error.recipients.values())
    return isinstance(error, SMTPDataError) and error.smtp_code >= 500


def _connect(settings: Settings) -> smtplib.SMTP:
    """Without a name of our own the library would ask for one over the network."""
    host, own = settings.smtp_host or "", urlsplit(settings.base_url or "").hostname or "localhost"
    seconds = settings.smtp_timeout_seconds
    if settings.smtp_tls == "tls":
        context = ssl.create_default_context()
        return smtplib.SMTP_SSL(host, settings.smtp_port, own, timeout=seconds, context=context)
    server = smtplib.SMTP(host, settings.smtp_port, own, timeout=seconds)
    try:
        if settings.smtp_tls == "starttls":
            server.starttls(context=ssl.create_default_context())
    except BaseException:
        server.close()
        raise
    return server
