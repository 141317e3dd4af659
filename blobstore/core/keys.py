"""API keys: `bs_k`, 43 characters of base62 (32 random bytes), 6 of their CRC-32. Only the SHA-256 is stored.

The CRC lets a malformed key be refused without a query, and secret scanners recognise one.
"""

from __future__ import annotations

import hashlib
import re
import secrets
import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import delete, func, insert, select, text, update
from sqlalchemy.orm import Session

from blobstore.core import events
from blobstore.core.actor import OPERATOR, Actor
from blobstore.core.events import About, Action
from blobstore.core.gate import ROOT, Scope
from blobstore.core.ids import base62, random_base62
from blobstore.core.store import Store
from blobstore.errors import AlreadyRotated, BadOption, NotFound
from blobstore.models import ApiKey

PREFIX = "bs_k"
MAX_LABEL_BYTES = 255
MAX_OVERLAP = timedelta(days=7)
_KEY = re.compile(r"bs_k([0-9A-Za-z]{43})([0-9A-Za-z]{6})")
_TOUCH = text("""
UPDATE api_keys SET last_used_at = clock_timestamp()
WHERE id = :id AND (last_used_at IS NULL OR last_used_at < clock_timestamp() - interval '1 minute')
""")


@dataclass(frozen=True)
class StoredKey:
    """An API key as its owner sees it later; the key itself is not kept."""

    id: str
    name: str
    last_four: str
    scopes: list[str]
    folder: str
    created_at: datetime
    expires_at: datetime | None
    last_used_at: datetime | None
    rotated_at: datetime | None


_COLUMNS = (
    ApiKey.id,
    ApiKey.name,
    ApiKey.last_four,
    ApiKey.scopes,
    ApiKey.folder,
    ApiKey.created_at,
    ApiKey.expires_at,
    ApiKey.last_used_at,
    ApiKey.rotated_at,
)


def issue(
    store: Store,
    owner_id: int,
    name: str,
    scopes: Iterable[Scope],
    *,
    folder: str = ROOT,
    expires_at: datetime | None = None,
    by: Actor = OPERATOR,
) -> tuple[StoredKey, str]:
    """Make an API key for the files in `folder` and below; the key itself is answered this once.

    Raises BadOption for no scopes, for `admin` with a folder, or for a bad name.
    """
    chosen = sorted({scope.value for scope in scopes})
    if not chosen:
        raise BadOption("scopes", "name at least one of read, write, delete, admin")
    if not name.strip() or len(name.encode()) > MAX_LABEL_BYTES or not name.isprintable():
        raise BadOption("name", f"is a label of 1 to {MAX_LABEL_BYTES} bytes")
    if folder != ROOT and Scope.ADMIN in chosen:
        raise BadOption("folder", "does not go with the scope admin, which is not about files")
    values = {"owner_id": owner_id, "name": name, "scopes": chosen, "folder": folder, "expires_at": expires_at}
    with store.database.transaction() as session:
        return _insert(store, session, values, by, Action.KEY_ISSUED)


def _insert(
    store: Store, session: Session, values: dict[str, Any], by: Actor, action: Action, **details: object
) -> tuple[StoredKey, str]:
    key = make()
    own = {"id": random_base62(store.settings.short_id_length), "key_hash": hash_key(key), "last_four": key[-4:]}
    stored = StoredKey(*session.execute(insert(ApiKey).values(**values, **own).returning(*_COLUMNS)).one())
    about = About(values["owner_id"], target=stored.id)
    shown = {"name": stored.name, "scopes": stored.scopes, "folder": stored.folder, "expires_at": stored.expires_at}
    events.note(session, by, action, about, **shown, **details)
    return stored, key


def keys(store: Store, owner_id: int) -> list[StoredKey]:
    """The user's API keys, oldest first."""
    with store.database.transaction() as session:
        rows = session.execute(select(*_COLUMNS).where(ApiKey.owner_id == owner_id).order_by(ApiKey.created_at))
        return [StoredKey(*row) for row in rows]


def rotate(store: Store, owner_id: int, key_id: str, overlap: timedelta, by: Actor = OPERATOR) -> tuple[StoredKey, str]:
    """Put a new key in the place of one, in one transaction; the key itself is answered this once.

    It has the same name, scopes and folder, and lives as long from now as the old one was to live. That one works on
    for `overlap`, at most 7 days and never beyond its own end; without an overlap it is gone. Raises BadOption,
    NotFound, and AlreadyRotated for the old one in its overlap.
    """
    if not timedelta(0) <= overlap <= MAX_OVERLAP:
        raise BadOption("overlap_seconds", f"is at most {MAX_OVERLAP.days} days")
    with store.database.transaction() as session:
        mine = (ApiKey.id == key_id, ApiKey.owner_id == owner_id)
        old = session.execute(select(*_COLUMNS).where(*mine).with_for_update()).one_or_none()
        if old is None:
            raise NotFound("there is no such API key")
        if old.rotated_at is not None:
            raise AlreadyRotated("another key has taken the place of this one; rotate that, or revoke this")
        _retire(session, key_id, overlap)
        end = None if old.expires_at is None else func.now() + (old.expires_at - old.created_at)
        same = {"name": old.name, "scopes": old.scopes, "folder": old.folder, "expires_at": end}
        values = {"owner_id": owner_id, **same}
        return _insert(
            store, session, values, by, Action.KEY_ROTATED, old=key_id, overlap_seconds=overlap.total_seconds()
        )


def _retire(session: Session, key_id: str, overlap: timedelta) -> None:
    if not overlap:
        session.execute(delete(ApiKey).where(ApiKey.id == key_id))
        return
    now = func.statement_timestamp()
    end = func.least(ApiKey.expires_at, now + overlap)  # of a NULL and a time it is the time
    session.execute(update(ApiKey).where(ApiKey.id == key_id).values(rotated_at=now, expires_at=end))


def revoke(store: Store, owner_id: int, key_id: str, by: Actor = OPERATOR) -> None:
    """End the key; it is refused on the next request. Raises NotFound."""
    with store.database.transaction() as session:
        gone = session.execute(delete(ApiKey).where(ApiKey.id == key_id, ApiKey.owner_id == owner_id))
        if not gone.rowcount:  # type: ignore[attr-defined]
            raise NotFound("there is no such API key")
        events.note(session, by, Action.KEY_REVOKED, About(owner_id, target=key_id))


def revoke_all(session: Session, owner_id: int) -> None:
    """End every key of a user who is about to be removed."""
    session.execute(delete(ApiKey).where(ApiKey.owner_id == owner_id))


def touch(session: Session, key_id: str) -> None:
    """Note that the key was used, at most once a minute."""
    session.execute(_TOUCH, {"id": key_id})


def make() -> str:
    """A new random key."""
    body = base62(int.from_bytes(secrets.token_bytes(32), "big"), 43)
    return f"{PREFIX}{body}{_checksum(body)}"


def is_well_formed(text_: str) -> bool:
    """Whether the text can be a key at all, without asking the database."""
    match = _KEY.fullmatch(text_)
    return match is not None and _checksum(match[1]) == match[2]


def hash_key(key: str) -> str:
    """What is stored of a key: its SHA-256 in hex; 256 random bits need no slower hash."""
    return hashlib.sha256(key.encode()).hexdigest()


def _checksum(body: str) -> str:
    return base62(zlib.crc32(body.encode()), 6)
