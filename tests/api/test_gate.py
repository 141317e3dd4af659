"""The authority matrix: every route asked by everybody, and nothing private in what is refused."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from flask import Flask, Response, request

from blobstore.core import download
from blobstore.core.store import Store
from blobstore.digest import Digest
from tests.api.gate import CALLERS, NAME, SECRET, Route, Table, World, findings, routes
from tests.api.wire import sha256
from tests.conftest import PASSWORD

EVERYBODY = "IIIIIIIII"
READ_PRIVATE, READ_BY_HASH = "NNIINIFAA", "NNIININAA"
OWN_READ, OWN_WRITE, OWN_IN_PERSON = "AIIIIIFAA", "AIIIIFIAA", "AIIIIFFAA"
THEIR_READ, THEIR_WRITE, THEIR_DELETE = "ANIINIFAA", "ANIINFIAA", "ANIINFFAA"
ADMIN = "AFFFIFFAA"
ROWS = {
    #                                     nobody other owner token admin reader writer expired ended
    "GET HEAD /": EVERYBODY,
    "GET HEAD /docs": EVERYBODY,
    "GET HEAD /docs/<name>": EVERYBODY,
    "GET HEAD /openapi.json": EVERYBODY,
    "GET HEAD /health": EVERYBODY,
    "GET HEAD /health/ready": EVERYBODY,
    "GET HEAD /<digest:digest>": READ_BY_HASH,
    "GET HEAD /<digest:digest>.<ext:_ext>": READ_BY_HASH,
    "GET HEAD /<digest:digest>/<name>": READ_BY_HASH,
    "GET HEAD /<digest:digest>.sha256": READ_BY_HASH,
    "GET HEAD /<digest:digest>.meta4": READ_BY_HASH,
    "GET HEAD /s/<id:file_id>": READ_PRIVATE,
    "GET HEAD /api/v1/files/<id:file_id>/download": READ_PRIVATE,
    "GET HEAD /api/v1/files/<id:file_id>": THEIR_READ,
    "PATCH /api/v1/files/<id:file_id>": THEIR_WRITE,
    "DELETE /api/v1/files/<id:file_id>": THEIR_DELETE,
    "DELETE /<digest:digest>": THEIR_DELETE,
    "GET HEAD /api/v1/files": OWN_READ,
    "POST HEAD PUT /upload": OWN_WRITE,
    "PUT /upload/": OWN_WRITE,
    "PUT /upload/<rest:path>": OWN_WRITE,
    "PUT /<digest:digest>": OWN_WRITE,
    "POST /api/v1/auth/login": "IIIIIIIAA",
    "POST /api/v1/auth/password/reset": "IIIIIIIAA",
    "POST /api/v1/auth/password": OWN_WRITE,
    "POST /api/v1/auth/logout": "ANNINNFAA",
    "GET HEAD /api/v1/auth/sessions": OWN_IN_PERSON,
    "DELETE /api/v1/auth/sessions/<id:session_id>": THEIR_DELETE,
    "GET HEAD /api/v1/keys": OWN_READ,
    "POST /api/v1/keys": OWN_IN_PERSON,
    "DELETE /api/v1/keys/<id:key_id>": THEIR_DELETE,
    "GET HEAD /api/v1/me": OWN_READ,
    "GET HEAD /api/v1/me/quota": OWN_READ,
    "DELETE /api/v1/me": OWN_IN_PERSON,
    "GET HEAD POST /api/v1/admin/users": ADMIN,
    "GET HEAD PATCH DELETE /api/v1/admin/users/<user:name>": ADMIN,
    "POST /api/v1/admin/users/<user:name>/ticket": ADMIN,
    "GET HEAD /api/v1/me/activity": OWN_READ,
    "GET HEAD /api/v1/admin/files": ADMIN,
    "GET HEAD /api/v1/admin/stats": ADMIN,
    "GET HEAD /api/v1/admin/events": ADMIN,
    "GET HEAD POST /api/v1/admin/bans": ADMIN,
    "DELETE /api/v1/admin/bans/<digest:banned>": ADMIN,
}
"""A letter for each of CALLERS: I gets in; A is refused with 401, F with 403, N with 404."""
TABLE: Table = {(method, row.split()[-1]): letters for row, letters in ROWS.items() for method in row.split()[:-1]}
BODIES: dict[Route, Callable[[World], dict[str, Any]]] = {
    ("POST", "/api/v1/auth/login"): lambda _: {"json": {"username": "me", "password": PASSWORD}},
    ("POST", "/api/v1/auth/password/reset"): lambda world: {"json": {"ticket": world.ticket(), "new": PASSWORD}},
    ("POST", "/api/v1/auth/password"): lambda _: {"json": {"current": PASSWORD, "new": PASSWORD}},
    ("DELETE", "/api/v1/me"): lambda _: {"json": {"password": PASSWORD}},
    ("POST", "/api/v1/keys"): lambda _: {"json": {"name": "k", "scopes": ["read"]}},
    ("PATCH", "/api/v1/files/<id:file_id>"): lambda _: {"json": {"tags": ["a"]}},
    ("POST", "/api/v1/admin/users"): lambda _: {"json": {"name": "new", "password": PASSWORD}},
    ("PATCH", "/api/v1/admin/users/<user:name>"): lambda _: {"json": {"quota": 1}},
    ("POST", "/api/v1/admin/bans"): lambda _: {"json": {"sha256": "f" * 64, "reason": "because"}},
    **dict.fromkeys(
        [(method, "/api/v1/admin/files") for method in ("GET", "HEAD")], lambda _: {"query_string": "user=me"}
    ),
}
"""What is sent, where a request without a body would be refused before anybody asks who sent it."""
HOLE = "/hole/<digest:digest>"


@pytest.fixture
def world(app: Flask, store: Store) -> World:
    """The world; more routes may be added to its application before it is asked for the first time."""
    return World(app, store, BODIES)


def test_everybody_gets_what_the_table_says(world: World) -> None:
    """Somebody would get what is not his, or not what is; a new route would be open to all; bytes be in a refusal."""
    assert all(len(letters) == len(CALLERS) for letters in TABLE.values())
    asked = sorted(set(routes(world.app)))
    assert set(TABLE) <= set(asked)
    assert findings(world, TABLE, asked) == []


def test_the_private_bytes_are_there_to_be_found(world: World) -> None:
    """Nothing private would be found in any answer because it is in none."""
    world.restore()
    for rule in ("", ".<ext:_ext>", "/<name>"):
        assert world.ask("reader", ("GET", f"/<digest:digest>{rule}")).data == SECRET
    assert world.ask("token", ("GET", "/api/v1/files/<id:file_id>/download")).data == SECRET
    assert NAME in world.ask("owner", ("GET", "/api/v1/files")).text


def forgets_the_gate(store: Store, digest: Digest) -> Response:
    with store.storage.open(f"disk:{digest.hex[:2]}/{digest}") as file:
        return Response(file.read())


def shows_it_in_the_refusal(store: Store, digest: Digest) -> Response:
    return Response(forgets_the_gate(store, digest).data, 404)


def answers_conditions_first(store: Store, digest: Digest) -> Response:
    if request.headers.get("If-None-Match") == f'"{sha256(SECRET)}"':
        return Response(status=304)
    download.find(store, None, digest)
    return Response()


def knows_that_it_is_there(store: Store, digest: Digest) -> Response:
    return Response("not yours" if digest.hex == sha256(SECRET) else "not there", 404)


@pytest.mark.parametrize(
    ("hole", "letters", "what"),
    [
        (forgets_the_gate, None, "is not in the table"),
        (forgets_the_gate, READ_BY_HASH, "by nobody: 200, not N"),
        (forgets_the_gate, READ_BY_HASH, "by other: tells what is private"),
        (forgets_the_gate, EVERYBODY, "by admin: tells what is private"),
        (shows_it_in_the_refusal, "N" * 9, "by writer: tells what is private"),
        (answers_conditions_first, "N" * 9, "by nobody: is answered otherwise with {'If-None-Match'"),
        (knows_that_it_is_there, "N" * 9, "by other: is answered otherwise than what is not there"),
    ],
)
def test_a_planted_hole_is_seen(
    world: World, hole: Callable[[Store, Digest], Response], letters: str | None, what: str
) -> None:
    """The walk above would pass whatever a route does."""
    world.app.add_url_rule(HOLE, view_func=lambda digest: hole(world.store, digest), methods=["GET"])
    assert ("GET", HOLE) in set(routes(world.app))
    table = {("GET", HOLE): letters} if letters else {}
    found = findings(world, table, [("GET", HOLE)])
    assert any(what in each for each in found), found
