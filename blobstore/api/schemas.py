"""The shapes on the wire: JSON in, checked; JSON out. What goes out is made by hand, one function a shape."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Annotated, Any, Literal, Self, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from blobstore.api.context import Origins
from blobstore.core.accounts import Account
from blobstore.core.delete import Deleted
from blobstore.core.files import Page, StoredFile
from blobstore.core.gate import Scope
from blobstore.core.keys import StoredKey
from blobstore.core.names import extension
from blobstore.core.quota import Quota
from blobstore.core.sessions import StoredSession, Token
from blobstore.errors import BadOption, UnknownField

T = TypeVar("T", bound=BaseModel)
Seconds = Annotated[int, Field(gt=0, le=10**10)]


class Shape(BaseModel):
    """A JSON object that a client sends: exact types, nothing unknown."""

    model_config = ConfigDict(strict=True, extra="forbid")

    @classmethod
    def read(cls, given: dict[str, Any]) -> Self:
        """Check an object. Raises UnknownField, BadOption with the field's name."""
        try:
            return cls.model_validate(given)
        except ValidationError as error:
            mistake = error.errors(include_input=False, include_url=False)[0]
            field = ".".join(str(part) for part in mistake["loc"]) or "body"
            if mistake["type"] == "extra_forbidden":
                raise UnknownField(field) from error
            raise BadOption(field, mistake["msg"]) from error


class UploadJson(Shape):
    """`POST /upload` as JSON."""

    data: str
    name: str = ""
    folder: str = ""
    visibility: str = ""
    expires_in: Seconds = 0
    expires_at: str = ""
    tags: list[str] = []
    sha256: str = ""


class FileChange(Shape):
    """`PATCH /api/v1/files/<id>`; what is absent stays."""

    name: str = ""
    folder: str = ""
    visibility: str = ""
    expires_in: Seconds = 0
    expires_at: str | None = None
    tags: list[str] = []


class KeyWanted(Shape):
    """`POST /api/v1/keys`."""

    name: str
    scopes: list[str] = [Scope.READ.value]
    expires_in: Seconds | None = None


Role = Literal["user", "admin"]
QuotaBytes = Annotated[int, Field(ge=0, lt=2**63)]


class UserWanted(Shape):
    """`POST /api/v1/admin/users`; without a quota the default one, null: none."""

    name: str
    password: str
    email: str | None = None
    role: Role = "user"
    quota: QuotaBytes | None = None


class UserChange(Shape):
    """`PATCH /api/v1/admin/users/<name>`; what is absent stays."""

    quota: QuotaBytes | None = None
    role: Role = "user"
    email: str | None = None
    disabled: bool = False


class TicketRedeemed(Shape):
    """`POST /api/v1/auth/password/reset`."""

    ticket: str
    new: str


class LoginWanted(Shape):
    """`POST /api/v1/auth/login`, as JSON or as the form of OAuth 2 (RFC 6749, section 4.3.2)."""

    username: str
    password: str
    grant_type: Literal["password"] = "password"
    scope: str = ""


class PasswordGiven(Shape):
    """`DELETE /api/v1/me`."""

    password: str


class PasswordChange(Shape):
    """`POST /api/v1/auth/password`."""

    current: str
    new: str


def scopes(names: list[str]) -> list[Scope]:
    """The scopes by their names. Raises BadOption."""
    try:
        return [Scope(name) for name in names]
    except ValueError as error:
        raise BadOption("scopes", "each is one of read, write, delete, admin") from error


def moment(when: datetime | None) -> str | None:
    """RFC 3339 in UTC, to the second."""
    return None if when is None else when.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def url(origins: Origins, file: StoredFile) -> str:
    """The public link of a file: its hash, with the extension of its name."""
    return f"{origins.content}/{file.digest}{extension(file.name)}"


def file_json(origins: Origins, file: StoredFile) -> dict[str, Any]:
    """A file as its owner sees it."""
    return {
        "id": file.id,
        "sha256": file.digest.hex,
        "name": file.name,
        "folder": file.folder,
        "size": file.size_bytes,
        "content_type": file.content_type,
        "visibility": file.visibility,
        "tags": file.tags,
        "created_at": moment(file.created_at),
        "expires_at": moment(file.expires_at),
        "downloads": file.downloads,
        "last_downloaded_at": moment(file.last_downloaded_at),
        "url": url(origins, file),
        "short_url": f"{origins.service}/s/{file.id}",
    }


PUBLIC_FIELDS = ("id", "sha256", "name", "size", "content_type", "created_at", "expires_at", "url")


def public_json(origins: Origins, file: StoredFile) -> dict[str, Any]:
    """A file as others see it: never the owner, nor where he keeps it."""
    whole = file_json(origins, file)
    return {name: whole[name] for name in PUBLIC_FIELDS}


def page_json(origins: Origins, page: Page) -> dict[str, Any]:
    """One page of a list of files."""
    return {"items": [file_json(origins, file) for file in page.items], "next": page.next}


def quota_json(quota: Quota) -> dict[str, Any]:
    """All numbers of a user."""
    return {**asdict(quota), "free": quota.free, "saved": quota.saved}


def short_quota_json(quota: Quota) -> dict[str, Any]:
    """What an upload's answer says of the quota."""
    return {"limit": quota.limit, "used": quota.used, "free": quota.free}


def deleted_json(deleted: Deleted) -> dict[str, int]:
    """What went, and what the caller's quota got back."""
    return {"deleted": deleted.files, "freed_bytes": deleted.freed_bytes}


def user_json(account: Account) -> dict[str, Any]:
    """A user as an admin sees him."""
    return {
        "name": account.name,
        "email": account.email,
        "role": account.role,
        "disabled": account.disabled,
        "quota": account.quota_bytes,
        "used": account.used_bytes,
        "files": account.file_count,
        "created_at": moment(account.created_at),
    }


def account_json(account: Account, scopes: Iterable[Scope]) -> dict[str, Any]:
    """Who the caller is, and what these credentials may do."""
    return {
        "name": account.name,
        "email": account.email,
        "role": account.role,
        "created_at": moment(account.created_at),
        "scopes": sorted(scopes),
    }


def token_json(token: Token) -> dict[str, Any]:
    """A login token, in the shape of RFC 6749, section 5.1."""
    return {"access_token": token.access_token, "token_type": "bearer", "expires_in": token.expires_in_seconds}


def session_json(session: StoredSession, present: str | None) -> dict[str, Any]:
    """A session; `present` is the id of the one that asks."""
    return {
        "id": session.id,
        "created_at": moment(session.created_at),
        "expires_at": moment(session.expires_at),
        "address": session.address,
        "agent": session.agent,
        "present": session.id == present,
    }


def key_json(key: StoredKey) -> dict[str, Any]:
    """An API key without the key itself."""
    times = {name: moment(getattr(key, name)) for name in ("created_at", "expires_at", "last_used_at")}
    return {"id": key.id, "name": key.name, "last_four": key.last_four, "scopes": key.scopes, **times}
