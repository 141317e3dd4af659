"""Whether the storage is the one that the database knows.

A disk that is not mounted leaves an empty folder in its place. Uploads would be acknowledged that vanish under the
mount later, and every blob that is asked for would be taken for damaged. So the database keeps the identity of the
first storage that it saw, and no other one is written to, swept, or believed to have lost anything; also not when the
disk goes away while the service runs, and another process makes a new store in its place.
"""

from __future__ import annotations

from sqlalchemy import text

from blobstore.core.store import Store
from blobstore.errors import StorageUnavailable

_KNOW = text("INSERT INTO storages (backend, identity) VALUES ('disk', :identity) ON CONFLICT (backend) DO NOTHING")
_ACCEPT = text("""
INSERT INTO storages (backend, identity) VALUES ('disk', :identity)
ON CONFLICT (backend) DO UPDATE SET identity = EXCLUDED.identity
""")
_KNOWN = text("SELECT identity FROM storages WHERE backend = 'disk'")


def confirm(store: Store) -> None:
    """Raise StorageUnavailable for another storage than the database's, which is asked once in a process."""
    identity = store.storage.identity()
    if identity is not None and identity not in store.confirmed:
        with store.database.transaction() as session:
            session.execute(_KNOW, {"identity": identity})
            if session.scalar(_KNOWN) != identity:
                raise StorageUnavailable(
                    "this is not the storage that the database knows: is its disk mounted? "
                    "(if it is the right one, after a restore: `blobstore storage accept`)"
                )
        store.confirmed.add(identity)


def accept(store: Store) -> str | None:
    """Make this storage the database's, because an operator says so, after a restore; its identity."""
    identity = store.storage.identity()
    if identity is not None:
        with store.database.transaction() as session:
            session.execute(_ACCEPT, {"identity": identity})
    return identity
