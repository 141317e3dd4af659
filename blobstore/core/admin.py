"""What an admin does to users, and the rule that an admin stays. Each is one transaction."""

from __future__ import annotations

import secrets
from typing import Any, TypedDict

from sqlalchemy import func, select, text, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from blobstore.core import events, sessions
from blobstore.core.accounts import Account, locked, make, new_user, parse_email
from blobstore.core.actor import OPERATOR, Actor
from blobstore.core.events import About, Action
from blobstore.core.store import Store
from blobstore.errors import AlreadyExists, LastAdmin
from blobstore.models import User
from blobstore.settings import Settings

FIRST_ADMIN = "root"
_LOCK_FIRST_ADMIN = text("LOCK TABLE users IN SHARE ROW EXCLUSIVE MODE")


class AccountChanges(TypedDict, total=False):
    """What an admin changes; a key that is absent stays. `quota` in bytes, None: no limit."""

    quota: int | None
    role: str
    email: str | None
    disabled: bool


def change(store: Store, name: str, changes: AccountChanges, by: Actor = OPERATOR) -> Account:
    """Apply `changes`; answer the user as he is then.

    Raises NotFound, BadOption, LastAdmin, AlreadyExists for the e-mail.
    """
    values: dict[str, Any] = {{"quota": "quota_bytes"}.get(key, key): value for key, value in changes.items()}
    if "email" in values:
        values |= _email_by_word(values["email"])
    try:
        with store.database.transaction() as session:
            account = locked(session, name)
            if values.get("disabled") or values.get("role") == "user":
                _keep_an_admin(session, account)
            if values.get("disabled"):
                sessions.end_all(session, account.id)
                # Nor do his links and tickets come back when he does.
                values["epoch"] = User.epoch + 1
            if values:
                session.execute(update(User).where(User.id == account.id).values(**values))
                _note(session, account, changes, by)
            return locked(session, name)
    except IntegrityError as error:
        raise AlreadyExists("there is a user with that e-mail already") from error


def set_quota(store: Store, name: str, quota_bytes: int | None) -> None:
    """Give the user a quota, which may be below what he uses; None: no limit. Raises NotFound."""
    change(store, name, {"quota": quota_bytes})


def set_disabled(store: Store, name: str, *, disabled: bool, by: Actor = OPERATOR) -> None:
    """A disabled user is refused on the next request, and nothing of his is served. Raises NotFound, LastAdmin."""
    change(store, name, {"disabled": disabled}, by)


def first_admin(store: Store) -> tuple[str, str] | None:
    """Make the first admin when there is none: `root`, with ADMIN_PASSWORD or a made password.

    The name and the password for the terminal; None when there is an admin. Safe to call from many nodes at once.
    """
    with store.database.transaction() as session:
        session.execute(_LOCK_FIRST_ADMIN)
        if session.scalar(select(func.count()).select_from(User).where(User.role == "admin")):
            return None
        name, email, password = _first_credentials(store.settings)
        make(session, new_user(name, password, email=email, admin=True, quota_bytes=None), OPERATOR)
    return name, password


def _email_by_word(email: str | None) -> dict[str, Any]:
    """An e-mail that an admin gives needs no proof; who waited for one waits no longer."""
    parsed = None if email is None else parse_email(email)
    return {"email": parsed, "verified": True, "admitted": True, "email_epoch": User.email_epoch + 1}


def _first_credentials(settings: Settings) -> tuple[str, str | None, str]:
    given = settings.admin_password
    return FIRST_ADMIN, settings.admin_email, given.get_secret_value() if given else secrets.token_urlsafe(18)


def _note(session: Session, account: Account, changes: AccountChanges, by: Actor) -> None:
    """The log is kept for longer than the account: it says that the e-mail has changed, and not to what."""
    now = {**changes, **({"email": "changed"} if "email" in changes else {})}
    events.note(session, by, Action.USER_CHANGED, About(account.id, target=account.name), now=now)


def _keep_an_admin(session: Session, account: Account) -> None:
    session.execute(_LOCK_FIRST_ADMIN)
    others = select(func.count()).where(User.role == "admin", User.id != account.id, ~User.disabled)
    if account.role == "admin" and not session.scalar(others):
        raise LastAdmin(f"{account.name} is the last admin; make another one first")
