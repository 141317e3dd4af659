"""What the caller sent is not well-formed, or not allowed."""

from __future__ import annotations

from blobstore.errors.base import BlobstoreError


class Invalid(BlobstoreError):
    """The request is not well-formed."""

    code = "bad_request"


class BadDigest(Invalid):
    """Not a SHA-256, or two that differ."""

    code = "bad_digest"


class BadName(Invalid):
    """Not a name or folder under the rule of core/names.py."""

    code = "bad_name"


class BadUserName(Invalid):
    """Not a user's name under the rule of core/names.py, or one that is reserved."""

    code = "bad_user_name"


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
