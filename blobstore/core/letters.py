"""What the mails say, and to whom: looked up when they are sent, so that they tell what is so then."""

from __future__ import annotations

from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime, localtime, make_msgid
from urllib.parse import urlsplit

from email_validator import validate_email
from sqlalchemy import select

from blobstore.core import tickets
from blobstore.core.actor import MAIL
from blobstore.core.mails import WaitingMail
from blobstore.core.store import Store
from blobstore.core.tickets import Purpose
from blobstore.models import User
from blobstore.settings import Settings

PAGES = {Purpose.PASSWORD: "/auth/password", Purpose.EMAIL: "/auth/email"}
"""Where a person goes with his ticket."""
_POLICY = SMTP.clone(max_line_length=998)  # a link stays in one piece
_FOOT = "\n\nYou need not answer: nobody reads this address.\n{service}\n"

_VERIFY = """Somebody, most likely you, has given this address for the account "{name}" at {service}.

If it was you, open this link within a day:

{link}

If it was not, do nothing: without the link the address is not accepted."""
_TAKEN = """Somebody, most likely you, has given this address for the new account "{name}" at {service}.

It belongs to your account "{holder}" there already, and so the new account will not be opened. You can log in as
"{holder}"; if you have lost the password, ask for a new one. If it was not you, do nothing."""
_RESET = """Somebody, most likely you, has asked for a new password for the account "{name}" at {service}.

If it was you, open this link within a day:

{link}

If it was not, do nothing: the password stays as it is."""
_MOVED = """The account "{name}" at {service} has another e-mail address now, and this one no longer belongs to it.

If it was not you who changed it, tell an admin there at once: whoever did it knows your password."""


def link(service: str, purpose: Purpose, ticket: str) -> str:
    """Where a person redeems his ticket. What follows # is sent to no server, and stands in no log on the way."""
    return f"{service}{PAGES[purpose]}#ticket={ticket}"


def write(store: Store, mail: WaitingMail) -> EmailMessage | None:
    """The message, None when it has nobody to go to, or nothing to say any more."""
    if mail.kind == "moved":
        return _message(store.settings, mail.address or "", "Your e-mail address was changed", _MOVED, name=mail.who)
    return _to_reset(store, mail.who) if mail.kind == "reset" else _to_verify(store, mail.who)


def _to_reset(store: Store, who: str) -> EmailMessage | None:
    """Only to an address that is proven: another one may be somebody else's, by a mistake or on purpose."""
    proven = (User.verified, User.email.is_not(None), User.admitted, ~User.disabled)
    with store.database.transaction() as session:
        found = select(User.name, User.email).where((User.name == who) | (User.email == who), *proven)
        row = session.execute(found).one_or_none()
    if row is None:
        return None
    return _with_link(store, Purpose.PASSWORD, row.name, row.email, "A new password", _RESET)


def _to_verify(store: Store, who: str) -> EmailMessage | None:
    """Of many that wait for one address the newest gets the link."""
    waiting = (~User.verified, User.email.is_not(None), ~User.disabled)
    with store.database.transaction() as session:
        found = select(User.name, User.email).where((User.name == who) | (User.email == who), *waiting)
        row = session.execute(found.order_by(User.created_at.desc(), User.id.desc()).limit(1)).one_or_none()
        if row is None:
            return None
        holder = session.scalar(select(User.name).where(User.email == row.email, User.verified))
    if holder:
        return _message(store.settings, row.email, "You have an account already", _TAKEN, name=row.name, holder=holder)
    return _with_link(store, Purpose.EMAIL, row.name, row.email, "Verify your e-mail address", _VERIFY)


def _with_link(store: Store, purpose: Purpose, name: str, address: str, subject: str, body: str) -> EmailMessage:
    ticket, _ = tickets.issue(store, name, purpose, by=MAIL)
    there = link(store.settings.base_url or "", purpose, ticket)
    return _message(store.settings, address, subject, body, name=name, link=there)


def _message(settings: Settings, address: str, subject: str, body: str, **values: str) -> EmailMessage:
    """The library refuses a header with a line end; our names and addresses have none."""
    service = settings.base_url or ""
    sender = validate_email(settings.mail_from or "", check_deliverability=False, allow_display_name=True)
    message = EmailMessage(_POLICY)
    message["From"] = Address(sender.display_name or "", addr_spec=sender.ascii_email or "")
    message["To"] = Address(addr_spec=address)
    message["Subject"] = subject
    message["Date"] = format_datetime(localtime())
    message["Message-ID"] = make_msgid(domain=urlsplit(service).hostname)
    message["Auto-Submitted"] = "auto-generated"  # RFC 3834: no out-of-office replies
    message.set_content((body + _FOOT).format(service=service, **values))
    return message
