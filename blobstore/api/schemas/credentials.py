"""What a caller shows: logins, tokens, sessions and API keys on the wire."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from blobstore.api.schemas.base import Seconds, Shape, moment
from blobstore.core.gate import ROOT, Scope
from blobstore.core.keys import StoredKey
from blobstore.core.sessions import StoredSession, Token
from blobstore.errors import BadOption


class KeyWanted(Shape):
    """`POST /api/v1/keys`."""

    name: str
    scopes: list[str] = Field([Scope.READ.value])
    folder: str = ROOT
    expires_in: Seconds | None = None


class Rotation(Shape):
    """`POST /api/v1/keys/<id>/rotate`."""

    overlap_seconds: int = Field(0, ge=0, le=10**10)


class LoginWanted(Shape):
    """`POST /api/v1/auth/login`, as JSON or as the form of OAuth 2 (RFC 6749, section 4.3.2)."""

    username: str
    password: str
    grant_type: Literal["password"] = "password"
    scope: str = ""


def scopes(names: list[str]) -> list[Scope]:
    """The scopes by their names. Raises BadOption."""
    try:
        return [Scope(name) for name in names]
    except ValueError as error:
        raise BadOption("scopes", "each is one of read, write, delete, admin") from error


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
    same = {name: getattr(key, name) for name in ("id", "name", "last_four", "scopes", "folder")}
    times = {name: moment(getattr(key, name)) for name in ("created_at", "expires_at", "last_used_at", "rotated_at")}
    return {**same, **times}
