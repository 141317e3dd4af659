"""What every use case is given: the settings, the database and the storage."""

from __future__ import annotations

from dataclasses import dataclass, field

from blobstore.database import Database
from blobstore.settings import Settings
from blobstore.storage import Storage


@dataclass(frozen=True)
class Store:
    """One blobstore. Safe to share among greenlets; every worker process makes its own."""

    settings: Settings
    database: Database
    storage: Storage
    confirmed: set[str] = field(default_factory=set)
    """What core/identity.py has found to be the database's storage."""
