"""Users of a running service, and what they show: keys, login tokens, signed links. All of it asked for over HTTP."""

from __future__ import annotations

from typing import Any

from tests.conftest import PASSWORD
from tests.edge.place import Place
from tests.edge.wire import CLOSE, ask_json, basic, bearer, head

USERS = "/api/v1/admin/users"
LOGIN = "/api/v1/auth/login"
ROOT = basic("root", PASSWORD)


def by(authorization: str, line: str, *headers: str) -> bytes:
    """A request with these credentials, without a body."""
    return head(line, authorization, CLOSE, *headers)


def json_by(authorization: str, line: str, document: object, *headers: str) -> bytes:
    """The same with JSON."""
    return ask_json(line, document, authorization, *headers, me=False)


def answered(place: Place, request: bytes) -> Any:
    """The JSON of an answer that must be a good one."""
    reply = place.ask(request)
    assert reply.status in (200, 201), reply
    return reply.json


def add(place: Place, name: str, password: str = PASSWORD) -> str:
    """Make a user; his Basic credentials."""
    answered(place, json_by(ROOT, f"POST {USERS}", {"name": name, "password": password}))
    return basic(name, password)


def change(place: Place, name: str, **changes: object) -> None:
    """Change a user, as an admin does."""
    answered(place, json_by(ROOT, f"PATCH {USERS}/{name}", changes))


def key(place: Place, *scopes: str, name: str = "me", **more: object) -> dict[str, Any]:
    """A new API key of a user, as it was answered."""
    wanted = {"name": "of a case", "scopes": scopes or ["read", "write", "delete"], **more}
    return dict(answered(place, json_by(basic(name, PASSWORD), "POST /api/v1/keys", wanted)))


def token(place: Place, name: str = "me") -> str:
    """A login token of a user."""
    given = {"username": name, "password": PASSWORD}
    return str(answered(place, ask_json(f"POST {LOGIN}", given, me=False))["access_token"])


def log_out(place: Place, login: str) -> None:
    """End the session of a login token."""
    assert place.ask(by(bearer(login), "POST /api/v1/auth/logout")).status == 204
