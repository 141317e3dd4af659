"""A new password for a user, or a new hash of the one he has."""

from __future__ import annotations

from contextlib import suppress

from sqlalchemy import update

from blobstore.core import events, passwords, sessions
from blobstore.core.accounts import locked
from blobstore.core.actor import OPERATOR, Actor
from blobstore.core.events import About, Action
from blobstore.core.store import Store
from blobstore.errors import Busy
from blobstore.models import User


def set_password(store: Store, name: str, password: str, by: Actor = OPERATOR) -> None:
    """Give the user a new password, and end his sessions; both bite on the next request. Raises NotFound, BadOption."""
    password_hash = passwords.hash_password(passwords.check_password(password))
    with store.database.transaction() as session:
        account = locked(session, name)
        values = {"password_hash": password_hash, "epoch": User.epoch + 1}
        session.execute(update(User).where(User.id == account.id).values(**values))
        sessions.end_all(session, account.id)
        events.note(session, by, Action.PASSWORD_CHANGED, About(account.id, target=account.name))


def set_password_once(store: Store, user_id: int, epoch: int, password: str, by: Actor = OPERATOR) -> bool:
    """The same for a user of that epoch: of several at once, one succeeds. Raises BadOption."""
    password_hash = passwords.hash_password(passwords.check_password(password))
    with store.database.transaction() as session:
        name = session.execute(
            update(User)
            .where(User.id == user_id, User.epoch == epoch)
            .values(password_hash=password_hash, epoch=User.epoch + 1)
            .returning(User.name)
        ).scalar()
        if name is not None:
            sessions.end_all(session, user_id)
            events.note(session, by, Action.PASSWORD_RESET, About(user_id, target=name))
        return name is not None


def rehash(store: Store, user_id: int, old_hash: str, password: str) -> None:
    """Replace a hash that was made with other parameters than today's, once its password is known to be right.

    When the worker is busy it stays, until the next login.
    """
    if not passwords.is_outdated(old_hash):
        return
    with suppress(Busy):
        values = {"password_hash": passwords.hash_password(password)}
        with store.database.transaction() as session:
            session.execute(update(User).where(User.id == user_id, User.password_hash == old_hash).values(**values))
