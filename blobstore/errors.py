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

from typing import ClassVar


class BlobstoreError(Exception):
    """An answer of the domain: `code` is stable for clients, `detail` is for people."""

    code: ClassVar[str] = "error"
    members: ClassVar[tuple[str, ...]] = ()
    """Names of the attributes that belong in the answer."""

    def __init__(self, detail: str = "") -> None:
        super().__init__(detail)
        self.detail = detail


class Invalid(BlobstoreError):
    """The request is not well-formed."""

    code = "bad_request"


class BadDigest(Invalid):
    """Not a SHA-256, or two that differ."""

    code = "bad_digest"


class BadName(Invalid):
    """Not a name or folder under the rule of core/names.py."""

    code = "bad_name"


class BadText(Invalid):
    """A NUL or a lone surrogate, which no text column can hold."""

    code = "bad_text"


class BadEncoding(Invalid):
    """A URL that is not UTF-8."""

    code = "bad_encoding"


class BadExpires(Invalid):
    """An expiry that is past, unreadable, or too far away."""

    code = "bad_expires"


class BadOption(Invalid):
    """A parameter or field with a value outside its range; `field` names it."""

    code = "bad_option"
    members = ("field",)

    def __init__(self, field: str, detail: str) -> None:
        super().__init__(f"{field}: {detail}")
        self.field = field


class UnknownField(Invalid):
    """A JSON object has a field that the route does not know; `field` names it."""

    code = "unknown_field"
    members = ("field",)

    def __init__(self, field: str) -> None:
        super().__init__(f"there is no field {field!r} here")
        self.field = field


class BadHost(Invalid):
    """A Host that this service does not go by."""

    code = "bad_host"


class BadCursor(Invalid):
    """A cursor that this list did not hand out."""

    code = "bad_cursor"


class BadJson(Invalid):
    """The body is not the strict UTF-8 JSON object that is expected."""

    code = "bad_json"


class BadBase64(Invalid):
    """Not the canonical base64 of RFC 4648, section 4."""

    code = "bad_base64"


class BadMultipart(Invalid):
    """Not a multipart/form-data body of RFC 7578, or one beyond the limits."""

    code = "bad_multipart"


class MissingFile(Invalid):
    """A form without a part `file` that has a filename."""

    code = "missing_file"


class TooManyFiles(Invalid):
    """More files in one request than the service takes."""

    code = "too_many_files"


class IncompleteBody(Invalid):
    """The body ended before it was complete."""

    code = "incomplete_body"


class BadChunk(Invalid):
    """The chunked coding of the body is broken (RFC 9112, section 7.1)."""

    code = "bad_chunk"


class LengthRequired(Invalid):
    """A body is needed, and neither Content-Length nor the chunked coding says where it ends."""

    code = "length_required"


class UnsupportedTransferCoding(Invalid):
    """A Transfer-Encoding other than `chunked`."""

    code = "unsupported_transfer_coding"


class UnsupportedMediaType(Invalid):
    """A Content-Type that this place does not read."""

    code = "unsupported_media_type"


class UnsupportedContentEncoding(Invalid):
    """A Content-Encoding other than `identity`: the bytes stored are the bytes sent."""

    code = "unsupported_content_encoding"


class Unauthenticated(BlobstoreError):
    """No credentials where they are needed, or credentials that do not verify."""

    code = "invalid_credentials"


class Forbidden(BlobstoreError):
    """The caller is known and may not do this."""

    code = "forbidden"


class CrossSite(Forbidden):
    """A browser sent it for a page of another site."""

    code = "cross_site"


class BadSignature(Forbidden):
    """A signed link that is wrong, or too old."""

    code = "bad_signature"


class PasswordRequired(Forbidden):
    """Only the user himself may do this, not an API key of his."""

    code = "password_required"


class InsufficientScope(Forbidden):
    """The API key lacks `scope`."""

    code = "insufficient_scope"
    members = ("scope",)

    def __init__(self, scope: str) -> None:
        super().__init__(f"this API key lacks the scope '{scope}'")
        self.scope = scope


class NotFound(BlobstoreError):
    """Not there, or not the caller's to see: the two look the same."""

    code = "not_found"


class Conflict(BlobstoreError):
    """The request does not fit the present state."""

    code = "conflict"


class DigestMismatch(Conflict):
    """The bytes are not what was declared; nothing was stored, nothing charged."""

    code = "digest_mismatch"
    members = ("declared", "received")

    def __init__(self, declared: str, received: str) -> None:
        super().__init__(f"the bytes hash to {received}, declared was {declared}; nothing was stored")
        self.declared, self.received = declared, received


class AlreadyExists(Conflict):
    """A name that must be unique is taken."""

    code = "already_exists"


class LastAdmin(Conflict):
    """Without him nobody could administer the store."""

    code = "last_admin"


class LimitExceeded(BlobstoreError):
    """A limit of the caller's own."""

    code = "limit_exceeded"


class FileTooLarge(LimitExceeded):
    """Larger than the service takes."""

    code = "file_too_large"
    members = ("limit_bytes",)

    def __init__(self, limit_bytes: int, detail: str = "") -> None:
        super().__init__(detail or f"a file may have at most {limit_bytes} bytes")
        self.limit_bytes = limit_bytes


class QuotaExceeded(LimitExceeded):
    """The upload does not fit the caller's quota. All three numbers are bytes."""

    code = "quota_exceeded"
    members = ("limit_bytes", "used_bytes", "needed_bytes")

    def __init__(self, *, limit_bytes: int, used_bytes: int, needed_bytes: int) -> None:
        super().__init__(f"{needed_bytes} bytes are needed, {max(limit_bytes - used_bytes, 0)} are free")
        self.limit_bytes, self.used_bytes, self.needed_bytes = limit_bytes, used_bytes, needed_bytes


class BodyTooLarge(LimitExceeded):
    """A JSON body larger than this place reads."""

    code = "body_too_large"
    members = ("limit_bytes",)

    def __init__(self, limit_bytes: int) -> None:
        super().__init__(f"this body may have at most {limit_bytes} bytes")
        self.limit_bytes = limit_bytes


class FormTooLarge(LimitExceeded):
    """A form with more fields, longer fields or longer part headers than are read; its files do not count."""

    code = "form_too_large"


class TooManyAttempts(LimitExceeded):
    """Too many failed logins; `retry_after_seconds` says when the window ends."""

    code = "too_many_attempts"
    members = ("retry_after_seconds",)

    def __init__(self, retry_after_seconds: int) -> None:
        super().__init__(f"too many failed logins; try again in {retry_after_seconds} seconds")
        self.retry_after_seconds = retry_after_seconds


class TooManyBodies(LimitExceeded):
    """More bodies from one address than the service takes at once."""

    code = "too_many_bodies"
    retry_after_seconds: ClassVar[int] = 2


class TooSlow(LimitExceeded):
    """The body stalled, or stayed below the minimum rate."""

    code = "too_slow"


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
