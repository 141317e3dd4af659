"""The audit log: who did what to what, when and from where. It is added to, and nothing else; upkeep deletes by age.

What belongs to a transaction is written in that transaction: what was acknowledged has its event, what was rolled back
has none. On the way of an upload the event rides on the statement that comes last anyway. No key, password, token or
ticket is ever given to this module.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from sqlalchemy import TextClause, text
from sqlalchemy.orm import Session

from blobstore.core import cursors
from blobstore.core.actor import Actor
from blobstore.core.cursors import Page
from blobstore.core.gate import Caller
from blobstore.core.store import Store
from blobstore.digest import Digest

BATCH = 1000
FORGET_BATCH = 10_000


class Action(StrEnum):
    """What is done, as clients read it."""

    LOGIN = "login"
    LOGIN_FAILED = "login_failed"
    LOGOUT = "logout"
    PASSWORD_CHANGED = "password_changed"  # noqa: S105
    PASSWORD_RESET = "password_reset"  # noqa: S105
    EMAIL_CHANGED = "email_changed"
    EMAIL_VERIFIED = "email_verified"
    TICKET_ISSUED = "ticket_issued"
    KEY_ISSUED = "key_issued"
    KEY_ROTATED = "key_rotated"
    KEY_REVOKED = "key_revoked"
    UPLOAD = "upload"
    DOWNLOAD = "download"
    LINK_SIGNED = "link_signed"
    FILE_CHANGED = "file_changed"
    FILE_DELETED = "file_deleted"
    CONTENT_DELETED = "content_deleted"
    CONTENT_REMOVED = "content_removed"
    CONTENT_BANNED = "content_banned"
    BAN_LIFTED = "ban_lifted"
    USER_ADDED = "user_added"
    USER_CHANGED = "user_changed"
    USER_REMOVED = "user_removed"
    FILES_LISTED = "files_listed"
    EVENTS_EXPORTED = "events_exported"


_COLUMNS = "at, id, user_name, owner_id, action, digest, file_id, target, address, request_id, details"
_NOTE_SQL = """
INSERT INTO events (user_name, owner_id, action, digest, file_id, target, address, request_id, details)
VALUES (:by, :owner, :action, :digest, :file_id, :target, :address, :request_id, CAST(:details AS jsonb))
"""
_NOTE = text(_NOTE_SQL)
_RETAIN = text("SET LOCAL blobstore.retention = 'on'")
_OLD = text("""
SELECT max(at) FROM (
    SELECT at FROM events WHERE at < now() - CAST(:age AS interval) ORDER BY at LIMIT :limit) AS old
""")
_FORGET = text("DELETE FROM events WHERE at <= :until")


@dataclass(frozen=True)
class StoredEvent:
    """One event, in the order of _COLUMNS; `user` None: nobody was logged in."""

    at: datetime
    id: int
    user: str | None
    owner_id: int | None
    action: str
    digest: str | None
    file_id: str | None
    target: str | None
    address: str
    request_id: str
    details: dict[str, Any]


@dataclass(frozen=True)
class Filters:
    """What the log is narrowed to; None means all. `after` is included, `before` is not."""

    user: str | None = None
    action: Action | None = None
    after: datetime | None = None
    before: datetime | None = None


@dataclass(frozen=True, slots=True)
class About:
    """What an event is about, as far as it is; `owner_id`: whose account or file, who will see it in his activity."""

    owner_id: int | None = None
    digest: Digest | None = None
    file_id: str | None = None
    target: str | None = None


NOBODY = About()
Noted = dict[str, Any]
"""An event as the values of a statement that `beside` has made."""


def note(session: Session, by: Actor, action: Action, about: About = NOBODY, **details: object) -> None:
    """Write an event in the transaction that it belongs to. `details` are what JSON has, and moments."""
    session.execute(_NOTE, noted(by, action, about, **details))


def write(store: Store, by: Actor, action: Action, about: About = NOBODY, **details: object) -> None:
    """The same in a transaction of its own, for what changes nothing else."""
    with store.database.transaction() as session:
        note(session, by, action, about, **details)


def noted(by: Actor, action: Action, about: About, **details: object) -> Noted:
    """The same, for a statement that `beside` has made."""
    return {
        "by": by.name,
        "owner": about.owner_id,
        "action": action.value,
        "digest": about.digest.hex if about.digest else None,
        "file_id": about.file_id,
        "target": about.target,
        "address": by.address,
        "request_id": by.request_id,
        "details": json.dumps(details, ensure_ascii=False, default=str),
    }


def beside(statement: str) -> TextClause:
    """A SELECT that writes an event before, in the same round trip."""
    return text(f"{_NOTE_SQL}; {statement}")


def page(store: Store, filters: Filters, *, limit: int, cursor: str | None) -> Page[StoredEvent]:
    """The newest events first, `limit` of them after `cursor`. Raises BadCursor."""
    where, values = _conditions(filters)
    return _page(store, where, values, limit=limit, cursor=cursor)


def activity(store: Store, caller: Caller, *, limit: int, cursor: str | None) -> Page[StoredEvent]:
    """What concerns the caller's account, the newest first: what he did himself, failed logins, what an admin did."""
    return _page(store, ["owner_id = :owner"], {"owner": caller.user_id}, limit=limit, cursor=cursor)


