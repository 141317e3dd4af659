"""A user's files: read one, list them, change one.

change   one transaction: lock the blob, look again, refuse a twin, update the row
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NoReturn, TypedDict

from sqlalchemy import text, update
from sqlalchemy.orm import Session

from blobstore.core import banned, blobs, cursors, events
from blobstore.core.cursors import Page
from blobstore.core.events import About, Action, Noted
from blobstore.core.gate import ROOT, Caller, Scope, authorize, check_changes, check_folder, sees, within
from blobstore.core.store import Store
from blobstore.database import like_literally, retrying
from blobstore.digest import Digest
from blobstore.errors import AlreadyExists, ContentBanned, NotFound
from blobstore.models import File

COLUMNS = """
f.id, f.owner_id, f.digest, f.name, f.folder, b.size_bytes, b.content_type, f.visibility, f.tags,
f.ready_at, f.expires_at, f.downloads, f.last_downloaded_at, b.damaged_at IS NOT NULL"""
_NOT_EXPIRED = "f.ready_at IS NOT NULL AND (f.expires_at IS NULL OR f.expires_at > clock_timestamp())"
LIVE = f"{_NOT_EXPIRED} AND {banned.REASON.format('f.digest')} IS NULL"
_ONE_SQL = f"""
SELECT {COLUMNS} FROM files f JOIN blobs b USING (digest)
WHERE f.id = :id AND {LIVE} AND (SELECT NOT disabled FROM users WHERE users.id = f.owner_id)
"""
_ONE, _ONE_NOTED = text(_ONE_SQL), events.beside(_ONE_SQL)
_TWIN = text(f"""
SELECT f.id, f.name, f.folder, NOT ({_NOT_EXPIRED}) AS expired FROM files f
WHERE f.owner_id = :owner AND f.digest = :digest AND f.ready_at IS NOT NULL AND f.id <> :id
  AND (CAST(:name AS text) IS NULL OR f.name = :name)
  AND CASE WHEN CAST(:folder AS text) IS NOT NULL THEN f.folder = :folder
           WHEN CAST(:within AS text) = '/' THEN f.folder NOT LIKE '/.%'
           ELSE starts_with(f.folder || '/', :within) END
