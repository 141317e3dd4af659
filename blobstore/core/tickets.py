"""Tickets to a new password: whoever has one may set the user's password, once, until it ends.

A ticket is an HMAC over the user, his epoch and its end; every change of password raises the epoch, so that a ticket
works once, and a newer password makes all older tickets void. Nothing is stored.
"""

from __future__ import annotations

import hmac
import re
from base64 import urlsafe_b64encode
from datetime import UTC, datetime, timedelta
from hashlib import sha256

from sqlalchemy import select

from blobstore.core import accounts, events, new_password
from blobstore.core.actor import OPERATOR, Actor
from blobstore.core.events import About, Action
from blobstore.core.ring import ring
from blobstore.core.store import Store
from blobstore.errors import BadSignature
from blobstore.models import User

LIFE = timedelta(hours=24)
_PURPOSE = b"blobstore password ticket 1"
_TICKET = re.compile(r"([0-9]{1,18})\.([0-9]{1,12})\.([A-Za-z0-9_-]{43})", re.ASCII)


def issue(store: Store, name: str, now: datetime | None = None, by: Actor = OPERATOR) -> tuple[str, datetime]:
    """A ticket for the user, and when it ends: for an admin to hand out. Raises NotFound."""
    account = accounts.get(store, name)
    ends_at = (now or datetime.now(UTC)).replace(microsecond=0) + LIFE
    ends = int(ends_at.timestamp())
    epoch = _epoch(store, account.id)
    events.write(store, by, Action.TICKET_ISSUED, About(account.id, target=account.name), expires_at=ends_at)
    return f"{account.id}.{ends}.{_signature(ring(store, _PURPOSE)[0], account.id, ends, epoch)}", ends_at


def redeem(store: Store, ticket: str, password: str, now: datetime | None = None, by: Actor = OPERATOR) -> None:
    """Set the password of the ticket's user, and end his sessions. Raises BadSignature, BadOption."""
    match = _TICKET.fullmatch(ticket)
    user_id, ends = (int(match[1]), int(match[2])) if match else (0, 0)
    epoch = _epoch(store, user_id)
    left = ends - (now or datetime.now(UTC)).timestamp()
    signatures = [_signature(secret, user_id, ends, epoch) for secret in ring(store, _PURPOSE)]
    given = match[3] if match else ""
    if not any(hmac.compare_digest(each, given) for each in signatures) or not 0 < left <= LIFE.total_seconds():
        raise BadSignature("this ticket is not valid, or not any more; ask for another one")
    if not new_password.set_password_once(store, user_id, epoch, password, by):
        raise BadSignature("this ticket has been used")


def _epoch(store: Store, user_id: int) -> int:
    """-1 for nobody: no ticket was ever signed with it."""
    with store.database.transaction() as session:
        epoch = session.scalar(select(User.epoch).where(User.id == user_id))
    return -1 if epoch is None else epoch


def _signature(secret: bytes, user_id: int, ends: int, epoch: int) -> str:
    mac = hmac.digest(secret, f"{user_id}.{ends}.{epoch}".encode(), sha256)
    return urlsafe_b64encode(mac).decode().rstrip("=")