def export(store: Store, filters: Filters, by: Actor) -> Iterator[StoredEvent]:
    """Every event, the oldest first, in batches of one short transaction each: nothing is held while they are sent.

    That it was exported is noted before, and is among them.
    """
    write(store, by, Action.EVENTS_EXPORTED)
    return _export(store, filters)


def _export(store: Store, filters: Filters) -> Iterator[StoredEvent]:
    where, values = _conditions(filters)
    last: dict[str, Any] | None = None
    while True:
        beyond = ["(at, id) > (:at, :id)"] if last else []
        statement = _select([*where, *beyond], "at, id")
        with store.database.transaction() as session:
            found = [
                StoredEvent(*row) for row in session.execute(statement, {**values, **(last or {}), "limit": BATCH})
            ]
        yield from found
        if len(found) < BATCH:
            return
        last = {"at": found[-1].at, "id": found[-1].id}


def forget_old(store: Store) -> int:
    """Delete what is older than the setting says; upkeep calls it. How many."""
    days, forgotten = store.settings.audit_days, 0
    while days:
        with store.database.transaction() as session:
            session.execute(_RETAIN)
            until = session.scalar(_OLD, {"age": timedelta(days=days), "limit": FORGET_BATCH})
            # Two statements: of a moment that it looks up itself PostgreSQL cannot know that the index is worth it.
            count = int(session.execute(_FORGET, {"until": until}).rowcount)  # type: ignore[attr-defined]
        forgotten += count
        if count < FORGET_BATCH:
            break
    return forgotten


def _page(store: Store, where: list[str], values: Noted, *, limit: int, cursor: str | None) -> Page[StoredEvent]:
    if cursor is not None:
        at, key = cursors.read(cursor, cursors.NUMBER)
        where, values = [*where, "(at, id) < (:at, :id)"], {**values, "at": at, "id": int(key)}
    with store.database.transaction() as session:
        rows = session.execute(_select(where, "at DESC, id DESC"), {**values, "limit": limit + 1})
        found = [StoredEvent(*row) for row in rows]
    return cursors.cut(found, limit, lambda event: cursors.write(event.at, str(event.id)))


def _select(where: list[str], order: str) -> TextClause:
    return text(f"SELECT {_COLUMNS} FROM events WHERE {' AND '.join(['true', *where])} ORDER BY {order} LIMIT :limit")


def _conditions(filters: Filters) -> tuple[list[str], dict[str, Any]]:
    choices = {
        "user_name = :user": ("user", filters.user),
        "action = :action": ("action", filters.action and filters.action.value),
        "at >= :after": ("after", filters.after),
        "at < :before": ("before", filters.before),
    }
    given = {condition: pair for condition, pair in choices.items() if pair[1] is not None}
    return list(given), dict(given.values())
