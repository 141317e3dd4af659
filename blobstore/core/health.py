"""Whether this node can work: the database answers, its schema is current, the disk has room."""

from __future__ import annotations

from blobstore.core.identity import confirm
from blobstore.core.store import Store
from blobstore.database import is_current
from blobstore.errors import BlobstoreError


def readiness(store: Store) -> list[str]:
    """What is wrong, one line each; empty when all is well. The storage is looked at once the database is right."""
    return _database(store) or _storage(store)


def _database(store: Store) -> list[str]:
    try:
        return [] if is_current(store.database) else ["the database needs `blobstore db upgrade`"]
    except BlobstoreError as error:
        return [error.detail]


def _storage(store: Store) -> list[str]:
    try:
        confirm(store)
        free = store.storage.free_bytes()
    except BlobstoreError as error:
        return [error.detail]
    if free is not None and free < store.settings.free_floor_bytes:
        return [f"the store has {free} bytes free, below the floor of {store.settings.free_floor_bytes}"]
    return []
