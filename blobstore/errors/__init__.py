"""The errors of the domain. What each means over HTTP is one table, `api/errors.py`.

    BlobstoreError
    ├── Invalid                  what the caller sent is not well-formed, or not allowed
    │   ├── BadDigest  BadName  BadUserName  BadText  BadEncoding  BadExpires  BadOption  BadCursor  BadHost
    │   ├── UnknownField  BadJson  BadBase64  BadMultipart  MissingFile  TooManyFiles  IncompleteBody  BadChunk
    │   ├── LengthRequired  UnsupportedTransferCoding
    │   └── UnsupportedMediaType  UnsupportedContentEncoding
    ├── Unauthenticated          no credentials, or credentials that do not verify
    ├── Forbidden                known, but not allowed
    │   ├── InsufficientScope  OutsideFolder  CrossSite  BadSignature  PasswordRequired
    │   └── RegistrationClosed  EmailNotAllowed  EmailUnverified  MailDisabled
    ├── NotFound                 not there, or not the caller's to see
    ├── ContentBanned            an admin has banned the content: nobody gets it, and nobody may bring it
    ├── Conflict
    │   ├── DigestMismatch
    │   └── AlreadyExists  AlreadyRotated  LastAdmin
    ├── LimitExceeded            the caller's own limit
    │   ├── FileTooLarge  QuotaExceeded  BodyTooLarge  FormTooLarge
    │   └── TooManyAttempts  TooManyRequests  TooManyBodies  TooSlow
    └── Unavailable              our side; a retry is safe
        ├── Busy  DatabaseUnavailable  StorageUnavailable  BlobRefused  ContentDamaged  UploadLost
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
    BadUserName,
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
    AlreadyRotated,
    BadSignature,
    BodyTooLarge,
    Conflict,
    ContentBanned,
    CrossSite,
    DigestMismatch,
    EmailNotAllowed,
    EmailUnverified,
    FileTooLarge,
    Forbidden,
    FormTooLarge,
    InsufficientScope,
    LastAdmin,
    LimitExceeded,
    MailDisabled,
    NotFound,
    OutsideFolder,
    PasswordRequired,
    QuotaExceeded,
    RegistrationClosed,
    TooManyAttempts,
    TooManyBodies,
    TooManyRequests,
    TooSlow,
    Unauthenticated,
)
from blobstore.errors.trouble import (
    BlobMissing,
    BlobRefused,
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
    "AlreadyRotated",
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
    "BadUserName",
    "BlobMissing",
    "BlobRefused",
    "BlobstoreError",
    "BodyTooLarge",
    "Busy",
    "Conflict",
    "ContentBanned",
    "ContentDamaged",
    "CrossSite",
    "DatabaseUnavailable",
    "DigestMismatch",
    "EmailNotAllowed",
    "EmailUnverified",
    "FileTooLarge",
    "Forbidden",
    "FormTooLarge",
    "IncompleteBody",
    "InsufficientScope",
    "Invalid",
    "LastAdmin",
    "LengthRequired",
    "LimitExceeded",
    "MailDisabled",
    "MissingFile",
    "NotFound",
    "OutsideFolder",
    "PasswordRequired",
    "QuotaExceeded",
    "RegistrationClosed",
    "StorageFull",
    "StorageUnavailable",
    "TooManyAttempts",
    "TooManyBodies",
    "TooManyFiles",
    "TooManyRequests",
    "TooSlow",
    "Unauthenticated",
    "Unavailable",
    "UnknownField",
    "UnsupportedContentEncoding",
    "UnsupportedMediaType",
    "UnsupportedTransferCoding",
    "UploadLost",
]
