"""What an admin sees of everybody: whose files there are, and what the store uses. Nothing here is for users."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import text

from blobstore.core import cursors, events
from blobstore.core.actor import Actor
from blobstore.core.cursors import Page
from blobstore.core.events import About, Action
from blobstore.core.files import COLUMNS, LIVE, StoredFile
from blobstore.core.store import Store
from blobstore.digest import Digest
from blobstore.errors import BadOption, NotFound

TOP = 20
"""How many users and types the statistics name."""
_USER_ID = text("SELECT id FROM users WHERE name = :name")
_TOTALS = text("""
SELECT count(*), count(*) FILTER (WHERE disabled), sum(file_count), sum(logical_bytes), sum(used_bytes) FROM users
""")
_USERS = text("""
SELECT name, file_count, content_count, logical_bytes, used_bytes FROM users
ORDER BY used_bytes DESC, name LIMIT :limit
""")
_TYPES = text("""
SELECT content_type, count(*), CAST(sum(size_bytes) AS bigint) FROM blobs WHERE published_at IS NOT NULL
GROUP BY content_type ORDER BY 3 DESC, 1
""")


@dataclass(frozen=True)
class OwnedFile:
    """A live file and whose it is."""

    owner: str
    file: StoredFile


@dataclass(frozen=True)
class UserUse:
    """What one user has: bytes and counts; `logical_bytes` counts every name."""

    name: str
    files: int
    contents: int
    logical_bytes: int
    used_bytes: int


@dataclass(frozen=True)
class TypeUse:
    """What the contents of one type take on the storage."""

    content_type: str
    contents: int
    stored_bytes: int


@dataclass(frozen=True)
class Statistics:
    """The whole store. Logical bytes count every name, used bytes every content of a user once, stored bytes once."""

    users: int
    disabled_users: int
    files: int
    contents: int
    logical_bytes: int
    used_bytes: int
    stored_bytes: int
    top_users: list[UserUse]
    top_types: list[TypeUse]


def files(
    store: Store, *, user: str | None, digest: Digest | None, limit: int, cursor: str | None, by: Actor
) -> Page[OwnedFile]:
    """The live files of a user, or all with one content, the newest first.

    Raises BadOption without any of the two, NotFound, BadCursor.

    Whoever looks at the names of others' private files is noted in the audit log.
    """
    if user is None and digest is None:
        raise BadOption("user", "name a user, or a sha256")
    given = {"f.owner_id = :owner": user, "f.digest = :digest": digest, "(f.ready_at, f.id) < (:at, :id)": cursor}
    where = " AND ".join([LIVE, *(condition for condition, value in given.items() if value is not None)])
    at, file_id = cursors.read(cursor) if cursor is not None else (None, "")
    statement = text(f"""
        SELECT {COLUMNS}, u.name FROM files f JOIN blobs b USING (digest) JOIN users u ON u.id = f.owner_id
        WHERE {where} ORDER BY f.ready_at DESC, f.id DESC LIMIT :limit""")
    with store.database.transaction() as session:
        owner_id = session.scalar(_USER_ID, {"name": user.lower()}) if user is not None else None
        if user is not None and owner_id is None:
            raise NotFound(f"there is no user {user!r}")
        values = {"owner": owner_id, "digest": str(digest), "at": at, "id": file_id, "limit": limit + 1}
        found = [OwnedFile(row[14], StoredFile.of(row)) for row in session.execute(statement, values)]
        events.note(session, by, Action.FILES_LISTED, About(owner_id, digest, target=user.lower() if user else None))
    return cursors.cut(found, limit, lambda owned: cursors.write(owned.file.created_at, owned.file.id))


def statistics(store: Store) -> Statistics:
    """Read from the counters of the users, and from all blobs: a second for some millions of them."""
    with store.database.transaction() as session:
        users, disabled, *sums = session.execute(_TOTALS).one()
        names, logical_bytes, used_bytes = (int(sum_ or 0) for sum_ in sums)
        top_users = [UserUse(*row) for row in session.execute(_USERS, {"limit": TOP})]
        types = [TypeUse(*row) for row in session.execute(_TYPES)]
    return Statistics(
        users=users,
        disabled_users=disabled,
        files=names,
        contents=sum(each.contents for each in types),
        logical_bytes=logical_bytes,
        used_bytes=used_bytes,
        stored_bytes=sum(each.stored_bytes for each in types),
        top_users=top_users,
        top_types=types[:TOP],
    )
