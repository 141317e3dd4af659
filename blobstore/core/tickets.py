"""Tickets: whoever has one may set a user's password, or prove his e-mail, once, until it ends.

A ticket is an HMAC over the user, its end, and the epochs of what it is for. A change of the password or of the e-mail
raises an epoch, and an e-mail is proven once: so a ticket works once, and every older one is void. Nothing is stored.
"""

from __future__ import annotations

import hmac
import re
from base64 import urlsafe_b64encode
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from hashlib import sha256

from sqlalchemy import select

from blobstore.core import accounts, events, new_email, new_password
from blobstore.core.actor import OPERATOR, Actor
from blobstore.core.events import About, Action
from blobstore.core.ring import ring
from blobstore.core.store import Store
from blobstore.errors import BadOption, BadSignature
from blobstore.models import User

LIFE = timedelta(hours=24)
_TICKET = re.compile(r"([0-9]{1,18})\.([0-9]{1,12})\.([A-Za-z0-9_-]{43})", re.ASCII)


class Purpose(StrEnum):
    """What a ticket is for."""

    PASSWORD = "password"  # noqa: S105 - a word, not a secret
    EMAIL = "email"


_LABELS = {Purpose.PASSWORD: b"blobstore password ticket 2", Purpose.EMAIL: b"blobstore e-mail ticket 1"}
_COLUMNS = {Purpose.PASSWORD: (User.epoch, User.email_epoch), Purpose.EMAIL: (User.email_epoch,)}
"""What makes older tickets void. A new e-mail ends those to a new password too: they went to the old one."""


def issue(
    store: Store,
    name: str,
    purpose: Purpose = Purpose.PASSWORD,
    now: datetime | None = None,
    by: Actor = OPERATOR,
) -> tuple[str, datetime]:
    """A ticket for the user, and when it ends. Raises NotFound, BadOption when there is no e-mail to be proven."""
    account = accounts.get(store, name)
    if purpose is Purpose.EMAIL and (account.verified or account.email is None):
        raise BadOption("for", f"{account.name} has no e-mail that waits to be verified")
    ends_at = (now or datetime.now(UTC)).replace(microsecond=0) + LIFE
    ends = int(ends_at.timestamp())
    signature = _signature(ring(store, _LABELS[purpose])[0], account.id, ends, _epochs(store, purpose, account.id))
    about = About(account.id, target=account.name)
    events.write(store, by, Action.TICKET_ISSUED, about, purpose=purpose, expires_at=ends_at)
    return f"{account.id}.{ends}.{signature}", ends_at


def redeem_password(
    store: Store, ticket: str, password: str, now: datetime | None = None, by: Actor = OPERATOR
) -> None:
    """Set the password of the ticket's user, and end his sessions. Raises BadSignature, BadOption."""
    user_id, epochs = _checked(store, Purpose.PASSWORD, ticket, now)
    if not new_password.set_password_once(store, user_id, epochs[0], password, by):
        raise BadSignature("this ticket has been used")


def redeem_email(store: Store, ticket: str, now: datetime | None = None, by: Actor = OPERATOR) -> None:
    """Note that the e-mail of the ticket's user is his. Raises BadSignature, AlreadyExists when it is another's."""
    user_id, epochs = _checked(store, Purpose.EMAIL, ticket, now)
    if not new_email.verify_once(store, user_id, epochs[0], by):
        raise BadSignature("this ticket has been used")


def _checked(store: Store, purpose: Purpose, ticket: str, now: datetime | None) -> tuple[int, tuple[int, ...]]:
    """The user of a ticket that we have signed and that has not ended, and his epochs. Raises BadSignature."""
    match = _TICKET.fullmatch(ticket)
    user_id, ends = (int(match[1]), int(match[2])) if match else (0, 0)
    epochs = _epochs(store, purpose, user_id)
    left = ends - (now or datetime.now(UTC)).timestamp()
    signatures = [_signature(secret, user_id, ends, epochs) for secret in ring(store, _LABELS[purpose])]
    given = match[3] if match else ""
    if not any(hmac.compare_digest(each, given) for each in signatures) or not 0 < left <= LIFE.total_seconds():
        raise BadSignature("this ticket is not valid, or not any more; ask for another one")
    return user_id, epochs


def _epochs(store: Store, purpose: Purpose, user_id: int) -> tuple[int, ...]:
    """(-1,) for nobody: no ticket was ever signed with it."""
    with store.database.transaction() as session:
        row = session.execute(select(*_COLUMNS[purpose]).where(User.id == user_id)).one_or_none()
    return (-1,) if row is None else tuple(row)


def _signature(secret: bytes, user_id: int, ends: int, epochs: tuple[int, ...]) -> str:
    mac = hmac.digest(secret, ".".join(map(str, (user_id, ends, *epochs))).encode(), sha256)
    return urlsafe_b64encode(mac).decode().rstrip("=")
