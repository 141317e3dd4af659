"""The owner of blobs and claims: who locks, claims, releases, vouches for and forgets a content. Never commits.

The order of the statements is protocol.md's. The row of the blob is locked first by everything that adds, readies,
renames, moves or removes a file, and every look that decides is made in a later statement than that lock.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from sqlalchemy import text
from sqlalchemy.orm import Session

from blobstore.core import banned
from blobstore.digest import Digest
from blobstore.errors import ContentBanned

_LOCK_OR_INSERT = text("""
INSERT INTO blobs (digest, size_bytes, refs, content_type) VALUES (:digest, :size, 0, :content_type)
ON CONFLICT (digest) DO UPDATE SET refs = blobs.refs
RETURNING size_bytes, location, published_at IS NOT NULL AND damaged_at IS NULL
""")
_LOCK = text("""
SELECT size_bytes, location, published_at IS NOT NULL AND damaged_at IS NULL
FROM blobs WHERE digest = :digest FOR UPDATE
""")
_CLAIM = text(f"""
INSERT INTO claims (owner_id, digest, files) VALUES (:owner, :digest, 1)
ON CONFLICT (owner_id, digest) DO UPDATE SET files = claims.files + 1
RETURNING files = 1, {banned.REASON.format(":digest")}
""")
_REFER = text("UPDATE blobs SET refs = refs + 1, unreferenced_at = NULL WHERE digest = :digest")
_CLAIMED = text("SELECT files FROM claims WHERE owner_id = :owner AND digest = :digest FOR UPDATE")
_LESS = text("UPDATE claims SET files = files - :files WHERE owner_id = :owner AND digest = :digest")
_UNCLAIM = text("DELETE FROM claims WHERE owner_id = :owner AND digest = :digest")
_UNREFER = text("""
UPDATE blobs SET refs = refs - 1, unreferenced_at = CASE WHEN refs = 1 THEN clock_timestamp() END
WHERE digest = :digest
""")
_VOUCH = text("""
UPDATE blobs SET published_at = clock_timestamp(), location = :location, content_type = :content_type,
                 damaged_at = NULL, verified_at = NULL
WHERE digest = :digest
""")
_DAMAGE = text("""
UPDATE blobs SET published_at = NULL, damaged_at = clock_timestamp()
WHERE digest = :digest AND location = :location AND published_at = :seen
""")
_VERIFIED = text("""
UPDATE blobs SET verified_at = clock_timestamp()
WHERE digest = :digest AND location = :location AND published_at = :seen
""")
_DISOWN = text("""
WITH unused AS MATERIALIZED (
    SELECT digest FROM blobs
    WHERE refs = 0 AND published_at IS NOT NULL AND unreferenced_at <= clock_timestamp() - CAST(:grace AS interval)
    ORDER BY digest LIMIT :limit FOR UPDATE SKIP LOCKED)
UPDATE blobs SET published_at = NULL FROM unused WHERE blobs.digest = unused.digest
""")
_DISOWNED = text("""
SELECT digest FROM blobs
WHERE refs = 0 AND published_at IS NULL AND digest > :after
  AND COALESCE(unreferenced_at, '-infinity') <= clock_timestamp() - CAST(:grace AS interval)
ORDER BY digest LIMIT :limit
""")
_IS_DISOWNED = text("SELECT location FROM blobs WHERE digest = :digest AND refs = 0 AND published_at IS NULL")
_FORGET = text("""
DELETE FROM blobs WHERE digest = :digest AND refs = 0 AND published_at IS NULL
  AND location IS NOT DISTINCT FROM :location
""")
_ADOPT = text("""
INSERT INTO blobs (digest, size_bytes, refs, location, unreferenced_at, content_type)
VALUES (:digest, :size, 0, :location, clock_timestamp(), 'application/octet-stream') ON CONFLICT (digest) DO NOTHING
""")


@dataclass(frozen=True, slots=True)
class Locked:
    """A blob whose row is locked until the transaction ends. `whole`: published, and not known to be damaged."""

    size_bytes: int
    location: str | None
    whole: bool


def lock_or_insert(session: Session, digest: Digest, size_bytes: int, content_type: str) -> Locked:
    """Lock the blob's row, made unpublished and unclaimed if there is none."""
    values = {"digest": digest.hex, "size": size_bytes, "content_type": content_type}
    return Locked(*session.execute(_LOCK_OR_INSERT, values).one())


