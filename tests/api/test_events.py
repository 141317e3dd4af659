"""The audit log over HTTP: every change leaves its event, nothing secret is in it, and who may read it reads it."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient

from blobstore.api.context import Parts
from blobstore.core import accounts
from blobstore.core.events import Action
from blobstore.core.store import Store
from tests.api.gate import SECRET, Route, World, letter, routes
from tests.api.test_auth import basic
from tests.api.test_gate import BODIES
from tests.api.wire import problem, sha256, stored
from tests.conftest import PASSWORD, signed_in

EVENTS, ACTIVITY = "/api/v1/admin/events", "/api/v1/me/activity"
PUT_PATHS = ("/upload", "/upload/", "/upload/<rest:path>", "/<digest:digest>")
UPLOADS = [("POST", "/upload"), *(("PUT", path) for path in PUT_PATHS)]
Body = Callable[[World], dict[str, Any]]
ASKING = {("POST", "/api/v1/auth/email/resend"), ("POST", "/api/v1/auth/password/reset")}
"""Whoever asks for a mail changes nothing; the ticket in it is noted when it is sent."""
UNPROVEN = {
    ("POST", "/api/v1/auth/signup"),
    ("POST", "/api/v1/auth/email/verify"),
    ("POST", "/api/v1/auth/password/reset/confirm"),
}
"""Done by whoever has the ticket, or by nobody yet."""
NOTED_READS = {("GET", "/api/v1/admin/files")}
"""Reading that is noted at once."""


@pytest.fixture
def given() -> dict[str, str]:
    """Anybody may sign up, and mail is sent: no route refuses for another reason than who asks."""
    mail = {"SMTP_HOST": "127.0.0.1", "MAIL_FROM": "files@files.example", "BASE_URL": "http://localhost"}
    return {**mail, "BLOBSTORE_REGISTRATION": "open", "BLOBSTORE_MAILS": "1000"}


@pytest.fixture
def admin(app: Flask, store: Store) -> FlaskClient:
    """A client of an admin."""
    accounts.add(store, "chief", PASSWORD, admin=True)
    return signed_in(app, "chief")


def flush(app: Flask) -> None:
    """What a worker does every few seconds."""
    parts: Parts = app.extensions["blobstore"]
    parts.tally.flush(parts.store)


def logged(admin: FlaskClient, **query: str) -> list[dict[str, Any]]:
    """The events, the newest first."""
    answer = admin.get(EVENTS, query_string={"limit": "1000", **query})
    assert answer.status_code == 200, answer.text
    found: list[dict[str, Any]] = answer.get_json()["items"]
    return found


def test_every_change_leaves_its_event(app: Flask, store: Store) -> None:
    """A route would change something and nobody could tell who did it; every route that may change is walked."""
    raw = {"data": SECRET, "content_type": "text/plain"}
    bodies: dict[Route, Body] = dict.fromkeys(UPLOADS, lambda _: raw)
    bodies["POST", "/api/v1/auth/signup"] = lambda _: {
        "json": {"name": "zoe", "email": "z@x.example", "password": PASSWORD}
    }
    world = World(app, store, {**BODIES, **bodies})
    world.restore()
    changing = sorted(route for route in routes(app) if route[0] not in ("GET", "HEAD") or route in NOTED_READS)
    for number, route in enumerate(route for route in changing if route not in ASKING):
        caller = "admin" if "/admin/" in route[1] else "token" if "logout" in route[1] else "owner"
        request_id = f"walk-{number}"
        assert letter(world.ask(caller, route, {"X-Request-ID": request_id})) == "I", route
        world.restore()
        found = [each for each in logged(signed_in(app, "chief")) if each["request_id"] == request_id]
        assert found, f"{route} leaves no event"
        named = {None} if route in UNPROVEN else {"chief" if caller == "admin" else "me"}
        assert {each["user"] for each in found} == named, route
        assert {each["address"] for each in found} == {"127.0.0.1"}, route


def test_who_reads_a_private_file_is_noted(
    app: Flask, client: FlaskClient, anybody: FlaskClient, admin: FlaskClient
) -> None:
    """A stolen key could read everything, a byte short, and its owner would see nothing."""
    private = stored(client, b"private", visibility="private")
    public = stored(client, b"public")
    link = client.get(f"/api/v1/files/{private['id']}/download?mode=url").get_json()["download_url"]
    for path in (f"/{private['sha256']}", f"/api/v1/files/{private['id']}/download"):
        assert client.get(path).data == b"private"
        assert client.get(path, headers={"Range": "bytes=1-"}).data == b"rivate"
    assert anybody.get(link).data == b"private"
    assert client.head(f"/{private['sha256']}").status_code == 200
    assert client.get(f"/{private['sha256']}", headers={"If-None-Match": "*"}).status_code == 304
    assert client.get(f"/{public['sha256']}").data == b"public"
    assert client.get(f"/api/v1/files/{public['id']}/download").data == b"public"
    flush(app)
    found = {each["user"]: each for each in logged(admin, action="download")}
    assert {user: each["details"] for user, each in found.items()} == {
        "me": {"times": 4, "bytes": 26},
        None: {"times": 1, "bytes": 7},
    }
    assert {each["file_id"] for each in found.values()} == {private["id"]}


def test_nothing_secret_is_in_it(app: Flask, client: FlaskClient, anybody: FlaskClient, admin: FlaskClient) -> None:
    """Whoever reads the log, or a backup of it, could log in as those who are in it."""
    key = client.post("/api/v1/keys", json={"name": "k", "scopes": ["read"]}).get_json()["key"]
    token = client.post("/api/v1/auth/login", json={"username": "me", "password": PASSWORD}).get_json()["access_token"]
    ticket = admin.post("/api/v1/admin/users/me/ticket").get_json()["ticket"]
    private = stored(client, b"private", visibility="private")
    link = client.get(f"/api/v1/files/{private['id']}/download?mode=url").get_json()["download_url"]
    anybody.get(f"/{private['sha256']}", headers={"Authorization": f"Bearer {key}"})
    anybody.get("/api/v1/me", headers=basic("me", "a wrong password"))
    anybody.get("/api/v1/me", headers=basic("my whole password", "x"))
    new = {"ticket": ticket, "new": "a new password"}
    assert anybody.post("/api/v1/auth/password/reset/confirm", json=new).status_code == 204
    flush(app)
    text = json.dumps(logged(admin))
    signature = link.rpartition("signature=")[2]
    for secret in (PASSWORD, key, key[-6:], token, ticket, signature, "a wrong password", "my whole", "a new password"):
        assert secret not in text
    assert {each["action"] for each in logged(admin)} >= {"key_issued", "login", "ticket_issued", "link_signed",
                                                         "login_failed", "password_reset", "download"}  # fmt: skip


def test_the_log_is_filtered(client: FlaskClient, admin: FlaskClient) -> None:
    """An admin would have to read everything to find something."""
    stored(client, b"one")
    stored(admin, b"two")
    assert [each["user"] for each in logged(admin, action="upload")] == ["chief", "me"]
    assert {each["action"] for each in logged(admin, user="ME")} == {"upload"}
    assert logged(admin, after="2100-01-01T00:00:00Z") == []
    assert logged(admin, before="2000-01-01T00:00:00Z") == []
    (newest, *_) = logged(admin, after="2000-01-01T00:00:00Z", before="2100-01-01T00:00:00Z")
    assert newest["sha256"] == sha256(b"two")
    first = admin.get(f"{EVENTS}?limit=1").get_json()
    second = admin.get(f"{EVENTS}?limit=1&cursor={first['next']}").get_json()
    assert [first["items"][0], second["items"][0]] == logged(admin)[:2]


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ("action=dance", "bad_option"),
        ("after=yesterday", "bad_option"),
        ("before=2026-01-01", "bad_option"),
        ("format=xml", "bad_option"),
        ("limit=0", "bad_option"),
        ("cursor=x", "bad_cursor"),
        ("cursor=WyIyMDI2LTAxLTAxVDAwOjAwOjAwWiIsICJhIl0", "bad_cursor"),
        ("who=me", "bad_option"),
    ],
)
def test_a_mistyped_question_is_refused(admin: FlaskClient, query: str, code: str) -> None:
    """An admin would take the answer to another question for his own."""
    problem(admin.get(f"{EVENTS}?{query}"), 400, code)


@pytest.mark.parametrize(
    ("query", "accept", "kind"),
    [
        ("format=jsonl", "*/*", "application/jsonl"),
        ("", "application/jsonl", "application/jsonl"),
        ("", "application/x-ndjson", "application/x-ndjson"),
        ("format=json", "application/jsonl", "application/json"),
        ("", "*/*", "application/json"),
        ("", "application/json, application/jsonl;q=0.5", "application/json"),
    ],
)
def test_the_log_is_exported(client: FlaskClient, admin: FlaskClient, query: str, accept: str, kind: str) -> None:
    """A program that collects logs would get a page, or a person a file."""
    stored(client, b"one")
    answer = admin.get(f"{EVENTS}?{query}", headers={"Accept": accept})
    assert (answer.status_code, answer.mimetype) == (200, kind)
    assert "Accept" in answer.headers["Vary"]
    if kind == "application/json":
        assert set(answer.get_json()) == {"items", "next"}
        return
    lines = [json.loads(line) for line in answer.text.splitlines()]
    assert [line["action"] for line in lines][-2:] == ["upload", "events_exported"]
    assert lines == sorted(lines, key=lambda line: line["id"])
    assert [json.loads(line)["action"] for line in admin.get(f"{EVENTS}?format=jsonl&user=me").text.splitlines()] == [
        "upload"
    ]


def test_an_activity_is_ones_own(app: Flask, client: FlaskClient, admin: FlaskClient, anybody: FlaskClient) -> None:
    """A user would not see what happened to his account, or see who the admin is and where he sits."""
    file = stored(client, b"mine", name="x.txt")
    stored(admin, b"not mine")
    anybody.get("/api/v1/me", headers=basic("me", "wrong"))
    flush(app)
    admin.patch("/api/v1/admin/users/me", json={"quota": 1000}, headers={"X-Request-ID": "admins-own"})
    page = client.get(ACTIVITY).get_json()
    found = [(each["action"], each["user"], each["address"]) for each in page["items"]]
    assert found == [
        ("user_changed", None, None),
        ("login_failed", "me", "127.0.0.1"),
        ("upload", "me", "127.0.0.1"),
        ("user_added", None, "command line"),
    ]
    assert page["items"][2]["file_id"] == file["id"]
    assert page["items"][2]["details"] == {"name": "x.txt", "folder": "/"}
    assert "admins-own" not in json.dumps(page)
    first = client.get(f"{ACTIVITY}?limit=3").get_json()
    second = client.get(f"{ACTIVITY}?limit=3&cursor={first['next']}").get_json()
    assert first["items"] + second["items"] == page["items"]
    problem(client.get(f"{ACTIVITY}?user=chief"), 400, "bad_option")


def test_every_action_is_documented(app: Flask) -> None:
    """A client's programmer would meet an action that no page names."""
    document = app.test_client().get("/openapi.json").get_json()
    assert document["components"]["schemas"]["Action"]["enum"] == list(Action)
