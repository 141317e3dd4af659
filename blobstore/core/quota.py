"""The owner of a user's counters: what is charged, refunded and counted. Never commits; `users` is locked last."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import text
from sqlalchemy.orm import Session

from blobstore.core.gate import Caller
from blobstore.core.store import Store
from blobstore.database import Prepared
from blobstore.errors import QuotaExceeded, Unauthenticated

_CHARGE = text("""
UPDATE users SET used_bytes = used_bytes + :cost, content_count = content_count + :contents,
                 logical_bytes = logical_bytes + :size, file_count = file_count + 1
WHERE id = :owner AND (:cost = 0 OR quota_bytes IS NULL OR used_bytes + reserved_bytes + :cost <= quota_bytes)
""")
_REFUND = text("""
UPDATE users SET used_bytes = used_bytes - :cost, content_count = content_count - :contents,
                 logical_bytes = logical_bytes - :size * :files, file_count = file_count - :files
WHERE id = :owner
""")
_LOOK = text("SELECT quota_bytes, used_bytes + reserved_bytes FROM users WHERE id = :owner")
_HOLDS_SIZE = Prepared(
    "holds_size",
    ("bigint", "bigint", "bigint"),
    """SELECT EXISTS (SELECT FROM claims JOIN blobs USING (digest)
                      WHERE owner_id = $1 AND size_bytes BETWEEN $2 AND $3)""",
)
_QUOTA = Prepared(
    "quota",
    ("bigint",),
    """SELECT quota_bytes, used_bytes, reserved_bytes, logical_bytes, file_count, content_count
       FROM users WHERE id = $1""",
)


@dataclass(frozen=True)
class Quota:
    """A user's numbers, in bytes and counts. `limit` None means none; every file counts, ready or not."""

    limit: int | None
    used: int
    reserved: int
    logical: int
    files: int
    contents: int

    @property
    def free(self) -> int | None:
        """What may still be uploaded; None without a limit."""
        return None if self.limit is None else max(self.limit - self.used - self.reserved, 0)

    @property
    def saved(self) -> int:
        """What the user's own duplicates do not cost him."""
        return self.logical - self.used


def charge(session: Session, owner_id: int, size_bytes: int, *, new: bool) -> None:
    """Count one more file, and its bytes when its claim is `new`. Raises QuotaExceeded."""
    cost = size_bytes if new else 0
    values = {"owner": owner_id, "size": size_bytes, "cost": cost, "contents": int(new)}
    if session.execute(_CHARGE, values).rowcount:  # type: ignore[attr-defined]
        return
    limit, used = session.execute(_LOOK, {"owner": owner_id}).one()
    raise QuotaExceeded(limit_bytes=limit, used_bytes=used, needed_bytes=size_bytes)


def refund(session: Session, owner_id: int, size_bytes: int, *, files: int, last: bool) -> None:
    """Count `files` fewer files, and give their bytes back when the claim went with the `last` of them."""
    cost = size_bytes if last else 0
    values = {"owner": owner_id, "size": size_bytes, "files": files, "cost": cost, "contents": int(last)}
    session.execute(_REFUND, values)


def refuse_early(store: Store, caller: Caller, least_bytes: int, most_bytes: int) -> None:
    """Raise QuotaExceeded for a content of so many bytes that cannot fit, before its body is read.

    A size that a content of the caller's has is let through: it may be the same content again, which costs nothing. So
    is one that may be empty, or is not known: he may use more than a quota that was lowered.
    """
    if caller.quota_bytes is None or not least_bytes or caller.used_bytes + least_bytes <= caller.quota_bytes:
        return
    row = store.database.fetch(_HOLDS_SIZE, caller.user_id, least_bytes, most_bytes)
    if not (row and row[0]):
        raise QuotaExceeded(limit_bytes=caller.quota_bytes, used_bytes=caller.used_bytes, needed_bytes=least_bytes)


def read(store: Store, caller: Caller) -> Quota:
    """The caller's numbers as of now. Raises Unauthenticated when the account was removed since he was recognized."""
    row = store.database.fetch(_QUOTA, caller.user_id)
    if row is None:
        raise Unauthenticated("this account was removed just now")
    limit, used, reserved, logical, files, contents = row
    return Quota(limit=limit, used=used, reserved=reserved, logical=logical, files=files, contents=contents)
