"""Users on the wire: as an admin sees them, as they see themselves, and their quota."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict
from typing import Annotated, Any, Literal

from pydantic import Field

from blobstore.api.schemas.base import Shape, moment
from blobstore.core.accounts import Account
from blobstore.core.gate import Scope
from blobstore.core.quota import Quota

Role = Literal["user", "admin"]
QuotaBytes = Annotated[int, Field(ge=0, lt=2**63)]


class SignUpWanted(Shape):
    """`POST /api/v1/auth/signup`."""

    name: str
    email: str
    password: str


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


class PasswordGiven(Shape):
    """`DELETE /api/v1/me`."""

    password: str


class PasswordChange(Shape):
    """`POST /api/v1/auth/password`."""

    current: str
    new: str


class EmailChange(Shape):
    """`PATCH /api/v1/me`."""

    email: str
    password: str


class MailWanted(Shape):
    """`POST /api/v1/auth/password/reset` and `/api/v1/auth/email/resend`: to whom, by name or e-mail."""

    username: str = Field(min_length=1, max_length=254)


class TicketGiven(Shape):
    """`POST /api/v1/auth/email/verify`."""

    ticket: str


class PasswordTicket(TicketGiven):
    """`POST /api/v1/auth/password/reset/confirm`."""

    new: str


def signup_json(account: Account) -> dict[str, Any]:
    """What who signs up is told: nothing that depends on anybody else."""
    return {"name": account.name, "email": account.email, "verified": account.verified}


def user_json(account: Account) -> dict[str, Any]:
    """A user as an admin sees him."""
    return {
        "name": account.name,
        "email": account.email,
        "verified": account.verified,
        "role": account.role,
        "admitted": account.admitted,
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
        "verified": account.verified,
        "role": account.role,
        "created_at": moment(account.created_at),
        "scopes": sorted(scopes),
    }


def quota_json(quota: Quota) -> dict[str, Any]:
    """All numbers of a user."""
    return {**asdict(quota), "free": quota.free, "saved": quota.saved}


def short_quota_json(quota: Quota) -> dict[str, Any]:
    """What an upload's answer says of the quota."""
    return {"limit": quota.limit, "used": quota.used, "free": quota.free}
