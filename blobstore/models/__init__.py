"""The schema. Who writes which table is in docs/architecture.md; core/ holds every statement."""

from __future__ import annotations

from blobstore.models.accounts import ApiKey, Mail, User, UserSession
from blobstore.models.base import Base, Ordered
from blobstore.models.contents import Ban, BannedFile, Blob, Claim, File
from blobstore.models.events import Event
from blobstore.models.service import KnownStorage, Lease, RateLimit, Round

__all__ = [
    "ApiKey",
    "Ban",
    "BannedFile",
    "Base",
    "Blob",
    "Claim",
    "Event",
    "File",
    "KnownStorage",
    "Lease",
    "Mail",
    "Ordered",
    "RateLimit",
    "Round",
    "User",
    "UserSession",
]
