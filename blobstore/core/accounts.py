"""Users: made, changed, removed. The only writer of `users`, but for the counters, which are core/quota.py's."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypedDict

from sqlalchemy import delete, func, insert, select, text, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from blobstore.core import keys, passwords, sessions
from blobstore.core.delete import Which, remove
from blobstore.core.names import parse_user_name
from blobstore.core.store import Store
from blobstore.database import like_literally
from blobstore.digest import Digest
from blobstore.errors import AlreadyExists, BadOption, LastAdmin, NotFound
from blobstore.models import File, User
from blobstore.settings import Settings

MIN_PASSWORD_LENGTH = 8
MAX_PASSWORD_BYTES = 1024
MAX_EMAIL_BYTES = 254
FIRST_ADMIN = "root"
DELETE_BATCH = 500
_LOCK_FIRST_ADMIN = text("LOCK TABLE users IN SHARE ROW EXCLUSIVE MODE")


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
)


def add(
    store: Store,
    name: str,
    password: str,
    *,
    email: str | None = None,
    admin: bool = False,
    quota_bytes: int | None = None,
) -> Account:
    """Make a user. Raises BadName, BadOption for the password or e-mail, AlreadyExists."""
    values = _new_user(name, password, email=email, admin=admin, quota_bytes=quota_bytes)
    try:
        with store.database.transaction() as session:
            return _insert(session, values)
    except IntegrityError as error:
        raise AlreadyExists("there is a user with that name or e-mail already") from error


def first_admin(store: Store) -> tuple[str, str] | None:
    """Make the first admin when there is none: `root`, with ADMIN_PASSWORD or a made password.

    The name and the password for the terminal; None when there is an admin. Safe to call from many nodes at once.
    """
    with store.database.transaction() as session:
        session.execute(_LOCK_FIRST_ADMIN)
        if session.scalar(select(func.count()).select_from(User).where(User.role == "admin")):
            return None
        name, email, password = _first_credentials(store.settings)
        _insert(session, _new_user(name, password, email=email, admin=True, quota_bytes=None))
    return name, password


def _first_credentials(settings: Settings) -> tuple[str, str | None, str]:
    given = settings.admin_password
    return FIRST_ADMIN, settings.admin_email, given.get_secret_value() if given else secrets.token_urlsafe(18)


@dataclass(frozen=True)
class AccountPage:
    """One page of users, by name; `next` is the cursor of the next one, None on the last."""

    items: list[Account]
    next: str | None


def page(store: Store, q: str, *, limit: int, after: str) -> AccountPage:
    """Users whose name or e-mail has `q` in it, in any case, beyond the name `after`."""
    part = f"%{like_literally(q)}%"
    statement = (
        select(*_ACCOUNT)
        .where(User.name > after, User.name.ilike(part) | User.email.ilike(part))
        .order_by(User.name)
        .limit(limit + 1)
    )
    with store.database.transaction() as session:
        found = [Account(*row) for row in session.execute(statement)]
    return AccountPage(found[:limit], found[limit - 1].name if len(found) > limit else None)


class AccountChanges(TypedDict, total=False):
    """What an admin changes; a key that is absent stays. `quota` in bytes, None: no limit."""

    quota: int | None
    role: str
    email: str | None
    disabled: bool


def change(store: Store, name: str, changes: AccountChanges) -> Account:
    """Apply `changes`; answer the user as he is then.

    Raises NotFound, BadOption, LastAdmin, AlreadyExists for the e-mail.
    """
    values: dict[str, Any] = {{"quota": "quota_bytes"}.get(key, key): value for key, value in changes.items()}
    if "email" in values:
        values["email"] = _check_email(values["email"])
    try:
        with store.database.transaction() as session:
            account = _get(session, name)
            if values.get("disabled") or values.get("role") == "user":
                _keep_an_admin(session, account)
            if values.get("disabled"):
                sessions.end_all(session, account.id)
            if values:
                session.execute(update(User).where(User.id == account.id).values(**values))
            return _get(session, name)
    except IntegrityError as error:
        raise AlreadyExists("there is a user with that e-mail already") from error


def accounts(store: Store) -> list[Account]:
    """Every user, by name."""
    with store.database.transaction() as session:
        return [Account(*row) for row in session.execute(select(*_ACCOUNT).order_by(User.name))]


def get(store: Store, name: str) -> Account:
    """One user. Raises NotFound."""
    with store.database.transaction() as session:
        return _get(session, name)


def set_password(store: Store, name: str, password: str) -> None:
    """Give the user a new password, and end his sessions; both bite on the next request. Raises NotFound, BadOption."""
    password_hash = passwords.hash_password(check_password(password))
    with store.database.transaction() as session:
        account = _get(session, name)
        values = {"password_hash": password_hash, "epoch": User.epoch + 1}
        session.execute(update(User).where(User.id == account.id).values(**values))
        sessions.end_all(session, account.id)


def set_password_once(store: Store, user_id: int, epoch: int, password: str) -> bool:
    """The same for a user of that epoch: of several at once, one succeeds. Raises BadOption."""
    password_hash = passwords.hash_password(check_password(password))
    with store.database.transaction() as session:
        changed = session.execute(
            update(User)
            .where(User.id == user_id, User.epoch == epoch)
            .values(password_hash=password_hash, epoch=User.epoch + 1)
        )
        sessions.end_all(session, user_id)
        return bool(changed.rowcount)  # type: ignore[attr-defined]


def rehash(store: Store, user_id: int, old_hash: str, password: str) -> None:
    """Replace a hash that was made with other parameters than today's, once its password is known to be right."""
    if passwords.is_outdated(old_hash):
        values = {"password_hash": passwords.hash_password(password)}
        with store.database.transaction() as session:
            session.execute(update(User).where(User.id == user_id, User.password_hash == old_hash).values(**values))


