"""A new e-mail for a user, and the proof that one is his."""

from __future__ import annotations

from sqlalchemy import update
from sqlalchemy.exc import IntegrityError

from blobstore import emails
from blobstore.core import events, mails
from blobstore.core.accounts import Account, is_taken, locked, parse_email
from blobstore.core.actor import OPERATOR, Actor
from blobstore.core.events import About, Action
from blobstore.core.store import Store
from blobstore.errors import AlreadyExists, EmailNotAllowed
from blobstore.models import User
from blobstore.settings import Settings


def check_allowed(settings: Settings, email: str) -> None:
    """Raise EmailNotAllowed when there is a list of addresses that may have an account, without this one."""
    if settings.registration == "allowlist" and not emails.is_listed(email, settings.registration_allowlist):
        raise EmailNotAllowed("this e-mail address may not have an account here; ask an admin")


def set_email(store: Store, name: str, email: str, by: Actor) -> Account:
    """Give the user an e-mail that is to be proven, and tell both it and the old one; nothing for the one he has.

    Whether somebody else has it is told where no mail can tell him alone.
    Raises NotFound, BadOption, EmailNotAllowed, TooManyAttempts, AlreadyExists.
    """
    wanted = parse_email(email)
    check_allowed(store.settings, wanted)
    mails.take(store, by.address)
    with store.database.transaction() as session:
        account = locked(session, name)
        if account.email == wanted:
            return account
        if store.settings.smtp_host is None:
            if is_taken(session, wanted):
                raise AlreadyExists("there is a user with that e-mail already")
        else:
            mails.queue(session, "verify", account.name)
            if account.verified and account.email:
                mails.queue(session, "moved", account.name, account.email)
        values = {"email": wanted, "verified": False, "email_epoch": User.email_epoch + 1}
        session.execute(update(User).where(User.id == account.id).values(**values))
        events.note(session, by, Action.EMAIL_CHANGED, About(account.id, target=account.name))
        return locked(session, name)


def verify_once(store: Store, user_id: int, email_epoch: int, by: Actor = OPERATOR) -> bool:
    """Note that the user has proven his e-mail of that epoch: of several at once, one succeeds.

    Raises AlreadyExists when somebody else has proven the same address before.
    """
    waiting = (User.id == user_id, User.email_epoch == email_epoch, User.email.is_not(None), ~User.verified)
    try:
        with store.database.transaction() as session:
            proven = update(User).where(*waiting).values(verified=True, admitted=True).returning(User.name)
            name = session.execute(proven).scalar()
            if name is not None:
                events.note(session, by, Action.EMAIL_VERIFIED, About(user_id, target=name))
            return name is not None
    except IntegrityError as error:
        raise AlreadyExists("this e-mail address belongs to another account here") from error
