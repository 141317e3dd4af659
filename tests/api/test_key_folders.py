"""API keys of one folder: what is there and below is theirs, and nothing else of their owner's."""

from __future__ import annotations

from io import BytesIO
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient

from blobstore.core import keys
from blobstore.core.accounts import Account
from blobstore.core.gate import Scope
from blobstore.core.store import Store
from tests.api.test_auth import basic, bearer
from tests.api.wire import EMPTY, form, problem, quota, repr_digest, sha256, stored, unread

FILES = (Scope.READ, Scope.WRITE, Scope.DELETE)
JSON = {"content_type": "application/json"}
OUTSIDE = ["/", "/backup2", "/Backup", "/other/backup", "/.backup"]


def keyed(app: Flask, store: Store, user: Account, folder: str = "/backup") -> FlaskClient:
    """A client with a key of the user for one folder."""
    client = app.test_client()
    key = keys.issue(store, user.id, "a folder's", FILES, folder=folder)[1]
    client.environ_base["HTTP_AUTHORIZATION"] = bearer(key)["Authorization"]
    return client


@pytest.fixture
def inside(app: Flask, store: Store, user: Account) -> FlaskClient:
    """A client with a key for `/backup` of the user whose other client is `client`."""
    return keyed(app, store, user)


def names(client: FlaskClient, **query: Any) -> list[str]:
    """What a list shows."""
    return sorted(
        f"{file['folder']}:{file['name']}" for file in client.get("/api/v1/files", query_string=query).json["items"]
    )


def test_a_key_is_made_for_a_folder(client: FlaskClient, anybody: FlaskClient) -> None:
    """A key would be for another folder than was asked for, or its owner could not see for which."""
    made = client.post("/api/v1/keys", json={"name": "k", "scopes": ["write"], "folder": "/backup/e\u0301"})
    assert made.status_code == 201
    assert made.json["folder"] == "/backup/é"
    assert client.post("/api/v1/keys", json={"name": "whole"}).json["folder"] == "/"
    assert [key["folder"] for key in client.get("/api/v1/keys").json["items"]] == ["/backup/é", "/"]
    file = anybody.put("/upload/x", data=b"x", headers=bearer(made.json["key"])).json
    assert file["folder"] == "/backup/é"
    for folder in ("backup", "/a/", "/a//b", "/..", ""):
        problem(client.post("/api/v1/keys", json={"name": "k", "folder": folder}), 400, "bad_name")
    problem(client.post("/api/v1/keys", json={"name": "k", "folder": None}), 400, "bad_option")


def test_no_admin_of_a_folder(chief: FlaskClient) -> None:
    """A key that says that it is for a folder would administer all users."""
    wanted = {"name": "k", "scopes": ["read", "admin"]}
    found = problem(chief.post("/api/v1/keys", json={**wanted, "folder": "/a"}), 400, "bad_option")
    assert found["field"] == "folder"
    assert chief.post("/api/v1/keys", json=wanted).status_code == 201


def test_every_upload_lands_in_the_folder(inside: FlaskClient) -> None:
    """`curl -T` with the key would be refused, or write where the key has no business."""
    for number, answer in enumerate(
        [
            inside.put("/upload/", data=b"0"),
            inside.put("/upload/name", data=b"1"),
            inside.put("/upload/../../name", data=b"2"),
            inside.put(f"/{sha256(b'3')}", data=b"3"),
            inside.post("/upload", data=b"4"),
            inside.post("/upload", json={"data": "NQ==", "name": "x"}),
            inside.post("/upload", **form(("file", "a", b"6"))),
        ]
    ):
        assert answer.status_code == 201, number
        assert answer.json["folder"] == "/backup"
        assert answer.json["sha256"] == sha256(str(number).encode())
    for number, path in enumerate(("/upload/backup/x", "/upload/backup/a/b/x", "/upload/x?folder=/backup/c")):
        assert inside.put(path, data=b"deep %d" % number).json["folder"].startswith("/backup")


