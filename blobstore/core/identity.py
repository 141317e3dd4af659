"""Whether the storage is the one that the database knows.

A disk that is not mounted leaves an empty folder in its place. Uploads would be acknowledged that vanish under the
mount later, and every blob that is asked for would be taken for damaged. So the database keeps the identity of the
first storage that it saw, and no other one is written to, swept, or believed to have lost anything.
"""

from __future__ import annotations

from sqlalchemy import text

from blobstore.core.store import Store
from blobstore.errors import StorageUnavailable
from blobstore.offload import offload

_KNOW = text("INSERT INTO storages (backend, identity) VALUES ('disk', :identity) ON CONFLICT (backend) DO NOTHING")
_ACCEPT = text("""
INSERT INTO storages (backend, identity) VALUES ('disk', :identity)
ON CONFLICT (backend) DO UPDATE SET identity = EXCLUDED.identity
""")
_KNOWN = text("SELECT identity FROM storages WHERE backend = 'disk'")


def confirm(store: Store) -> None:
    """Raise StorageUnavailable for another storage than the database's; asked once in a process, and after trouble."""
    if not store.condition.confirmed:
        confirm_anew(store)


def confirm_anew(store: Store) -> None:
    """The same, asked now: a disk may have gone since, and an empty folder be in its place."""
    try:
        identity = offload(store.storage.identity)
        if identity is not None and _known(store, identity) != identity:
            raise StorageUnavailable(
                "this is not the storage that the database knows: is its disk mounted? "
                "(if it is the right one, after a restore: `blobstore storage accept`)"
            )
    except StorageUnavailable:
        store.condition.confirmed = False
        raise
    store.condition.confirmed = True


def _known(store: Store, identity: str) -> str | None:
    """The identity that the database has; the given one when it had none."""
    with store.database.transaction() as session:
        known: str | None = session.scalar(_KNOWN)
        if known is None:
            session.execute(_KNOW, {"identity": identity})
            known = session.scalar(_KNOWN)
    return known


def accept(store: Store) -> str | None:
    """Make this storage the database's, because an operator says so, after a restore; its identity."""
    identity = store.storage.identity()
    if identity is not None:
        with store.database.transaction() as session:
            session.execute(_ACCEPT, {"identity": identity})
    return identity
