"""What every use case is given: the settings, the database and the storage; and how they are opened."""

from __future__ import annotations

from dataclasses import dataclass, field

from blobstore.database import Database
from blobstore.errors import StorageFull, StorageUnavailable
from blobstore.settings import Settings
from blobstore.storage import Storage
from blobstore.storage.disk import Disk


@dataclass
class Condition:
    """Whether this worker may write to the storage. Kept by core/degraded.py."""

    full: bool = False
    """There is no more room than the floor."""
    trouble: StorageFull | StorageUnavailable | None = None
    """Why the store is degraded; None: it is not."""
    probe_at: float = 0.0
    """When to probe next, by the monotonic clock."""
    pause_seconds: float = 0.0
    """How long to wait after that probe, if it fails."""


@dataclass(frozen=True)
class Store:
    """One blobstore. Safe to share among greenlets; every worker process makes its own."""

    settings: Settings
    database: Database
    storage: Storage
    condition: Condition = field(default_factory=Condition)
    confirmed: set[str] = field(default_factory=set)
    """What core/identity.py has found to be the database's storage."""


def open_store(settings: Settings, storage: Storage | None = None) -> Store:
    """The settings, database and storage that every use case is given. Raises SettingsError without a database."""
    return Store(settings, Database(settings.require_database(), settings), storage or open_storage(settings))


def open_storage(settings: Settings) -> Storage:
    """The storage that the settings name, ready for use. Raises StorageFull, StorageUnavailable."""
    disk = Disk(settings.store)
    disk.prepare()
    return disk
