"""The mails that wait to be sent: rows that outlive a restart and an SMTP server that is away.

A row names whom it is for and why, and holds no secret: what it says, and its ticket, is made when it is sent.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Literal

from sqlalchemy import delete, insert, text
from sqlalchemy.orm import Session

from blobstore.core.limits import Limiter
from blobstore.core.store import Store
from blobstore.emails import fold
from blobstore.errors import MailDisabled
from blobstore.models import Mail

Kind = Literal["verify", "reset", "moved"]
"""A link that proves an e-mail; a link to a new password; word to the address that an account had before."""

_CLAIM = text("""
UPDATE mails SET attempts = attempts + 1,
    due_at = clock_timestamp() + make_interval(secs => LEAST(120 * power(2, attempts), 3600))
WHERE id = (SELECT id FROM mails WHERE due_at <= clock_timestamp() ORDER BY due_at, id LIMIT 1 FOR UPDATE SKIP LOCKED)
RETURNING id, kind, who, address, attempts, clock_timestamp() - created_at AS age
""")


@dataclass(frozen=True)
class WaitingMail:
    """A mail that this worker tries to send; another one may try later, if it is still there then."""

    id: int
    kind: Kind
    who: str
    address: str | None
    attempts: int
    """This one counted."""
    age: timedelta


def queue(session: Session, kind: Kind, who: str, address: str | None = None) -> None:
    """Let a mail be sent once the transaction is committed."""
    session.execute(insert(Mail).values(kind=kind, who=who, address=address))


def ask(store: Store, kind: Kind, who: str, client: str) -> None:
    """Let a mail be sent that anybody may ask for, to the user of this name or e-mail.

    Whether there is one is looked up when it is sent, so that the answer and the work tell nothing.
    `client` is the address that asks. Raises MailDisabled, TooManyAttempts.
    """
    if store.settings.smtp_host is None:
        raise MailDisabled("this service sends no mail; an admin can hand you a ticket")
    take(store, client)
    with store.database.transaction() as session:
        queue(session, kind, fold(who))


def take(store: Store, client: str) -> None:
    """Count a request that has mail sent. Raises TooManyAttempts."""
    settings = store.settings
    limiter = Limiter(store.database)
    limiter.take("requests about e-mail", settings.mails, settings.signup_window_seconds, "mail", client)


def may_get_another(store: Store, address: str) -> bool:
    """Whether a mailbox has had fewer than its share, this one counted."""
    settings = store.settings
    return Limiter(store.database).hit(settings.mails, settings.signup_window_seconds, "mail-to", address)


def claim(store: Store) -> WaitingMail | None:
    """The mail that has been due longest, for this worker alone until it is due again; None when none is."""
    with store.database.transaction() as session:
        row = session.execute(_CLAIM).one_or_none()
    return None if row is None else WaitingMail(*row)


def remove(store: Store, mail: WaitingMail) -> None:
    """Forget a mail that was sent, or never will be."""
    with store.database.transaction() as session:
        session.execute(delete(Mail).where(Mail.id == mail.id))
