"""Delete a user's files. The same ordinary delete serves the reaper, the expiry and an upload that failed.

    one transaction   lock the blob, lock the claim, delete the rows, release, refund

The bytes stay until a sweep finds that nobody claims them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from enum import Enum

from sqlalchemy import text
from sqlalchemy.orm import Session

from blobstore.core import banned, blobs, events, files, quota
from blobstore.core.events import About, Action
from blobstore.core.gate import ROOT, Caller, Scope, require, within
from blobstore.core.store import Store
from blobstore.database import retrying
from blobstore.digest import Digest
from blobstore.errors import NotFound
from blobstore.failpoints import failpoint


class Which(Enum):
    """Which files of one owner and one digest a delete takes; `:id`, `:grace`, `:within` where they matter."""

    ONE = "id = :id AND ready_at IS NOT NULL AND starts_with(folder || '/', :within)"
    BY_HASH = "ready_at IS NOT NULL AND folder NOT LIKE '/.%'"
    IN_FOLDER = "ready_at IS NOT NULL AND folder = :folder AND starts_with(folder || '/', :within)"
    BELOW = "ready_at IS NOT NULL AND starts_with(folder || '/', :within)"
    OWN_PENDING = "id = :id AND ready_at IS NULL"
    STALLED = "id = :id AND ready_at IS NULL AND reserved_at < clock_timestamp() - CAST(:grace AS interval)"
    EXPIRED = "id = :id AND expires_at <= clock_timestamp()"
    BANNED = banned.STILL_BANNED
    ALL = "id = :id"


@dataclass(frozen=True)
class Deleted:
    """How many files went, and how many bytes the owner's quota got back."""

    files: int
    freed_bytes: int


Then = Callable[[Session, Deleted], None]
"""What else belongs to the transaction of a delete."""


def delete_file(store: Store, caller: Caller, file_id: str, *, dry_run: bool = False) -> Deleted:
    """Delete one file of the caller. Raises NotFound, InsufficientScope."""
    file = files.get(store, caller, file_id, Scope.DELETE)

    def note(session: Session, deleted: Deleted) -> None:
        about, what = About(file.owner_id, file.digest, file.id), {"name": file.name, "folder": file.folder}
        events.note(session, caller.actor, Action.FILE_DELETED, about, **what, **asdict(deleted))

    values = {"id": file_id, "within": within(caller.folder)}
    return remove(store, caller.user_id, file.digest, Which.ONE, values, dry_run=dry_run, then=note)


def delete_content(
    store: Store, caller: Caller, digest: Digest, *, folder: str | None = None, dry_run: bool = False
) -> Deleted:
    """Delete the caller's files with this content, those of other protocols only when `folder` names theirs.

    Without `folder`, a key of one folder deletes what is there and below. Raises NotFound, InsufficientScope.
    """
    require(caller, Scope.DELETE)
    which = Which.BY_HASH if caller.folder == ROOT else Which.BELOW
    values = {"within": within(caller.folder)}
    if folder is not None:
        which, values = Which.IN_FOLDER, {**values, "folder": folder}

    def note(session: Session, deleted: Deleted) -> None:
        about, below = About(caller.user_id, digest), caller.folder if folder is None else folder
        events.note(session, caller.actor, Action.CONTENT_DELETED, about, folder=below, **asdict(deleted))

    return remove(store, caller.user_id, digest, which, values, dry_run=dry_run, then=note)


@retrying
def remove(
    store: Store,
    owner_id: int,
    digest: Digest,
    which: Which,
    values: Mapping[str, object],
    *,
    dry_run: bool = False,
    then: Then | None = None,
) -> Deleted:
    """The ordinary delete, and what `then` adds, in one transaction. Raises NotFound when nothing is deleted."""
    with store.database.transaction() as session:
        deleted = _remove(session, owner_id, digest, which, values)
        if then:
            then(session, deleted)
        if dry_run:
            session.rollback()
        failpoint("delete_locked")
    failpoint("deleted")
    return deleted


def _remove(session: Session, owner_id: int, digest: Digest, which: Which, values: Mapping[str, object]) -> Deleted:
    blob = blobs.lock(session, digest)
    claimed = blobs.claimed(session, owner_id, digest) if blob else 0
    gone = _delete_rows(session, owner_id, digest, which, values) if claimed else 0
    if blob is None or gone == 0:
        raise NotFound("there is no such file")
    last = blobs.release(session, owner_id, digest, files=gone, of=claimed)
    quota.refund(session, owner_id, blob.size_bytes, files=gone, last=last)
    return Deleted(gone, blob.size_bytes if last else 0)


def _delete_rows(session: Session, owner_id: int, digest: Digest, which: Which, values: Mapping[str, object]) -> int:
    statement = f"DELETE FROM files WHERE owner_id = :owner AND digest = :digest AND {which.value}"
    if which is Which.BANNED:
        statement = banned.remembered(statement)
    result = session.execute(text(statement), {"owner": owner_id, "digest": digest.hex, **values})
    return int(result.rowcount)  # type: ignore[attr-defined]
