"""The owner of bans: which contents are banned, why, and which files went with them. Never commits.

A ban needs no lock. An upload looks for it under the blob's lock, in a later statement than the one that took it, when
it reserves and when it records. Whatever a record did not see of a ban was reserved before it, so that the removal
that follows the ban's COMMIT finds its file, and waits for its lock: see bans.py.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import text
from sqlalchemy.orm import Session

from blobstore.core.actor import Actor
from blobstore.core.cursors import ID, read
from blobstore.core.store import Store
from blobstore.database import Prepared
from blobstore.digest import Digest
from blobstore.errors import ContentBanned

REASON = "(SELECT reason FROM bans WHERE bans.digest = {})"
"""Why a column or a parameter is banned, NULL when it is not. Not EXISTS: as a join it took twice as long to plan."""
STILL_BANNED = "EXISTS (SELECT FROM bans WHERE bans.digest = :digest FOR KEY SHARE)"
"""The same of what a ban removes: the ban cannot be lifted until the transaction ends."""
_REASON = text("SELECT reason FROM bans WHERE digest = :digest")
_REASON_PREPARED = Prepared("ban_reason", ("text",), "SELECT reason FROM bans WHERE digest = $1")
_BAN = text("""
INSERT INTO bans (digest, reason, banned_by) VALUES (:digest, :reason, :by)
ON CONFLICT (digest) DO UPDATE SET reason = EXCLUDED.reason, banned_by = EXCLUDED.banned_by
RETURNING digest, reason, banned_by, created_at, xmax = 0
""")
_LIFT = text("DELETE FROM bans WHERE digest = :digest")
_OWNERS = text("SELECT DISTINCT owner_id FROM files WHERE digest = :digest ORDER BY owner_id LIMIT :limit")
_UNFINISHED = text("""
SELECT digest, banned_by FROM bans WHERE EXISTS (SELECT FROM files WHERE files.digest = bans.digest) LIMIT :limit
""")
_FILE = text("""
SELECT f.id, f.owner_id, f.digest, f.folder, f.visibility, n.reason
FROM (SELECT id, owner_id, digest, folder, visibility FROM banned_files WHERE id = :id
      UNION ALL SELECT id, owner_id, digest, folder, visibility FROM files WHERE id = :id AND ready_at IS NOT NULL) f
JOIN bans n USING (digest) JOIN users u ON u.id = f.owner_id AND NOT u.disabled LIMIT 1
""")
_PAGE = text("""
SELECT digest, reason, banned_by, created_at FROM bans
WHERE CAST(:at AS timestamptz) IS NULL OR (created_at, digest) < (:at, :digest)
ORDER BY created_at DESC, digest DESC LIMIT :limit
""")


@dataclass(frozen=True)
class Ban:
    """A content that is banned; `by` None: at the command line."""

    digest: Digest
    reason: str
    by: str | None
    created_at: datetime


@dataclass(frozen=True, slots=True)
class BannedFile:
    """A file that has gone, or is about to go, with a ban: as much of it as the gate and a signed link ask."""

    id: str
    owner_id: int
    digest: Digest
    folder: str
    visibility: str
    reason: str


def refuse(store: Store, digest: Digest) -> None:
    """Raise ContentBanned if it is: before the body of an upload is read."""
    row = store.database.fetch(_REASON_PREPARED, digest.hex)
    if row:
        raise ContentBanned(row[0])


def check(session: Session, digest: Digest) -> None:
    """The same within a transaction."""
    reason = session.execute(_REASON, {"digest": digest.hex}).scalar()
    if reason is not None:
        raise ContentBanned(reason)


def file(session: Session, file_id: str) -> BannedFile | None:
    """The file of that id, if a ban has it."""
    row = session.execute(_FILE, {"id": file_id}).one_or_none()
    return BannedFile(row[0], row[1], Digest(row[2]), *row[3:6]) if row else None


def ban(session: Session, digest: Digest, reason: str, by: Actor) -> tuple[Ban, bool]:
    """Ban a content, or give a banned one another reason; whether it is new."""
    row = session.execute(_BAN, {"digest": digest.hex, "reason": reason, "by": by.name}).one()
    return Ban(digest, *row[1:4]), row[4]


def lift(session: Session, digest: Digest) -> bool:
    """Forget a ban, and which files went with it; False when there is none."""
    return bool(session.execute(_LIFT, {"digest": digest.hex}).rowcount)  # type: ignore[attr-defined]


def owners(session: Session, digest: Digest, limit: int) -> list[int]:
    """Some of those who have files of a content, ready or not."""
    return list(session.execute(_OWNERS, {"digest": digest.hex, "limit": limit}).scalars())


def unfinished(session: Session, limit: int) -> list[tuple[Digest, str | None]]:
    """Some banned contents of which somebody has a file yet, and who has banned them."""
    return [(Digest(row[0]), row[1]) for row in session.execute(_UNFINISHED, {"limit": limit})]


def remembered(delete: str) -> str:
    """A DELETE of files that keeps what their own addresses must know; it changes as many rows."""
    columns = "id, digest, owner_id, folder, visibility"
    insert = f"INSERT INTO banned_files ({columns}) SELECT {columns} FROM gone"
    return f"WITH gone AS ({delete} RETURNING {columns}) {insert}"


def page(session: Session, *, limit: int, cursor: str | None) -> list[Ban]:
    """Up to `limit` bans after `cursor`, the newest first. Raises BadCursor."""
    at, digest = read(cursor, ID) if cursor is not None else (None, "")
    rows = session.execute(_PAGE, {"at": at, "digest": digest, "limit": limit})
    return [Ban(Digest(row[0]), *row[1:]) for row in rows]
