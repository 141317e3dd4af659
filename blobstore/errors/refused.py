"""What the caller may not have: unknown, not allowed, not there, in conflict, or beyond his limits."""

from __future__ import annotations

from typing import ClassVar

from blobstore.errors.base import BlobstoreError


class Unauthenticated(BlobstoreError):
    """No credentials where they are needed, or credentials that do not verify.

    `by_name`: a name and a password would do, and not only a token.
    """

    code = "invalid_credentials"

    def __init__(self, detail: str = "", *, by_name: bool = True) -> None:
        super().__init__(detail)
        self.by_name = by_name


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


class RegistrationClosed(Forbidden):
    """Nobody signs up here: an admin makes the users."""

    code = "registration_closed"


class EmailNotAllowed(Forbidden):
    """The address is not among those that may have an account here."""

    code = "email_not_allowed"


class EmailUnverified(Forbidden):
    """The password is right, and the account waits for its e-mail to be verified."""

    code = "email_unverified"


class MailDisabled(Forbidden):
    """This service sends no mail; an admin hands out tickets."""

    code = "mail_disabled"


class InsufficientScope(Forbidden):
    """The credentials lack `scope`: an API key's own, or the role of its user."""

    code = "insufficient_scope"
    members = ("scope",)

    def __init__(self, scope: str, detail: str = "") -> None:
        super().__init__(detail or f"these credentials lack the scope '{scope}'")
        self.scope = scope


class OutsideFolder(Forbidden):
    """The API key is for `folder` and what is below it, and this is not."""

    code = "outside_folder"
    members = ("folder",)

    def __init__(self, folder: str) -> None:
        super().__init__(f"this API key is only for the files in the folder {folder} and below it")
        self.folder = folder


class NotFound(BlobstoreError):
    """Not there, or not the caller's to see: the two look the same."""

    code = "not_found"


class ContentBanned(BlobstoreError):
    """An admin has banned the content, for a `reason` that everybody may read."""

    code = "content_banned"
    members = ("reason",)

    def __init__(self, reason: str) -> None:
        super().__init__(f"this content is banned here: {reason}")
        self.reason = reason


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


class AlreadyRotated(Conflict):
    """Another API key has taken the place of this one."""

    code = "already_rotated"


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
    """Too many of `what` from one address; `retry_after_seconds` says when the window ends."""

    code = "too_many_attempts"
    members = ("retry_after_seconds",)

    def __init__(self, retry_after_seconds: int, what: str = "failed logins") -> None:
        super().__init__(f"too many {what}; try again in {retry_after_seconds} seconds")
        self.retry_after_seconds = retry_after_seconds


class TooManyRequests(LimitExceeded):
    """More requests than the caller may make in the window that ends in `retry_after_seconds`."""

    code = "too_many_requests"
    members = ("retry_after_seconds",)

    def __init__(self, retry_after_seconds: int) -> None:
        super().__init__(f"too many requests; try again in {retry_after_seconds} seconds")
        self.retry_after_seconds = retry_after_seconds


class TooManyBodies(LimitExceeded):
    """More bodies from one address than the service takes at once."""

    code = "too_many_bodies"
    retry_after_seconds: ClassVar[int] = 2


class TooSlow(LimitExceeded):
    """The body stalled, or stayed below the minimum rate."""

    code = "too_slow"