@pytest.mark.parametrize("folder", OUTSIDE)
def test_an_upload_elsewhere_is_refused_before_the_body(inside: FlaskClient, folder: str) -> None:
    """A key for backups would write among its owner's other files; or a gigabyte be sent to be refused."""
    where = {"folder": folder}
    asked: list[tuple[str, str, dict[str, Any]]] = [
        ("PUT", "/upload/x", {"query_string": where}),
        ("PUT", f"/{sha256(b'x')}", {"query_string": where}),
        ("POST", "/upload", {"query_string": where}),
        ("POST", "/upload", {"query_string": where, "headers": form()["headers"]}),
        ("POST", "/upload", {"query_string": where, **JSON}),
    ]
    if folder != "/":
        asked.append(("PUT", f"/upload{folder}/x", {}))
    for method, path, options in asked:
        answer = inside.open(path, method=method, **options, **unread(1000))
        assert problem(answer, 403, "outside_folder")["folder"] == "/backup"


def test_a_folder_that_the_body_names_is_refused_too(inside: FlaskClient, client: FlaskClient) -> None:
    """The field of a form would be a way around the key's folder."""
    for answer in (
        inside.post("/upload", **form(("file", "a", b"x"), ("folder", None, b"/other"))),
        inside.post("/upload", **form(("folder", None, b"/"), ("file", "a", b"x"), ("file", "b", b"y"))),
        inside.post("/upload", json={"data": "NQ==", "folder": "/"}),
    ):
        problem(answer, 403, "outside_folder")
    assert (quota(client)["used"], quota(client)["files"]) == (0, 0)
    assert inside.post("/upload", **form(("file", "a", b"x"), ("folder", None, b"/backup/b"))).status_code == 201


def test_a_list_shows_the_folder_only(inside: FlaskClient, client: FlaskClient) -> None:
    """A key of one folder would tell the names of all files; or not find its own."""
    for folder in ("/", "/backup", "/backup/a", "/backup/a/b", "/backup2", "/.backup"):
        stored(client, folder.encode(), name="x", folder=folder, tags="t", visibility="public")
    mine = ["/backup/a/b:x", "/backup/a:x", "/backup:x"]
    assert names(inside) == names(inside, tag="t") == names(inside, q="x") == mine
    assert names(inside, folder="/", recursive="1") == names(inside, folder="/backup", recursive="1") == mine
    assert names(inside, folder="/backup/a") == ["/backup/a:x"]
    assert names(inside, folder="/") == names(inside, folder="/backup2") == names(inside, sha256=sha256(b"/")) == []
    first = inside.get("/api/v1/files?limit=2").json
    rest = inside.get("/api/v1/files", query_string={"limit": 2, "cursor": first["next"]}).json
    assert (len(first["items"]), len(rest["items"]), rest["next"]) == (2, 1, None)


def test_a_file_elsewhere_is_not_there(inside: FlaskClient, client: FlaskClient) -> None:
    """A key of one folder would read, change or delete in others, or learn what is there."""
    secret = stored(client, b"secret", name="x", folder="/other", visibility="private")
    path = f"/api/v1/files/{secret['id']}"
    for answer in (
        inside.get(path),
        inside.patch(path, json={"tags": ["a"]}),
        inside.patch(path, json={"folder": "/backup"}),
        inside.delete(path),
        inside.delete(f"{path}?dry_run=1"),
        inside.get(f"{path}/download"),
        inside.get(f"{path}/download?mode=url"),
        inside.get(f"/s/{secret['id']}"),
        inside.get(f"/{secret['sha256']}"),
        inside.get(f"/{secret['sha256']}.sha256"),
        inside.delete(f"/{secret['sha256']}"),
        inside.delete(f"/{secret['sha256']}?folder=/other"),
        inside.delete(f"/{secret['sha256']}?folder=/backup"),
    ):
        problem(answer, 404, "not_found")
    secret.pop("quota")
    assert client.get(path).json == secret


def test_a_public_file_elsewhere_is_anybodys(inside: FlaskClient, client: FlaskClient, other: FlaskClient) -> None:
    """A key would be refused what a stranger gets; or be told more of it than a stranger."""
    public = stored(client, b"public", name="x", folder="/other", tags="mine")
    assert inside.get(f"/{public['sha256']}").data == b"public"
    path = f"/api/v1/files/{public['id']}"
    assert inside.get(path).json == other.get(path).json
    assert "folder" not in inside.get(path).json
    problem(inside.patch(path, json={"tags": []}), 404, "not_found")
    problem(inside.delete(path), 404, "not_found")


