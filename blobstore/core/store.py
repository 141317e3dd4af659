"""What every use case is given: the settings, the database and the storage."""

from __future__ import annotations

from dataclasses import dataclass, field
from threading import Event

from blobstore.database import Database
from blobstore.settings import Settings
from blobstore.storage import Storage


@dataclass(frozen=True)
class Store:
    """One blobstore. Safe to share among greenlets; every worker process makes its own."""

    settings: Settings
    database: Database
    storage: Storage
    confirmed: Event = field(default_factory=Event)
    """Set by core/identity.py, once the storage is known to be the database's."""