ORDER BY expired, f.ready_at, f.id LIMIT 1
""")


class Changes(TypedDict, total=False):
    """What a client gives explicitly about a file; a key that is absent was not given. `expires_at` None: never."""

    name: str
    folder: str
    visibility: str
    expires_at: datetime | None
    tags: list[str]


@dataclass(frozen=True, slots=True)
class StoredFile:
    """One file as its owner sees it; columns in the order of COLUMNS."""

    id: str
    owner_id: int
    digest: Digest
    name: str
    folder: str
    size_bytes: int
    content_type: str
    visibility: str
    tags: list[str]
    created_at: datetime
    expires_at: datetime | None
    downloads: int
    last_downloaded_at: datetime | None
    damaged: bool
    """Its bytes are known to be missing or wrong, and are not served; an upload of them heals it."""

    @classmethod
    def of(cls, row: Any) -> StoredFile:
        """Read a row of COLUMNS."""
        return cls(row[0], row[1], Digest(row[2]), *row[3:14])


@dataclass(frozen=True)
class Twin:
    """A ready file of the same owner and content, under the same name if one was asked for; banned or not."""

    id: str
    name: str
    folder: str
    expired: bool


def find_twin(
    session: Session,
    owner_id: int,
    digest: Digest,
    *,
    name: str | None,
    folder: str | None,
    below: str = ROOT,
    but: str = "",
) -> Twin | None:
    """The oldest live one, else an expired one; None for name or folder means any.

    Any folder is one `below` or there; of the root's, none that belongs to another protocol. To be asked under the
    lock of the blob.
    """
    values = {"owner": owner_id, "digest": digest.hex, "name": name, "folder": folder, "id": but}
    values["within"] = within(below)
    row = session.execute(_TWIN, values).one_or_none()
    return Twin(*row) if row else None


def read(session: Session, file_id: str, noted: Noted | None = None) -> StoredFile | None:
    """One live file, whoever asks: for those that have asked the gate, or are about to; and `noted`, an event of it."""
    statement, values = (_ONE_NOTED, noted) if noted else (_ONE, {})
    row = session.execute(statement, {"id": file_id, **values}).one_or_none()
    return StoredFile.of(row) if row else None


def live(session: Session, file_id: str, noted: Noted | None = None) -> StoredFile:
    """The same of a file that has just been seen. Raises ContentBanned, NotFound when it is not live any more."""
    file = read(session, file_id, noted)
    if file is None:
        gone = banned.file(session, file_id)
        raise ContentBanned(gone.reason) if gone else NotFound("the file has expired, or its owner was disabled")
    return file


def get(store: Store, caller: Caller | None, file_id: str, scope: Scope = Scope.READ) -> StoredFile:
    """The file `file_id`, if the caller may. Raises NotFound, InsufficientScope, ContentBanned."""
    with store.database.transaction() as session:
        file = read(session, file_id)
        # Looked for behind a file of somebody else too: its 404 must not come sooner than that of what is not there.
        gone = None if file and sees(caller, file) else banned.file(session, file_id)
    if file is None:
        return _refuse_gone(caller, scope, gone)
    authorize(caller, scope, file)
    return file


def _refuse_gone(caller: Caller | None, scope: Scope, gone: banned.BannedFile | None) -> NoReturn:
    if gone is None:
        raise NotFound("there is no such file")
    authorize(caller, scope, gone)
    raise ContentBanned(gone.reason)


@retrying
def change(store: Store, caller: Caller, file_id: str, changes: Changes) -> StoredFile:
    """Apply `changes`; answer the file as it is then.

    Raises NotFound, ContentBanned, AlreadyExists when that would make a twin, OutsideFolder, InsufficientScope.
    """
    seen = get(store, caller, file_id, Scope.WRITE)
    with store.database.transaction() as session:
        blobs.lock(session, seen.digest)
        file = live(session, file_id)
        authorize(caller, Scope.WRITE, file)
        apply(session, caller, file, changes)
        return live(session, file_id)


def apply(session: Session, caller: Caller, file: StoredFile, changes: Changes) -> None:
    """Update the row of a file of the caller's whose blob is locked, and note what that alters.

    Raises AlreadyExists for a name that a twin has, OutsideFolder, InsufficientScope.
    """
    if not changes:
        return
    check_changes(caller, file, changes)
    check_folder(caller, changes.get("folder", file.folder))
    name, folder = changes.get("name", file.name), changes.get("folder", file.folder)
    if (name, folder) != (file.name, file.folder):
        twin = find_twin(session, file.owner_id, file.digest, name=name, folder=folder, but=file.id)
        if twin and not twin.expired:
            raise AlreadyExists("you have the same content under that name already")
    session.execute(update(File).where(File.id == file.id).values(**changes))
    now = {field: value for field, value in changes.items() if value != getattr(file, field)}
    if now:
        about, was = About(file.owner_id, file.digest, file.id), {field: getattr(file, field) for field in now}
        place = {"name": file.name, "folder": file.folder}
        events.note(session, caller.actor, Action.FILE_CHANGED, about, **place, was=was, now=now)


@dataclass(frozen=True)
class Filters:
    """What a list is narrowed to; None means all. `q` is a part of the name, in any case."""

    folder: str | None = None
    recursive: bool = False
    digest: Digest | None = None
    visibility: str | None = None
    tag: str | None = None
    q: str | None = None


def page(store: Store, caller: Caller, filters: Filters, *, limit: int, cursor: str | None) -> Page[StoredFile]:
    """The caller's live files, newest first, `limit` of them after `cursor`. Raises BadCursor."""
    where, values = _conditions(filters)
    values.update(owner=caller.user_id, limit=limit + 1)
    if caller.folder != ROOT:
        where.append("starts_with(f.folder || '/', :within)")
        values["within"] = within(caller.folder)
    if cursor is not None:
        where.append("(f.ready_at, f.id) < (:ready_at, :id)")
        values["ready_at"], values["id"] = cursors.read(cursor)
    statement = text(f"""
        SELECT {COLUMNS} FROM files f JOIN blobs b USING (digest)
        WHERE f.owner_id = :owner AND {LIVE} {"".join(f" AND {condition}" for condition in where)}
        ORDER BY f.ready_at DESC, f.id DESC LIMIT :limit
        """)
    with store.database.transaction() as session:
        found = [StoredFile.of(row) for row in session.execute(statement, values)]
    return cursors.cut(found, limit, lambda file: cursors.write(file.created_at, file.id))


def _conditions(filters: Filters) -> tuple[list[str], dict[str, Any]]:
    folder = filters.folder
    recursive = folder is not None and filters.recursive
    below = None if folder is None else like_literally(folder.rstrip("/")) + "/%"
    choices: tuple[tuple[bool, str, Mapping[str, Any]], ...] = (
        (folder is not None and not recursive, "f.folder = :folder", {"folder": folder}),
        (recursive, "(f.folder = :folder OR f.folder LIKE :below)", {"folder": folder, "below": below}),
        (filters.digest is not None, "f.digest = :digest", {"digest": str(filters.digest)}),
        (filters.visibility is not None, "f.visibility = :visibility", {"visibility": filters.visibility}),
        (filters.tag is not None, ":tag = ANY(f.tags)", {"tag": filters.tag}),
        (filters.q is not None, "f.name ILIKE :q", {"q": f"%{like_literally(filters.q or '')}%"}),
    )
    where = [condition for given, condition, _ in choices if given]
    values: dict[str, Any] = {}
    for given, _, bound in choices:
        values.update(bound if given else {})
    return where, values