def test_a_file_in_the_folder_is_the_keys(inside: FlaskClient, client: FlaskClient) -> None:
    """A key could not work with what it is for."""
    file = stored(client, b"mine", name="x", folder="/backup/a", visibility="private")
    path = f"/api/v1/files/{file['id']}"
    assert inside.get(path).json["folder"] == "/backup/a"
    assert inside.get(f"/{file['sha256']}").data == inside.get(f"{path}/download").data == b"mine"
    assert inside.patch(path, json={"folder": "/backup/b", "name": "y"}).json["folder"] == "/backup/b"
    for folder in OUTSIDE:
        assert problem(inside.patch(path, json={"folder": folder}), 403, "outside_folder")["folder"] == "/backup"
    assert client.get(path).json["folder"] == "/backup/b"
    assert inside.delete(path).json["deleted"] == 1


def test_a_delete_by_hash_takes_only_the_folders_files(inside: FlaskClient, client: FlaskClient) -> None:
    """A key for backups would delete the same content elsewhere."""
    for folder in ("/", "/backup", "/backup/a", "/backup2", "/.lfs"):
        stored(client, b"same", name="x", folder=folder)
    assert inside.delete(f"/{sha256(b'same')}?dry_run=1").json == {"deleted": 2, "freed_bytes": 0}
    assert inside.delete(f"/{sha256(b'same')}?folder=/backup/a").json == {"deleted": 1, "freed_bytes": 0}
    assert inside.delete(f"/{sha256(b'same')}").json == {"deleted": 1, "freed_bytes": 0}
    problem(inside.delete(f"/{sha256(b'same')}"), 404, "not_found")
    assert names(client) == ["/.lfs:x", "/:x", "/backup2:x"]


def test_a_key_of_another_protocols_folder(app: Flask, store: Store, user: Account, client: FlaskClient) -> None:
    """A key for such a folder could not delete by hash, or find what it has sent already."""
    inside = keyed(app, store, user, "/.lfs/repo")
    stored(client, b"x", name="y", folder="/")
    assert inside.put("/upload/x", data=b"x").status_code == 201
    assert inside.put("/upload", data=b"x").json["name"] == "x"
    assert inside.delete(f"/{sha256(b'x')}").json["deleted"] == 1
    assert names(client) == ["/:y"]


def test_a_digest_of_a_file_elsewhere_is_no_upload(inside: FlaskClient, client: FlaskClient) -> None:
    """A key of one folder would get the bytes of every other file whose hash it knows, under a name in its own."""
    stored(client, b"secret", name="x", folder="/other", visibility="private")
    digest = sha256(b"secret")
    for answer in (
        inside.put(f"/{digest}", **EMPTY),
        inside.put("/upload/x", **EMPTY | {"headers": {"Repr-Digest": repr_digest(b"secret")}}),
    ):
        problem(answer, 409, "digest_mismatch")
    problem(inside.get(f"/{digest}"), 404, "not_found")
    file = inside.post("/upload", data=b"secret").json
    assert (file["folder"], file["name"]) == ("/backup", digest), "who has the bytes makes a file of his own"
    assert inside.put(f"/{digest}", **unread(6)).status_code == 200
    assert inside.put("/upload/backup/b/y", **unread(6), headers={"X-SHA-256": digest}).status_code == 201


def test_the_account_is_not_the_keys(inside: FlaskClient, anybody: FlaskClient, client: FlaskClient) -> None:
    """A key of one folder would read its owner's e-mail, keys and logins; or not know how much room is left."""
    assert quota(inside)["used"] == 0
    for method, path in (
        ("GET", "/api/v1/me"),
        ("DELETE", "/api/v1/me"),
        ("GET", "/api/v1/keys"),
        ("POST", "/api/v1/keys"),
        ("GET", "/api/v1/auth/sessions"),
        ("POST", "/api/v1/auth/password"),
        ("POST", "/api/v1/auth/logout"),
    ):
        assert problem(inside.open(path, method=method), 403, "outside_folder")["folder"] == "/backup"
    key = client.post("/api/v1/keys", json={"name": "k", "folder": "/backup"}).json["key"]
    problem(anybody.get("/api/v1/me", headers=basic("me", key)), 403, "outside_folder")
    assert anybody.get("/api/v1/files", headers=basic("me", key)).status_code == 200


def test_several_files_go_to_the_folder(inside: FlaskClient) -> None:
    """A form of several files would be stored in part outside of the folder."""
    parts = {"file": [(BytesIO(b"a"), "a"), (BytesIO(b"b"), "b")]}
    answer = inside.post("/upload", data=parts, content_type="multipart/form-data")
    assert [file["folder"] for file in answer.json["files"]] == ["/backup", "/backup"]
