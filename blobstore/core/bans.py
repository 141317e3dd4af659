"""Bans: an admin bans a content, wherever it is and whoever has it.

    ban      (a transaction)   the row: nothing of it is served, and nobody may bring it, from now on
    remove   (one each)        what its owners have, ready or not, goes by the ordinary delete, which refunds it
    lift     remove what is left, then drop the row

The bytes go with the next sweep. When a ban dies while it removes, upkeep goes on with it.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass

from sqlalchemy.orm import Session

from blobstore.core import banned, cursors, events
from blobstore.core.actor import UPKEEP, Actor
from blobstore.core.banned import Ban
from blobstore.core.cursors import Page
from blobstore.core.delete import Deleted, Which, remove
from blobstore.core.events import About, Action
from blobstore.core.store import Store
from blobstore.digest import Digest
from blobstore.errors import BadOption, NotFound

BATCH = 100
MAX_REASON_BYTES = 1000


@dataclass(frozen=True)
class Banned:
    """What a ban did: the ban, whether it is new, and how many files went now."""

    ban: Ban
    created: bool
    removed: int


def ban(store: Store, digest: Digest, reason: str, by: Actor) -> Banned:
    """Ban a content, for everybody to read why; a banned one gets this reason. Raises BadOption."""
    if not reason.isprintable() or not reason.strip() or len(reason.encode()) > MAX_REASON_BYTES:
        raise BadOption("reason", f"is a line of 1 to {MAX_REASON_BYTES} bytes")
    with store.database.transaction() as session:
        made, created = banned.ban(session, digest, reason, by)
        events.note(session, by, Action.CONTENT_BANNED, About(digest=digest), reason=reason)
    return Banned(made, created, _remove(store, digest, by))


def lift(store: Store, digest: Digest, by: Actor) -> None:
    """Let a content in again; what was removed stays removed. Raises NotFound."""
    _remove(store, digest, by)
    with store.database.transaction() as session:
        if not banned.lift(session, digest):
            raise NotFound("this content is not banned")
        events.note(session, by, Action.BAN_LIFTED, About(digest=digest))


def page(store: Store, *, limit: int, cursor: str | None) -> Page[Ban]:
    """The newest bans first, `limit` of them after `cursor`. Raises BadCursor."""
    with store.database.transaction() as session:
        found = banned.page(session, limit=limit + 1, cursor=cursor)
    return cursors.cut(found, limit, lambda ban: cursors.write(ban.created_at, ban.digest.hex))


def finish(store: Store) -> int:
    """Remove what a ban that died has left; upkeep calls it. How many files."""
    removed = 0
    while True:
        with store.database.transaction() as session:
            found = banned.unfinished(session, BATCH)
        gone = sum(_remove(store, digest, Actor(by, UPKEEP.address, "")) for digest, by in found)
        removed += gone
        if not gone:
            return removed


def _remove(store: Store, digest: Digest, by: Actor) -> int:
    """Remove the content from everybody; nothing when it is not banned."""
    removed = 0
    while True:
        with store.database.transaction() as session:
            owners = banned.owners(session, digest, BATCH)
        gone = sum(_remove_from(store, owner_id, digest, by) for owner_id in owners)
        removed += gone
        if not gone:
            return removed


def _remove_from(store: Store, owner_id: int, digest: Digest, by: Actor) -> int:
    """What one owner has goes in a transaction of its own, behind an upload of his that has not ended."""

    def note(session: Session, deleted: Deleted) -> None:
        events.note(session, by, Action.CONTENT_REMOVED, About(owner_id, digest), **asdict(deleted))

    try:
        return remove(store, owner_id, digest, Which.BANNED, {}, then=note).files
    except NotFound:
        return 0
