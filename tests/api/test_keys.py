"""API keys: issued once, listed without the key, revoked at once, never more than their issuer."""

from __future__ import annotations

import pytest
from flask.testing import FlaskClient

from tests.api.test_auth import basic, bearer
from tests.api.wire import problem

KEYS = "/api/v1/keys"
SHOWN = {"id", "name", "last_four", "scopes", "folder", "created_at", "expires_at", "last_used_at", "rotated_at"}


def test_a_key_is_shown_once(client: FlaskClient, anybody: FlaskClient) -> None:
    """A key could be read again by whoever gets at the list later; or would not work at all."""
    answer = client.post(KEYS, json={"name": "backup", "scopes": ["write", "read", "read"], "expires_in": 3600})
    assert answer.status_code == 201
    issued = answer.get_json()
    key = issued.pop("key")
    assert set(issued) == SHOWN
    assert (issued["name"], issued["scopes"], issued["last_four"]) == ("backup", ["read", "write"], key[-4:])
    assert issued["expires_at"] > issued["created_at"]
    assert issued["last_used_at"] is None
    for header in (bearer(key), basic("me", key)):
        assert anybody.get("/api/v1/me", headers=header).get_json()["scopes"] == ["read", "write"]
    page = client.get(KEYS)
    assert key not in page.text
    assert page.get_json()["next"] is None
    [listed] = page.get_json()["items"]
    assert listed.pop("last_used_at")
    issued.pop("last_used_at")
    assert listed == issued


def test_a_revoked_key_is_refused(client: FlaskClient, other: FlaskClient, anybody: FlaskClient) -> None:
    """A leaked key could not be ended; or could be, by a stranger."""
    issued = client.post(KEYS, json={"name": "x", "scopes": ["read", "write"]}).get_json()
    path = f"{KEYS}/{issued['id']}"
    problem(other.delete(path), 404, "not_found")
    problem(anybody.delete(path), 401, "invalid_credentials")
    assert other.get(KEYS).get_json()["items"] == []
    assert anybody.get("/api/v1/me", headers=bearer(issued["key"])).status_code == 200
    answer = client.delete(path)
    assert (answer.status_code, answer.data) == (204, b"")
    problem(anybody.get("/api/v1/me", headers=bearer(issued["key"])), 401, "invalid_credentials")
    problem(client.delete(path), 404, "not_found")
    assert client.get(KEYS).get_json()["items"] == []


def test_nobody_issues_more_than_he_has(client: FlaskClient) -> None:
    """A user would make himself an admin by a key."""
    assert client.post(KEYS, json={"name": "all", "scopes": ["read", "write", "delete"]}).status_code == 201
    answer = client.post(KEYS, json={"name": "root", "scopes": ["read", "admin"]})
    assert problem(answer, 403, "insufficient_scope")["scope"] == "admin"
    assert client.post(KEYS, json={"name": "default"}).get_json()["scopes"] == ["read"]
    assert len(client.get(KEYS).get_json()["items"]) == 2


def test_a_key_issues_no_keys(anybody: FlaskClient, client: FlaskClient) -> None:
    """A stolen key would outlive its own revocation in the keys that the thief has made of it."""
    key = client.post(KEYS, json={"name": "stolen", "scopes": ["read", "write"]}).get_json()["key"]
    answer = anybody.post(KEYS, json={"name": "heir", "scopes": ["read"]}, headers=bearer(key))
    problem(answer, 403, "password_required")
    assert len(client.get(KEYS).get_json()["items"]) == 1


@pytest.mark.parametrize("through", ["basic", "bearer"])
def test_the_same_scopes_on_every_scheme(client: FlaskClient, anybody: FlaskClient, through: str) -> None:
    """A key that only reads would write when it is sent as a password (case 71)."""
    key = client.post(KEYS, json={"name": "reader", "scopes": ["read"]}).get_json()["key"]
    header = basic("me", key) if through == "basic" else bearer(key)
    assert anybody.get("/api/v1/files", headers=header).status_code == 200
    assert problem(anybody.post("/upload", data=b"x", headers=header), 403, "insufficient_scope")["scope"] == "write"
    gone = anybody.delete("/" + "0" * 64, headers=header)
    assert problem(gone, 403, "insufficient_scope")["scope"] == "delete"


