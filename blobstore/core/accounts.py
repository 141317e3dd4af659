"""Users: made and looked up. Changed in admin.py, new_email.py and new_password.py, removed in removal.py."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Select, bindparam, insert, select, text
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from blobstore import emails
from blobstore.core import events, passwords
from blobstore.core.actor import OPERATOR, Actor
from blobstore.core.cursors import Page, cut
from blobstore.core.events import About, Action
from blobstore.core.names import parse_user_name
from blobstore.core.store import Store
from blobstore.database import like_literally
from blobstore.emails import fold
from blobstore.errors import AlreadyExists, BadOption, NotFound
from blobstore.models import User


@dataclass(frozen=True)
class Account:
    """A user as an administrator sees him. Sizes in bytes; `quota_bytes` None: no limit."""

    id: int
    name: str
    email: str | None
    role: str
    quota_bytes: int | None
    used_bytes: int
    file_count: int
    disabled: bool
    created_at: datetime
    verified: bool
    """The e-mail is proven."""
    admitted: bool
    """May log in."""


_LOCK_EMAIL = text("SELECT pg_advisory_xact_lock(hashtextextended('blobstore e-mail ' || :email, 0))")
_ACCOUNT = (
    User.id,
    User.name,
    User.email,
    User.role,
    User.quota_bytes,
    User.used_bytes,
    User.file_count,
    User.disabled,
    User.created_at,
    User.verified,
    User.admitted,
)
_BY_NAME = select(*_ACCOUNT).where(User.name == bindparam("name"))


def add(
    store: Store,
    name: str,
    password: str,
    *,
    email: str | None = None,
    admin: bool = False,
    quota_bytes: int | None = None,
    by: Actor = OPERATOR,
) -> Account:
    """Make a user by the word of an admin: his e-mail needs no proof.

    Raises BadUserName, BadOption for the password or e-mail, AlreadyExists.
    """
    values = new_user(name, password, email=email, admin=admin, quota_bytes=quota_bytes)
    try:
        with store.database.transaction() as session:
            return make(session, values, by)
    except IntegrityError as error:
        raise AlreadyExists("there is a user with that name or e-mail already") from error


def page(store: Store, q: str, *, limit: int, after: str) -> Page[Account]:
    """Users whose name or e-mail has `q` in it, in any case, by name, beyond the name `after`, which is the cursor."""
    part = f"%{like_literally(fold(q))}%"
    statement = (
        select(*_ACCOUNT)
        .where(User.name > after, User.name.ilike(part) | User.email.ilike(part))
        .order_by(User.name)
        .limit(limit + 1)
    )
    with store.database.transaction() as session:
        found = [Account(*row) for row in session.execute(statement)]
    return cut(found, limit, lambda account: account.name)


def accounts(store: Store) -> list[Account]:
    """Every user, by name."""
    with store.database.transaction() as session:
        return [Account(*row) for row in session.execute(select(*_ACCOUNT).order_by(User.name))]


def get(store: Store, name: str) -> Account:
    """One user. Raises NotFound."""
    with store.database.transaction() as session:
        return _one(session, name, _BY_NAME)


def locked(session: Session, name: str) -> Account:
    """One user, whose row nobody else changes until the transaction ends. Raises NotFound."""
    return _one(session, name, _BY_NAME.with_for_update())


def _one(session: Session, name: str, statement: Select[*tuple[Any, ...]]) -> Account:
    row = session.execute(statement, {"name": fold(name)}).one_or_none()
    if row is None:
        raise NotFound(f"there is no user {name!r}")
    return Account(*row)


def new_user(
    name: str,
    password: str,
    *,
    email: str | None,
    admin: bool,
    quota_bytes: int | None,
    client: str = "",
) -> dict[str, Any]:
    """What is checked of a new user, as columns; `client` is whose turn the hashing takes.

    Raises BadUserName, BadOption for the password or e-mail, Busy.
    """
    return {
        "name": parse_user_name(name),
        "email": None if email is None else parse_email(email),
        "password_hash": passwords.hash_password(passwords.check_password(password), client),
        "role": "admin" if admin else "user",
        "quota_bytes": quota_bytes,
    }


def make(session: Session, values: dict[str, Any], by: Actor) -> Account:
    """Insert what `new_user` has checked. Raises IntegrityError when the name or e-mail is taken."""
    row: Any = session.execute(insert(User).values(**values).returning(*_ACCOUNT)).one()
    account = Account(*row)
    about = About(owner_id=account.id, target=account.name)
    events.note(session, by, Action.USER_ADDED, about, role=account.role, quota=account.quota_bytes)
    return account


def parse_email(email: str) -> str:
    """The address in the form in which it is kept. Raises BadOption."""
    try:
        return emails.parse(email)
    except ValueError as error:
        raise BadOption("email", f"is not an e-mail address: {error}") from error


def is_taken(session: Session, email: str) -> bool:
    """Whether anybody has the address, proven or not. Until the transaction ends nobody else gets an answer."""
    session.execute(_LOCK_EMAIL, {"email": email})
    return session.scalar(select(User.id).where(User.email == email).limit(1)) is not None
