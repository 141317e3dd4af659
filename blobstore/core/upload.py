"""Upload: bytes become a file. Every step is in docs/architecture.md; the order was checked exhaustively.

    receive  (no transaction)   pieces -> sha256 and count -> staged.write
    reserve  (transaction 1)    lock or insert the blob, claim it, insert the file, not ready, charge
    publish  (no transaction)   staged -> durable, atomic; always, whoever else has the content
    record   (transaction 2)    blob published, file ready            <- here the file exists

When it dies on the way, what is left is a file that is not ready, counted like any other: `upkeep reap` deletes it.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass

from sqlalchemy import text
from sqlalchemy.orm import Session

from blobstore.core import banned, blobs, degraded, events, files, quota
from blobstore.core.delete import Which, remove
from blobstore.core.events import About, Action
from blobstore.core.files import Changes, StoredFile
from blobstore.core.gate import Caller, check_folder, reader_id
from blobstore.core.ids import random_base62
from blobstore.core.receive import Announced, Received, check_room, receive
from blobstore.core.store import Store
from blobstore.database import CommitStalled, CommitUnknown, DatabaseStalled, retrying
from blobstore.digest import Digest
from blobstore.errors import BlobstoreError, UploadLost
from blobstore.failpoints import failpoint
from blobstore.offload import offload

_INSERT_SQL = """
INSERT INTO files (id, owner_id, digest, name, folder, visibility, expires_at, tags)
VALUES (:id, :owner, :digest, :name, :folder, :visibility, :expires_at, CAST(:tags AS text[]))
"""
_INSERT = text(_INSERT_SQL)
_INSERT_PENDING = text(f"{_INSERT_SQL}; SET LOCAL synchronous_commit = off")
"""Transaction 1's: nothing is acknowledged there, so it does not wait for the disk; said in the same round trip."""
_READY = text("""
UPDATE files SET ready_at = clock_timestamp() WHERE id = :id AND owner_id = :owner AND ready_at IS NULL
""")
_DROP = text("DELETE FROM files WHERE id = :id AND owner_id = :owner AND ready_at IS NULL")


@dataclass(frozen=True)
class Outcome:
    """The file, and whether it is new (201) or was there (200)."""

    file: StoredFile
    created: bool


def upload(
    store: Store,
    caller: Caller,
    pieces: Iterable[bytes],
    given: Changes,
    *,
    declared: Digest | None = None,
    size_bytes: int | None = None,
) -> Outcome:
    """One raw body becomes one file; `size_bytes` is its announced length, None when it has none.

    The body is not read at all when it is refused, or when its `declared` digest is the caller's already.
    Raises what check_room, receive and keep raise.
    """
    check_folder(caller, given.get("folder", caller.folder))
    if declared:
        banned.refuse(store, declared)
        if outcome := instant(store, caller, declared, given):
            return outcome
    check_room(store, caller, Announced.exactly(size_bytes))
    with receive(store, caller, pieces, declared) as received:
        return keep(store, caller, received, given)


def keep(store: Store, caller: Caller, received: Received, given: Changes) -> Outcome:
    """Make a received body a file of the caller: reserve, publish, record.

    `given` is what the client said of the file; without a name it is the digest. The same content under the same name
    again is that file, with `given` applied. Raises QuotaExceeded, ContentBanned, OutsideFolder, InsufficientScope when
    `given` would change a file for somebody who may only add, and Unavailable when nothing was acknowledged.
    """
    check_folder(caller, given.get("folder", caller.folder))
    upload = _Upload(store, caller, received, given)
    try:
        twin = upload.reserve()
        return Outcome(twin, created=False) if twin else upload.finish()
    except CommitStalled:
        raise
    except CommitUnknown:
        return upload.resolve()


@retrying
def instant(store: Store, caller: Caller, digest: Digest, given: Changes) -> Outcome | None:
    """Answer an upload of a declared digest without its body, from the caller's own ready files; else None.

    One transaction. A new name for a content that the caller has costs nothing and needs no bytes.
    """
    with store.database.transaction() as session:
        blob = _held(session, caller, digest)
        if blob is None:
            return None
        twin = _existing(session, store, caller, digest, given)
        if twin:
            return Outcome(twin, created=False)
        file_id = random_base62(store.settings.short_id_length)
        blobs.claim(session, caller.user_id, digest)
        session.execute(_INSERT, _row(store, caller, digest, file_id, given))
        quota.charge(session, caller.user_id, blob.size_bytes, new=False)
        _make_ready(session, caller.user_id, digest, file_id)
        return Outcome(_stored(session, store, caller, digest, file_id, _place(caller, digest, given)), created=True)


def is_held(store: Store, caller: Caller, digest: Digest) -> bool:
    """Whether an upload of this digest would be answered without its body. Raises ContentBanned."""
    banned.refuse(store, digest)
    with store.database.transaction() as session:
        return _held(session, caller, digest) is not None


