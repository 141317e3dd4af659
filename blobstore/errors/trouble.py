"""What is wrong on our side, and not with the request."""

from __future__ import annotations

from blobstore.errors.base import BlobstoreError


class Unavailable(BlobstoreError):
    """Our side; nothing was acknowledged and a retry is safe. `retry_after_seconds` is a hint."""

    code = "unavailable"
    retry_after_seconds: int = 2


class Busy(Unavailable):
    """More is under way than we take at once."""

    code = "busy"


class DatabaseUnavailable(Unavailable):
    """PostgreSQL is away, or did not answer in time."""

    code = "database_unavailable"


class StorageUnavailable(Unavailable):
    """The storage refused, or its answer cannot be trusted."""

    code = "storage_unavailable"


class BlobRefused(Unavailable):
    """The storage does not take these bytes, and takes others; an operator has to look at why."""

    code = "blob_refused"
    retry_after_seconds = 60


class ContentDamaged(Unavailable):
    """The bytes are known not to match their digest; any upload of the content heals them."""

    code = "content_damaged"
    retry_after_seconds = 60


class UploadLost(Unavailable):
    """The upload's own row vanished while the bytes were published; nothing was acknowledged, send it again."""

    code = "upload_lost"


class StorageFull(Unavailable):
    """No space on the server's disk."""

    code = "storage_full"
    retry_after_seconds = 60


class BlobMissing(BlobstoreError):
    """The storage has no bytes at a location. Never reaches a client: the readers turn it into damage or not found."""

    code = "content_damaged"
    retry_after_seconds = ContentDamaged.retry_after_seconds