def set_quota(store: Store, name: str, quota_bytes: int | None) -> None:
    """Give the user a quota, which may be below what he uses; None: no limit. Raises NotFound."""
    change(store, name, {"quota": quota_bytes})


def set_disabled(store: Store, name: str, *, disabled: bool) -> None:
    """A disabled user is refused on the next request, and nothing of his is served. Raises NotFound, LastAdmin."""
    change(store, name, {"disabled": disabled})


def remove_account(store: Store, name: str) -> int:
    """Delete the user with all his files, by the ordinary delete; how many files. Raises NotFound, LastAdmin.

    He is disabled first, so that nothing new comes; when it is interrupted, it can be repeated.
    """
    set_disabled(store, name, disabled=True)
    account = get(store, name)
    removed = _remove_files(store, account.id)
    while not _drop(store, account.id):
        removed += _remove_files(store, account.id)
    return removed


def check_password(password: str) -> str:
    """The password, if it may be one. Raises BadOption: 8 characters to 1,024 bytes, not like an API key."""
    if len(password) < MIN_PASSWORD_LENGTH or len(password.encode()) > MAX_PASSWORD_BYTES:
        raise BadOption("password", f"has {MIN_PASSWORD_LENGTH} characters to {MAX_PASSWORD_BYTES} bytes")
    if password.startswith("bs_"):
        raise BadOption("password", "must not start with bs_, which is how API keys start")
    if "\0" in password:
        raise BadOption("password", "has no NUL")
    return password


def _new_user(name: str, password: str, *, email: str | None, admin: bool, quota_bytes: int | None) -> dict[str, Any]:
    return {
        "name": parse_user_name(name),
        "email": _check_email(email),
        "password_hash": passwords.hash_password(check_password(password)),
        "role": "admin" if admin else "user",
        "quota_bytes": quota_bytes,
    }


def _check_email(email: str | None) -> str | None:
    if email is None:
        return None
    local, at, host = email.rpartition("@")
    if not at or not local or "." not in host or not email.isprintable() or " " in email:
        raise BadOption("email", "is not an e-mail address")
    if len(email.encode()) > MAX_EMAIL_BYTES:
        raise BadOption("email", f"has at most {MAX_EMAIL_BYTES} bytes")
    return email.casefold()


def _insert(session: Session, values: dict[str, Any]) -> Account:
    return Account(*session.execute(insert(User).values(**values).returning(*_ACCOUNT)).one())


def _get(session: Session, name: str) -> Account:
    row = session.execute(select(*_ACCOUNT).where(User.name == name.lower()).with_for_update()).one_or_none()
    if row is None:
        raise NotFound(f"there is no user {name!r}")
    return Account(*row)


def _keep_an_admin(session: Session, account: Account) -> None:
    session.execute(_LOCK_FIRST_ADMIN)
    others = select(func.count()).where(User.role == "admin", User.id != account.id, ~User.disabled)
    if account.role == "admin" and not session.scalar(others):
        raise LastAdmin(f"{account.name} is the last admin; make another one first")


def _remove_files(store: Store, owner_id: int) -> int:
    removed = 0
    while files := _some_files(store, owner_id):
        for file_id, digest in files:
            removed += _remove_file(store, owner_id, file_id, digest)
    return removed


def _drop(store: Store, user_id: int) -> bool:
    """Delete the row; False when an upload that was under way has added a file meanwhile."""
    try:
        with store.database.transaction() as session:
            keys.revoke_all(session, user_id)
            sessions.end_all(session, user_id)
            session.execute(delete(User).where(User.id == user_id))
    except IntegrityError:
        return False
    return True


def _some_files(store: Store, owner_id: int) -> list[tuple[str, str]]:
    with store.database.transaction() as session:
        rows = session.execute(select(File.id, File.digest).where(File.owner_id == owner_id).limit(DELETE_BATCH))
        return [(row.id, row.digest) for row in rows]


def _remove_file(store: Store, owner_id: int, file_id: str, digest: str) -> int:
    try:
        return remove(store, owner_id, Digest(digest), Which.ALL, {"id": file_id}).files
    except NotFound:
        return 0