def lock(session: Session, digest: Digest) -> Locked | None:
    """Lock the blob's row; None when there is none."""
    row = session.execute(_LOCK, {"digest": digest.hex}).one_or_none()
    return Locked(*row) if row else None


def claim(session: Session, owner_id: int, digest: Digest) -> bool:
    """Count one more file of the owner on the locked blob; True when that made a new claim. Raises ContentBanned."""
    values = {"owner": owner_id, "digest": digest.hex}
    new, reason = session.execute(_CLAIM, values).one()
    if reason is not None:
        raise ContentBanned(reason)
    if new:
        session.execute(_REFER, values)
    return bool(new)


def claimed(session: Session, owner_id: int, digest: Digest) -> int:
    """How many of the owner's files name the locked blob; the claim is locked too. 0 without a claim."""
    return session.execute(_CLAIMED, {"owner": owner_id, "digest": digest.hex}).scalar() or 0


def release(session: Session, owner_id: int, digest: Digest, *, files: int, of: int) -> bool:
    """Count `files` fewer on the claim, which has `of`; True when the claim went with the last of them."""
    values = {"owner": owner_id, "digest": digest.hex, "files": files}
    if files < of:
        session.execute(_LESS, values)
        return False
    session.execute(_UNCLAIM, values)
    session.execute(_UNREFER, values)
    return True


def vouch(session: Session, digest: Digest, location: str, content_type: str) -> None:
    """Say that the bytes at `location` are durable and right: only of what the same request has published itself."""
    session.execute(_VOUCH, {"digest": digest.hex, "location": location, "content_type": content_type})


def damage(session: Session, digest: Digest, location: str, seen: object) -> bool:
    """Stop vouching for bytes that are missing or wrong; False when somebody has published since `seen`."""
    values = {"digest": digest.hex, "location": location, "seen": seen}
    return bool(session.execute(_DAMAGE, values).rowcount)  # type: ignore[attr-defined]


def verified(session: Session, digest: Digest, location: str, seen: object) -> bool:
    """Note that the bytes were read and found right; False when somebody has published since `seen`."""
    values = {"digest": digest.hex, "location": location, "seen": seen}
    return bool(session.execute(_VERIFIED, values).rowcount)  # type: ignore[attr-defined]


def disown(session: Session, grace: timedelta, limit: int) -> int:
    """First half of a sweep: stop vouching for up to `limit` blobs that nobody has claimed for `grace`. How many."""
    return int(session.execute(_DISOWN, {"grace": grace, "limit": limit}).rowcount)  # type: ignore[attr-defined]


def disowned(session: Session, grace: timedelta, after: str, limit: int) -> list[Digest]:
    """Blobs for the second half of a sweep, ascending, beyond `after`."""
    rows = session.execute(_DISOWNED, {"grace": grace, "after": after, "limit": limit})
    return [Digest(digest) for digest in rows.scalars()]


def still_disowned(session: Session, digest: Digest) -> tuple[bool, str | None]:
    """Whether the blob may lose its bytes now, and where they are. Asked under the shard's lock."""
    row = session.execute(_IS_DISOWNED, {"digest": digest.hex}).one_or_none()
    return (True, row[0]) if row else (False, None)


def forget(session: Session, digest: Digest, location: str | None) -> bool:
    """Drop the row of a blob whose bytes are gone, unless somebody has taken it up meanwhile."""
    values = {"digest": digest.hex, "location": location}
    return bool(session.execute(_FORGET, values).rowcount)  # type: ignore[attr-defined]


def adopt(session: Session, digest: Digest, size_bytes: int, location: str) -> bool:
    """Give rowless bytes an unpublished, unclaimed row, so that a sweep takes them; False when they have a row."""
    values = {"digest": digest.hex, "size": size_bytes, "location": location}
    return bool(session.execute(_ADOPT, values).rowcount)  # type: ignore[attr-defined]
