"""Delete a user with all that is his.

    disable        one transaction: nothing new comes, his sessions end
    remove files   each by the ordinary delete
    drop           one transaction: keys, sessions, the row; not while a file is left that came meanwhile

When it is interrupted, it can be repeated.
"""

from __future__ import annotations

from sqlalchemy import delete, exists, select, text
from sqlalchemy.exc import IntegrityError

from blobstore.core import accounts, events, keys, sessions
from blobstore.core.accounts import Account
from blobstore.core.actor import OPERATOR, UPKEEP, Actor
from blobstore.core.admin import set_disabled
from blobstore.core.delete import Which, remove
from blobstore.core.events import About, Action
from blobstore.core.store import Store
from blobstore.digest import Digest
from blobstore.errors import NotFound
from blobstore.models import ApiKey, File, User

DELETE_BATCH = 500


def remove_account(store: Store, name: str, by: Actor = OPERATOR) -> int:
    """Delete the user with all his files, by the ordinary delete; how many files. Raises NotFound, LastAdmin."""
    set_disabled(store, name, disabled=True, by=by)
    account = accounts.get(store, name)
    removed = _remove_files(store, account.id)
    while not _drop(store, account, removed, by):
        removed += _remove_files(store, account.id)
    return removed


def forget_unverified(store: Store) -> int:
    """Delete who signed up and has not been let in for BLOBSTORE_UNVERIFIED_DAYS; upkeep calls it. How many."""
    before = text("created_at < clock_timestamp() - make_interval(days => :days)")
    has_keys = exists().where(ApiKey.owner_id == User.id)
    with store.database.transaction() as session:
        days = {"days": store.settings.unverified_days}
        stale = delete(User).where(~User.admitted, before, ~has_keys).returning(User.id, User.name)
        gone = session.execute(stale, days).all()
        for row in gone:
            events.note(session, UPKEEP, Action.USER_REMOVED, About(row.id, target=row.name), files=0)
        return len(gone)


def _remove_files(store: Store, owner_id: int) -> int:
    removed = 0
    while files := _some_files(store, owner_id):
        for file_id, digest in files:
            removed += _remove_file(store, owner_id, file_id, digest)
    return removed


def _drop(store: Store, account: Account, removed: int, by: Actor) -> bool:
    """Delete the row; False when an upload that was under way has added a file meanwhile."""
    try:
        with store.database.transaction() as session:
            keys.revoke_all(session, account.id)
            sessions.end_all(session, account.id)
            session.execute(delete(User).where(User.id == account.id))
            events.note(session, by, Action.USER_REMOVED, About(account.id, target=account.name), files=removed)
    except IntegrityError:
        return False
    return True


def _some_files(store: Store, owner_id: int) -> list[tuple[str, str]]:
    with store.database.transaction() as session:
        rows = session.execute(select(File.id, File.digest).where(File.owner_id == owner_id).limit(DELETE_BATCH))
        return [(row.id, row.digest) for row in rows]


def _remove_file(store: Store, owner_id: int, file_id: str, digest: str) -> int:
    try:
        return remove(store, owner_id, Digest(digest), Which.ALL, {"id": file_id}).files
    except NotFound:
        return 0
