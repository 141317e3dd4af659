"""The authority matrix: every route asked by everybody, and nothing private in what is refused."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from secrets import token_hex
from types import ModuleType
from typing import Any

import pytest
from flask import Flask, Response, request

from blobstore.api import auth
from blobstore.core import accounts, delete, download, files, gate, sessions
from blobstore.core.gate import ROOT, Scope
from blobstore.core.store import Store
from blobstore.digest import Digest
from tests.api.gate import CALLERS, NAME, SECRET, Route, Table, World, findings, routes
from tests.api.wire import sha256
from tests.conftest import PASSWORD

EVERYBODY, NOBODY = "IIIIIIIIII", "NNNNNNNNNN"
READ_PRIVATE, READ_BY_HASH = "NNIINIFAAN", "NNIININAAN"
OWN_READ, OWN_WRITE = "AIIIIIFAAI", "AIIIIFIAAI"
ACCOUNT_READ, ACCOUNT_WRITE, ACCOUNT_IN_PERSON = "AIIIIIFAAF", "AIIIIFIAAF", "AIIIIFFAAF"
THEIR_READ, THEIR_DELETE, THEIR_IN_PERSON = "ANIINIFAAN", "ANIINFFAAN", "ANIINFFAAF"
ADMIN = "AFFFIFFAAF"
ROWS = {
    #                                     nobody other owner token admin reader writer expired ended elsewhere
    "GET HEAD /": EVERYBODY,
    "GET HEAD /docs": EVERYBODY,
    "GET HEAD /docs/<name>": EVERYBODY,
    "GET HEAD /openapi.json": EVERYBODY,
    "GET HEAD /health": EVERYBODY,
    "GET HEAD /health/ready": EVERYBODY,
    "GET HEAD /metrics": NOBODY,
    "GET HEAD /<digest:digest>": READ_BY_HASH,
    "GET HEAD /<digest:digest>.<ext:_ext>": READ_BY_HASH,
    "GET HEAD /<digest:digest>/<name>": READ_BY_HASH,
    "GET HEAD /<digest:digest>.sha256": READ_BY_HASH,
    "GET HEAD /<digest:digest>.meta4": READ_BY_HASH,
    "GET HEAD /s/<id:file_id>": READ_PRIVATE,
    "GET HEAD /api/v1/files/<id:file_id>/download": READ_PRIVATE,
    "GET HEAD /api/v1/files/<id:file_id>": THEIR_READ,
    "PATCH /api/v1/files/<id:file_id>": THEIR_DELETE,
    "DELETE /api/v1/files/<id:file_id>": THEIR_DELETE,
    "DELETE /<digest:digest>": THEIR_DELETE,
    "GET HEAD /api/v1/files": OWN_READ,
    "POST HEAD PUT /upload": OWN_WRITE,
    "PUT /upload/": OWN_WRITE,
    "PUT /upload/<rest:path>": ACCOUNT_WRITE,
    "PUT /<digest:digest>": OWN_WRITE,
    "POST /api/v1/auth/login": "IIIIIIIAAI",
    "POST /api/v1/auth/signup": "IIIIIIIAAI",
    "POST /api/v1/auth/email/verify": "IIIIIIIAAI",
    "POST /api/v1/auth/email/resend": "IIIIIIIAAI",
    "POST /api/v1/auth/password/reset": "IIIIIIIAAI",
    "POST /api/v1/auth/password/reset/confirm": "IIIIIIIAAI",
    "GET HEAD /auth/email": EVERYBODY,
    "GET HEAD /auth/password": EVERYBODY,
    "GET HEAD /auth/ticket.js": EVERYBODY,
    "POST /api/v1/auth/password": ACCOUNT_WRITE,
    "POST /api/v1/auth/logout": "ANNINNFAAF",
    "GET HEAD /api/v1/auth/sessions": ACCOUNT_IN_PERSON,
    "DELETE /api/v1/auth/sessions/<id:session_id>": THEIR_IN_PERSON,
    "GET HEAD /api/v1/keys": ACCOUNT_READ,
    "POST /api/v1/keys": ACCOUNT_IN_PERSON,
    "DELETE /api/v1/keys/<id:key_id>": THEIR_IN_PERSON,
    "POST /api/v1/keys/<id:key_id>/rotate": THEIR_IN_PERSON,
    "GET HEAD /api/v1/me": ACCOUNT_READ,
    "GET HEAD /api/v1/me/quota": OWN_READ,
    "PATCH /api/v1/me": ACCOUNT_WRITE,
    "DELETE /api/v1/me": ACCOUNT_IN_PERSON,
    "GET HEAD POST /api/v1/admin/users": ADMIN,
    "GET HEAD PATCH DELETE /api/v1/admin/users/<user:name>": ADMIN,
    "POST /api/v1/admin/users/<user:name>/ticket": ADMIN,
    "GET HEAD /api/v1/me/activity": ACCOUNT_IN_PERSON,
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
    ("POST", "/api/v1/auth/signup"): lambda _: {
        "json": {"name": "new", "email": "new@x.example", "password": PASSWORD}
    },
    ("POST", "/api/v1/auth/email/verify"): lambda world: {"json": {"ticket": world.email_ticket()}},
    ("POST", "/api/v1/auth/email/resend"): lambda _: {"json": {"username": "victim"}},
    ("POST", "/api/v1/auth/password/reset"): lambda _: {"json": {"username": "victim"}},
    ("POST", "/api/v1/auth/password/reset/confirm"): lambda world: {
        "json": {"ticket": world.ticket(), "new": PASSWORD}
    },
    ("PATCH", "/api/v1/me"): lambda _: {"json": {"email": "me@files.example", "password": PASSWORD}},
    ("POST", "/api/v1/auth/password"): lambda _: {"json": {"current": PASSWORD, "new": PASSWORD}},
    ("DELETE", "/api/v1/me"): lambda _: {"json": {"password": PASSWORD}},
    ("POST", "/api/v1/keys"): lambda _: {"json": {"name": "k", "scopes": ["read"]}},
    ("POST", "/api/v1/keys/<id:key_id>/rotate"): lambda _: {"json": {}},
    ("PATCH", "/api/v1/files/<id:file_id>"): lambda _: {"json": {"tags": [token_hex(4)]}},
    ("POST", "/api/v1/admin/users"): lambda _: {"json": {"name": "new", "password": PASSWORD}},
    ("PATCH", "/api/v1/admin/users/<user:name>"): lambda _: {"json": {"quota": 1}},
    ("POST", "/api/v1/admin/bans"): lambda _: {"json": {"sha256": "f" * 64, "reason": "because"}},
    **dict.fromkeys(
        [(method, "/api/v1/admin/files") for method in ("GET", "HEAD")], lambda _: {"query_string": "user=me"}
    ),
}
"""What is sent, where a request without a body would be refused before anybody asks who sent it."""
NOBODY = "N" * len(CALLERS)
HOLE = "/hole/<digest:digest>"


@pytest.fixture
def given() -> dict[str, str]:
    """Anybody may sign up, and mail is sent, so that nothing is refused for another reason than who asks."""
    mail = {"SMTP_HOST": "127.0.0.1", "MAIL_FROM": "files@files.example", "BASE_URL": "http://localhost"}
    return {**mail, "BLOBSTORE_REGISTRATION": "open", "BLOBSTORE_MAILS": "1000"}


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


def reads_anybodys_file(store: Store, digest: Digest) -> Response:
    auth.somebody(Scope.READ)
    return forgets_the_gate(store, digest)


def asks_for_no_scope(store: Store, digest: Digest) -> Response:
    caller = auth.anybody() or auth.somebody(Scope.WRITE)
    return Response(caller.name)


def asks_for_another_scope(store: Store, digest: Digest) -> Response:
    return Response(auth.somebody(Scope.WRITE).name)


def asks_for_no_admin(store: Store, digest: Digest) -> Response:
    auth.somebody(Scope.READ)
    return Response(str(len(accounts.accounts(store))))


def lets_any_key_be_its_user(store: Store, digest: Digest) -> Response:
    caller = auth.somebody(Scope.READ)
    return Response(str(len(sessions.sessions(store, caller.user_id))))


def lets_a_folder_be_the_account(store: Store, digest: Digest) -> Response:
    return Response(auth.owner(Scope.READ).name)


def forgets_the_folder(store: Store, digest: Digest) -> Response:
    download.find(store, replace(auth.owner(Scope.READ), folder=ROOT), digest)
    return forgets_the_gate(store, digest)


@pytest.mark.parametrize(
    ("hole", "letters", "what"),
    [
        (forgets_the_gate, None, "is not in the table"),
        (forgets_the_gate, READ_BY_HASH, "by nobody: 200, not N"),
        (forgets_the_gate, READ_BY_HASH, "by other: tells what is private"),
        (forgets_the_gate, EVERYBODY, "by admin: tells what is private"),
        (reads_anybodys_file, THEIR_READ, "by other: 200, not N"),
        (reads_anybodys_file, OWN_READ, "by admin: tells what is private"),
        (asks_for_no_scope, OWN_WRITE, "by reader: 200, not F"),
        (asks_for_another_scope, OWN_READ, "by reader: 403, not I"),
        (asks_for_no_admin, ADMIN, "by owner: 200, not F"),
        (asks_for_no_admin, ADMIN, "by reader: 200, not F"),
        (lets_any_key_be_its_user, ACCOUNT_IN_PERSON, "by reader: 200, not F"),
        (lets_a_folder_be_the_account, ACCOUNT_READ, "by elsewhere: 200, not F"),
        (forgets_the_folder, READ_BY_HASH, "by elsewhere: 200, not N"),
        (forgets_the_folder, EVERYBODY, "by elsewhere: tells what is private"),
        (shows_it_in_the_refusal, NOBODY, "by writer: tells what is private"),
        (answers_conditions_first, NOBODY, "by nobody: is answered otherwise with {'If-None-Match'"),
        (knows_that_it_is_there, NOBODY, "by other: is answered otherwise than what is not there"),
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


@pytest.mark.parametrize(
    ("module", "name", "what", "route"),
    [
        (gate, "_is_in", lambda *_: True, "GET /s/<id:file_id>"),
        (gate, "_is_in", lambda *_: True, "PUT /upload/<rest:path>"),
        (gate, "_is_in", lambda *_: True, "PATCH /api/v1/files/<id:file_id>"),
        (gate, "require_account", lambda caller: caller, "GET /api/v1/me"),
        (download, "within", lambda _: ROOT, "GET /<digest:digest>"),
        (files, "within", lambda _: ROOT, "GET /api/v1/files"),
        (delete, "within", lambda _: ROOT, "DELETE /<digest:digest>"),
    ],
)
def test_a_gate_that_forgets_the_folder_is_seen(
    world: World, monkeypatch: pytest.MonkeyPatch, module: ModuleType, name: str, what: Callable[..., Any], route: str
) -> None:
    """A key of one folder would reach all others, and the walk would pass."""
    monkeypatch.setattr(module, name, what)
    method, rule = route.split()
    found = findings(world, TABLE, [(method, rule)])
    assert any(f"{route} by elsewhere" in each for each in found), found
