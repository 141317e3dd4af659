"""The errors of the domain. What each means over HTTP is one table, `api/errors.py`.

    BlobstoreError
    ├── Invalid                  what the caller sent is not well-formed, or not allowed
    │   ├── BadDigest  BadName  BadText  BadEncoding  BadExpires  BadOption  BadCursor  BadHost  UnknownField
    │   ├── BadJson  BadBase64  BadMultipart  MissingFile  TooManyFiles  IncompleteBody  BadChunk
    │   ├── LengthRequired  UnsupportedTransferCoding
    │   └── UnsupportedMediaType  UnsupportedContentEncoding
    ├── Unauthenticated          no credentials, or credentials that do not verify
    ├── Forbidden                known, but not allowed
    │   └── InsufficientScope  CrossSite  BadSignature  PasswordRequired
    ├── NotFound                 not there, or not the caller's to see
    ├── ContentBanned            an admin has banned the content: nobody gets it, and nobody may bring it
    ├── Conflict
    │   ├── DigestMismatch
    │   └── AlreadyExists  LastAdmin
    ├── LimitExceeded            the caller's own limit
    │   ├── FileTooLarge  QuotaExceeded  BodyTooLarge  FormTooLarge
    │   └── TooManyAttempts  TooManyBodies  TooSlow
    └── Unavailable              our side; a retry is safe
        ├── Busy  DatabaseUnavailable  StorageUnavailable  ContentDamaged  UploadLost
        └── StorageFull

Every class has a stable wire `code`; numbers travel as attributes named in `members`.
"""

from __future__ import annotations

from blobstore.errors.base import BlobstoreError
from blobstore.errors.invalid import (
    BadBase64,
    BadChunk,
    BadCursor,
    BadDigest,
    BadEncoding,
    BadExpires,
    BadHost,
    BadJson,
    BadMultipart,
    BadName,
    BadOption,
    BadText,
    IncompleteBody,
    Invalid,
    LengthRequired,
    MissingFile,
    TooManyFiles,
    UnknownField,
    UnsupportedContentEncoding,
    UnsupportedMediaType,
    UnsupportedTransferCoding,
)
from blobstore.errors.refused import (
    AlreadyExists,
    BadSignature,
    BodyTooLarge,
    Conflict,
    ContentBanned,
    CrossSite,
    DigestMismatch,
    FileTooLarge,
    Forbidden,
    FormTooLarge,
    InsufficientScope,
    LastAdmin,
    LimitExceeded,
    NotFound,
    PasswordRequired,
    QuotaExceeded,
    TooManyAttempts,
    TooManyBodies,
    TooSlow,
    Unauthenticated,
)
from blobstore.errors.trouble import (
    BlobMissing,
    Busy,
    ContentDamaged,
    DatabaseUnavailable,
    StorageFull,
    StorageUnavailable,
    Unavailable,
    UploadLost,
)

__all__ = [
    "AlreadyExists",
    "BadBase64",
    "BadChunk",
    "BadCursor",
    "BadDigest",
    "BadEncoding",
    "BadExpires",
    "BadHost",
    "BadJson",
    "BadMultipart",
    "BadName",
    "BadOption",
    "BadSignature",
    "BadText",
    "BlobMissing",
    "BlobstoreError",
    "BodyTooLarge",
    "Busy",
    "Conflict",
    "ContentBanned",
    "ContentDamaged",
    "CrossSite",
    "DatabaseUnavailable",
    "DigestMismatch",
    "FileTooLarge",
    "Forbidden",
    "FormTooLarge",
    "IncompleteBody",
    "InsufficientScope",
    "Invalid",
    "LastAdmin",
    "LengthRequired",
    "LimitExceeded",
    "MissingFile",
    "NotFound",
    "PasswordRequired",
    "QuotaExceeded",
    "StorageFull",
    "StorageUnavailable",
    "TooManyAttempts",
    "TooManyBodies",
    "TooManyFiles",
    "TooSlow",
    "Unauthenticated",
    "Unavailable",
    "UnknownField",
    "UnsupportedContentEncoding",
    "UnsupportedMediaType",
    "UnsupportedTransferCoding",
    "UploadLost",
]
