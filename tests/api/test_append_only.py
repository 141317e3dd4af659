"""API keys that may write and not delete: they add, and nothing that is there is lost by them."""

from __future__ import annotations

from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient

from blobstore.core import keys
from blobstore.core.accounts import Account
from blobstore.core.gate import Scope
from blobstore.core.store import Store
from tests.api.test_auth import bearer
from tests.api.wire import EMPTY, form, problem, sha256, stored, unread

ADDERS = ((Scope.WRITE,), (Scope.READ, Scope.WRITE))
OPTIONS: list[dict[str, str]] = [
    {"expires_in": "60"},
    {"expires_at": "2040-01-01T00:00:00Z"},
    {"visibility": "private"},
    {"tags": "other"},
    {"tags": ""},
    {"tags": "t", "visibility": "private"},
]
"""What would alter a public file with the tag `t` that never expires."""


@pytest.fixture(params=ADDERS, ids=["write", "read,write"])
def adder(app: Flask, store: Store, user: Account, request: pytest.FixtureRequest) -> FlaskClient:
    """A client with a key of the user, whose other client is `client`, that may not delete."""
    client = app.test_client()
    key = keys.issue(store, user.id, "append only", request.param)[1]
    client.environ_base["HTTP_AUTHORIZATION"] = bearer(key)["Authorization"]
    return client


def everything(client: FlaskClient) -> list[dict[str, Any]]:
    """All files, as their owner sees them."""
    found: list[dict[str, Any]] = client.get("/api/v1/files").get_json()["items"]
    return found


def test_nothing_is_deleted(client: FlaskClient, adder: FlaskClient) -> None:
    """A stolen key of a backup would delete the backups."""
    file = stored(client, b"kept", name="x")
    for path in (f"/{file['sha256']}", f"/{file['sha256']}?dry_run=1", f"/api/v1/files/{file['id']}", "/api/v1/me"):
        assert problem(adder.delete(path), 403, "insufficient_scope")["scope"] == "delete"
    assert len(everything(client)) == 1


def test_other_bytes_under_a_name_replace_nothing(client: FlaskClient, adder: FlaskClient) -> None:
    """A stolen key would overwrite each backup with rubbish."""
    kept = stored(client, b"kept", name="x", folder="/a")
    for answer in (
        adder.put("/upload/a/x", data=b"rubbish 1"),
        adder.post("/upload?folder=/a", **form(("file", "x", b"rubbish 2"))),
        adder.post("/upload", json={"data": "NQ==", "name": "x", "folder": "/a"}),
    ):
        assert answer.status_code == 201
    assert kept["id"] in [file["id"] for file in everything(client)]
    assert client.get(f"/{kept['sha256']}").data == client.get(f"/api/v1/files/{kept['id']}/download").data == b"kept"


@pytest.mark.parametrize("options", OPTIONS, ids="&".join)
def test_the_same_again_changes_nothing(client: FlaskClient, adder: FlaskClient, options: dict[str, str]) -> None:
    """A file would be made to expire, or taken out of the public's sight, by sending it once more."""
    stored(client, b"kept", name="x", tags="t")
    before = everything(client)
    fields = [(name, None, value.encode()) for name, value in options.items()]
    for answer in (
        adder.put("/upload/x", data=b"kept", query_string=options),
        adder.put(f"/{sha256(b'kept')}", data=b"kept", query_string=options),
        adder.post("/upload", data=b"kept", query_string=options),
        adder.post("/upload", **form(("file", "x", b"kept"), *fields)),
        adder.post("/upload", query_string=options, json={"data": "a2VwdA==", "name": "x"}),
    ):
        assert problem(answer, 403, "insufficient_scope")["scope"] == "delete"
    assert everything(client) == before


def test_the_same_again_is_the_same_file(client: FlaskClient, adder: FlaskClient) -> None:
    """A backup that sends unchanged files again would fail."""
    file = stored(client, b"kept", name="x", tags="t")
    same = {"tags": "t", "visibility": "public"}
    for answer in (
        adder.put("/upload/x", data=b"kept", query_string=same),
        adder.put("/upload", data=b"kept"),
        adder.post("/upload", **form(("file", "x", b"kept"))),
    ):
        assert (answer.status_code, answer.json["id"]) == (200, file["id"])


def test_a_life_is_lengthened(client: FlaskClient, adder: FlaskClient) -> None:
    """A backup with `expires_in` would fail as soon as a file is sent again unchanged; or could be cut short."""
    first = adder.put("/upload/x?expires_in=1000", data=b"kept").json
    later = adder.put("/upload/x?expires_in=5000", data=b"kept")
    assert (later.status_code, later.json["id"]) == (200, first["id"])
    assert later.json["expires_at"] > first["expires_at"]
    problem(adder.put("/upload/x?expires_in=2000", data=b"kept"), 403, "insufficient_scope")
    path = f"/api/v1/files/{first['id']}"
    problem(adder.patch(path, json={"expires_in": 2000}), 403, "insufficient_scope")
    assert adder.patch(path, json={"expires_at": None}).json["expires_at"] is None
    problem(adder.patch(path, json={"expires_in": 10**9}), 403, "insufficient_scope")
    assert client.get(path).json["expires_at"] is None


@pytest.mark.parametrize(
    "change", [{"name": "y"}, {"folder": "/trash"}, {"visibility": "private"}, {"tags": []}, {"expires_in": 1}]
)
def test_a_file_is_not_changed(client: FlaskClient, adder: FlaskClient, change: dict[str, Any]) -> None:
    """A stolen key would rename all backups to what nobody finds, or make them expire."""
    file = stored(client, b"kept", name="x", tags="t")
    before = everything(client)
    answer = adder.patch(f"/api/v1/files/{file['id']}", json=change)
    assert problem(answer, 403, "insufficient_scope")["scope"] == "delete"
    assert everything(client) == before
    assert client.patch(f"/api/v1/files/{file['id']}", json=change).status_code == 200


def test_one_refused_file_of_a_form_is_an_outcome(client: FlaskClient, adder: FlaskClient) -> None:
    """The others would be stored, and the client told that all were refused."""
    stored(client, b"kept", name="x", tags="t")
    answer = adder.post("/upload?tags=new", **form(("file", "y", b"new"), ("file", "x", b"kept")))
    assert answer.status_code == 207
    assert [(each["status"], each.get("code")) for each in answer.json["files"]] == [
        (201, None),
        (403, "insufficient_scope"),
    ]


def test_a_digest_gives_no_bytes_to_who_may_not_read(
    app: Flask, store: Store, user: Account, client: FlaskClient, anybody: FlaskClient
) -> None:
    """A key that only writes would publish a private content by its hash, and then read it."""
    key = bearer(keys.issue(store, user.id, "drop", [Scope.WRITE])[1])
    digest = sha256(b"secret")
    stored(client, b"secret", name="x", visibility="private")
    problem(anybody.put(f"/{digest}?name=y&visibility=public", headers=key, **EMPTY), 409, "digest_mismatch")
    problem(anybody.get(f"/{digest}"), 404, "not_found")
    assert anybody.put(f"/{digest}", headers=key, data=b"secret").status_code == 200
    reader = bearer(keys.issue(store, user.id, "both", [Scope.READ, Scope.WRITE])[1])
    assert anybody.put(f"/{digest}", headers=reader, **unread(6)).status_code == 200