class _Upload:
    """One body on its way to being one file: the two transactions, and what follows when they fail."""

    def __init__(self, store: Store, caller: Caller, received: Received, given: Changes) -> None:
        self.store, self.caller, self.received, self.given = store, caller, received, given
        self.owner_id, self.digest = caller.user_id, received.digest
        self.file_id = random_base62(store.settings.short_id_length)

    @retrying
    def reserve(self) -> StoredFile | None:
        """Transaction 1. The caller's own file when the same content is there under the same name already."""
        with self.store.database.transaction() as session:
            blob = blobs.lock_or_insert(session, self.digest, self.received.size_bytes, self.received.content_type)
            failpoint("blob_locked")
            twin = _existing(session, self.store, self.caller, self.digest, self.given) if blob.whole else None
            if twin:
                return twin
            new = blobs.claim(session, self.owner_id, self.digest)
            values = _row(self.store, self.caller, self.digest, self.file_id, self.given)
            session.execute(_INSERT_PENDING, values)
            quota.charge(session, self.owner_id, self.received.size_bytes, new=new)
        return None

    def finish(self) -> Outcome:
        """Publish and record. After a failure that is no crash our own row goes by the ordinary delete."""
        try:
            failpoint("reserved")
            with degraded.watched(self.store):
                location = offload(self.received.staged.publish, self.digest)
            failpoint("before_record")
            outcome = self.record(location)
        except (CommitUnknown, DatabaseStalled):
            # Our row is the reaper's: the client has waited long enough.
            raise
        except BaseException:
            with suppress(BlobstoreError):
                remove(self.store, self.owner_id, self.digest, Which.OWN_PENDING, {"id": self.file_id})
            raise
        failpoint("recorded")
        return outcome

    @retrying
    def record(self, location: str) -> Outcome:
        """Transaction 2, synchronous. Raises UploadLost when the reaper, or a crash of PostgreSQL, took our row, and
        ContentBanned.
        """
        with self.store.database.transaction() as session:
            blob = blobs.lock(session, self.digest)
            if blob is None:
                raise UploadLost("the upload was given up meanwhile; send it again")
            name, folder = _place(self.caller, self.digest, self.given)
            twin = files.find_twin(session, self.owner_id, self.digest, name=name, folder=folder, but=self.file_id)
            if twin and not twin.expired:
                self._drop_for(session, twin.id)
            else:
                self._ready(session)
            if not blob.whole or blob.location == location:
                # Bytes that we replaced too: who has judged the old ones must see that they are others now.
                blobs.vouch(session, self.digest, location, self.received.content_type)
            file_id, created = (twin.id, False) if twin and not twin.expired else (self.file_id, True)
            return Outcome(_stored(session, self.store, self.caller, self.digest, file_id, (name, folder)), created)

    def _ready(self, session: Session) -> None:
        _make_ready(session, self.owner_id, self.digest, self.file_id)

    def _drop_for(self, session: Session, twin_id: str) -> None:
        """Another request of the same owner recorded the same name and content first: ours is that file."""
        held = blobs.claimed(session, self.owner_id, self.digest)
        if not session.execute(_DROP, {"id": self.file_id, "owner": self.owner_id}).rowcount:  # type: ignore[attr-defined]
            raise UploadLost("the upload was given up meanwhile; send it again")
        last = blobs.release(session, self.owner_id, self.digest, files=1, of=held)
        quota.refund(session, self.owner_id, self.received.size_bytes, files=1, last=last)
        files.apply(session, self.caller, files.live(session, twin_id), self.given)

    def resolve(self) -> Outcome:
        """After a COMMIT of unknown outcome: look on a new connection, behind the lock, which waits for a COMMIT that
        still runs. Nothing is deleted: what is not ready is the reaper's. Raises UploadLost, DatabaseUnavailable.
        """
        self.store.database.dispose()
        with self.store.database.transaction() as session:
            blobs.lock(session, self.digest)
            file = files.read(session, self.file_id)
        if file is None:
            raise UploadLost("the database connection was lost; send it again")
        return Outcome(file, created=True)


def _held(session: Session, caller: Caller, digest: Digest) -> blobs.Locked | None:
    """The blob, locked, if it is whole and the caller may read a live file of his with it.

    Else whoever knows a digest would get the bytes, under a name that is his. Other protocols' folders do not count.
    """
    if reader_id(caller) is None:
        return None
    blob = blobs.lock(session, digest)
    if blob is None or not blob.whole:
        return None
    file = files.find_twin(session, caller.user_id, digest, name=None, folder=None, below=caller.folder)
    return None if file is None or file.expired else blob


def _place(caller: Caller, digest: Digest, given: Changes) -> tuple[str, str]:
    return given.get("name", digest.hex), given.get("folder", caller.folder)


def _existing(session: Session, store: Store, caller: Caller, digest: Digest, given: Changes) -> StoredFile | None:
    """The caller's file that this upload repeats, with what was given applied. An expired one may stand beside it."""
    name = given.get("name")
    folder = given.get("folder", caller.folder if name else None)
    twin = files.find_twin(session, caller.user_id, digest, name=name, folder=folder, below=caller.folder)
    if twin is None or twin.expired:
        return None
    if given:
        files.apply(session, caller, files.live(session, twin.id), given)
    return _stored(session, store, caller, digest, twin.id, (twin.name, twin.folder))


def _row(store: Store, caller: Caller, digest: Digest, file_id: str, given: Changes) -> dict[str, object]:
    name, folder = _place(caller, digest, given)
    values = {"visibility": store.settings.default_visibility, "expires_at": None, "tags": [], **given}
    return values | {"id": file_id, "owner": caller.user_id, "digest": digest.hex, "name": name, "folder": folder}


def _make_ready(session: Session, owner_id: int, digest: Digest, file_id: str) -> None:
    if not session.execute(_READY, {"id": file_id, "owner": owner_id}).rowcount:  # type: ignore[attr-defined]
        banned.check(session, digest)
        raise UploadLost("the upload was given up meanwhile; send it again")


def _stored(
    session: Session, store: Store, caller: Caller, digest: Digest, file_id: str, place: tuple[str, str]
) -> StoredFile:
    """The file that an upload is answered with: the last look under the blob's lock, with the event of the upload.

    Raises ContentBanned.
    """
    if not store.settings.audit_traffic:
        return files.live(session, file_id)
    name, folder = place
    about = About(caller.user_id, digest, file_id)
    return files.live(session, file_id, events.noted(caller.actor, Action.UPLOAD, about, name=name, folder=folder))
