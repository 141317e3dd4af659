"""Degraded: a store whose last write failed takes no uploads until a probe succeeds. Reads and deletes go on.

After a failed fsync, EIO or a full disk the next upload would most likely fail too, at its end, when all of its bytes
have been sent; so it is refused before the first. Every worker finds out by itself, and by itself probes the storage in
the background, with pauses that grow, until it can be written to again: nobody has to restart anything.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from time import monotonic

from blobstore.core.store import Store
from blobstore.errors import StorageFull, StorageUnavailable
from blobstore.offload import offload

FIRST_PAUSE_SECONDS = 1.0
MAX_PAUSE_SECONDS = 30.0
_log = logging.getLogger(__name__)


def refuse(store: Store, needed_bytes: int = 0) -> None:
    """Raise StorageFull or StorageUnavailable when an upload of so many bytes is not taken.

    That is while the store is degraded, and when less would be free afterwards than the floor.
    """
    trouble = store.condition.trouble
    if trouble is not None:
        raise type(trouble)(trouble.detail) from trouble
    free = store.storage.free_bytes()
    if free is None:
        return
    left = free - store.settings.free_floor_bytes
    _note_room(store, full=left <= 0)
    if left <= 0 or needed_bytes > left:
        raise StorageFull("the server's disk is full; what is stored can still be read and deleted")


def _note_room(store: Store, *, full: bool) -> None:
    if full and not store.condition.full:
        _log.error("the disk is full, uploads are refused: no more is free than BLOBSTORE_FREE_FLOOR_BYTES")
    elif store.condition.full and not full:
        _log.warning("there is room on the disk again, uploads are taken")
    store.condition.full = full


@contextmanager
def watched(store: Store) -> Iterator[None]:
    """Around every write to the storage: one that fails degrades the store.

    Not for what is one blob's trouble alone (BlobRefused), or this process's (Busy).
    """
    try:
        yield
    except (StorageFull, StorageUnavailable) as error:
        _degrade(store, error)
        raise


def _degrade(store: Store, error: StorageFull | StorageUnavailable) -> None:
    condition = store.condition
    if condition.trouble is None:
        _log.error("the store is degraded, uploads are refused: %s", error.explained)
        condition.pause_seconds = FIRST_PAUSE_SECONDS
        condition.probe_at = monotonic() + FIRST_PAUSE_SECONDS
    condition.trouble = error


def recover(store: Store) -> None:
    """Probe the storage if the store is degraded and a probe is due: it ends that, or the next one is later."""
    condition = store.condition
    trouble = condition.trouble
    if trouble is None or monotonic() < condition.probe_at:
        return
    try:
        offload(store.storage.probe)
    except (StorageFull, StorageUnavailable) as error:
        condition.trouble = error
        condition.pause_seconds = min(2 * condition.pause_seconds, MAX_PAUSE_SECONDS)
        condition.probe_at = monotonic() + condition.pause_seconds
        return
    if condition.trouble is trouble:
        # Else a write has failed since the probe began.
        condition.trouble = None
        _log.warning("the store takes uploads again")