def test_what_is_no_key_is_refused(client: FlaskClient) -> None:
    """A key would be issued that is not what its owner thinks."""
    for body, status, code in [
        ({}, 400, "bad_option"),
        ({"name": ""}, 400, "bad_option"),
        ({"name": "x" * 256}, 400, "bad_option"),
        ({"name": "a\nb"}, 400, "bad_option"),
        ({"name": 5}, 400, "bad_option"),
        ({"name": "x", "scopes": []}, 400, "bad_option"),
        ({"name": "x", "scopes": ["root"]}, 400, "bad_option"),
        ({"name": "x", "scopes": "read"}, 400, "bad_option"),
        ({"name": "x", "expires_in": 0}, 400, "bad_option"),
        ({"name": "x", "expires_in": 10**12}, 400, "bad_option"),
        ({"name": "x", "expires_in": 10**10}, 400, "bad_expires"),
        ({"name": "x", "key": "bs_mine"}, 422, "unknown_field"),
    ]:
        problem(client.post(KEYS, json=body), status, code)
    problem(client.post(KEYS, data=b"name=x"), 415, "unsupported_media_type")
    problem(client.delete(f"{KEYS}/none"), 404, "not_found")
    assert client.get(KEYS).get_json()["items"] == []


def test_a_key_is_rotated(client: FlaskClient, other: FlaskClient, anybody: FlaskClient) -> None:
    """A key could not be replaced without a gap, or by its thief, or without its owner being told the new one."""
    issued = client.post(KEYS, json={"name": "ci", "scopes": ["read", "write"], "folder": "/a"}).get_json()
    path = f"{KEYS}/{issued['id']}/rotate"
    problem(other.post(path, json={}), 404, "not_found")
    problem(anybody.post(path, json={}), 401, "invalid_credentials")
    answer = client.post(path, json={"overlap_seconds": 3600})
    assert answer.status_code == 201
    new = answer.get_json()
    assert set(new) == SHOWN | {"key"}
    assert new["id"] != issued["id"]
    assert {new[name] for name in ("name", "folder")} == {"ci", "/a"}
    for key in (issued["key"], new["key"]):
        assert anybody.get("/api/v1/files", headers=bearer(key)).status_code == 200
    old, _ = client.get(KEYS).get_json()["items"]
    assert (old["id"], old["expires_at"] > old["rotated_at"]) == (issued["id"], True)
    problem(client.post(path, json={}), 409, "already_rotated")
    problem(client.post(path), 409, "already_rotated")
    problem(client.post(path, data=b"{}"), 415, "unsupported_media_type")
    last = client.post(f"{KEYS}/{new['id']}/rotate", json={}).get_json()
    problem(anybody.get("/api/v1/files", headers=bearer(new["key"])), 401, "invalid_credentials")
    assert anybody.get("/api/v1/files", headers=bearer(last["key"])).status_code == 200


def test_a_key_rotates_no_keys(client: FlaskClient, anybody: FlaskClient) -> None:
    """A stolen key would live for ever, and its owner's be gone."""
    wanted = {"name": "stolen", "scopes": ["read", "write", "delete"]}
    issued = client.post(KEYS, json=wanted).get_json()
    path = f"{KEYS}/{issued['id']}/rotate"
    for header in (bearer(issued["key"]), basic("me", issued["key"])):
        problem(anybody.post(path, json={}, headers=header), 403, "password_required")
    assert len(client.get(KEYS).get_json()["items"]) == 1


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ({"overlap_seconds": -1}, 400, "bad_option"),
        ({"overlap_seconds": 7 * 86400 + 1}, 400, "bad_option"),
        ({"overlap_seconds": "1"}, 400, "bad_option"),
        ({"overlap_seconds": None}, 400, "bad_option"),
        ({"overlap_seconds": 10**30}, 400, "bad_option"),
        ({"overlap": 1}, 422, "unknown_field"),
        ({"scopes": ["admin"]}, 422, "unknown_field"),
    ],
)
def test_a_rotation_is_asked_for_exactly(client: FlaskClient, body: dict[str, object], status: int, code: str) -> None:
    """A mistyped overlap would end the old key at once, or never; or a key would gain rights."""
    issued = client.post(KEYS, json={"name": "ci"}).get_json()
    problem(client.post(f"{KEYS}/{issued['id']}/rotate", json=body), status, code)
    assert len(client.get(KEYS).get_json()["items"]) == 1
