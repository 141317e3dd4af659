"""The caller: who he is, what he uses, and his password."""

from __future__ import annotations

from flask.testing import FlaskClient

from blobstore.core import accounts, admin
from blobstore.core.accounts import Account
from blobstore.core.store import Store
from tests.api.test_auth import basic
from tests.api.test_download import expire
from tests.api.wire import EMPTY, problem, quota, sha256, stored
from tests.conftest import NEW_PASSWORD, PASSWORD

NUMBERS = {"limit", "used", "free", "reserved", "logical", "saved", "files", "contents"}
CHANGE = "/api/v1/auth/password"


def test_who_the_caller_is(client: FlaskClient, other: FlaskClient, store: Store) -> None:
    """A client could not tell whose credentials it has; or would be told too much, as the hash."""
    me = client.get("/api/v1/me").get_json()
    assert set(me) == {"name", "email", "verified", "role", "created_at", "scopes"}
    assert (me["name"], me["role"], me["scopes"]) == ("me", "user", ["delete", "read", "write"])
    assert other.get("/api/v1/me").get_json()["name"] == "other"
    accounts.add(store, "boss", PASSWORD, admin=True)
    boss = other.get("/api/v1/me", headers=basic("boss", PASSWORD)).get_json()
    assert (boss["role"], boss["scopes"]) == ("admin", ["admin", "delete", "read", "write"])


def test_the_quota_after_each_step(client: FlaskClient, other: FlaskClient, store: Store) -> None:
    """A user would pay for what he deleted, for his own duplicates, or for what others do."""

    def steps(**numbers: int) -> None:
        found = quota(client)
        assert set(found) == NUMBERS
        shown = {name: found[name] for name in ("used", "logical", "files", "contents")}
        assert shown == {"used": 0, "logical": 0, "files": 0, "contents": 0, **numbers}
        assert (found["limit"], found["reserved"]) == (1 << 20, 0)
        assert found["free"] == found["limit"] - found["used"]
        assert found["saved"] == found["logical"] - found["used"]

    steps()
    stored(other, b"hello")
    steps()
    first = stored(client, b"hello", name="a")
    steps(used=5, logical=5, files=1, contents=1)
    stored(client, b"hello", name="b")
    steps(used=5, logical=10, files=2, contents=1)
    assert client.post("/upload?name=empty", **EMPTY).status_code == 201
    steps(used=5, logical=10, files=3, contents=2)
    last = stored(client, b"world!", name="c", visibility="private")
    steps(used=11, logical=16, files=4, contents=3)
    problem(client.put("/" + "0" * 64, data=b"wrong"), 409, "digest_mismatch")
    problem(client.post("/upload", data=b"x" * (1 << 20)), 413, "quota_exceeded")
    steps(used=11, logical=16, files=4, contents=3)
    client.patch(f"/api/v1/files/{last['id']}", json={"name": "renamed"})
    steps(used=11, logical=16, files=4, contents=3)
    client.delete(f"/api/v1/files/{first['id']}")
    steps(used=11, logical=11, files=3, contents=3)
    client.delete("/" + sha256(b"hello"))
    steps(used=6, logical=6, files=2, contents=2)
    other.delete("/" + sha256(b"hello"))
    client.delete("/" + last["sha256"])
    steps(files=1, contents=1)


def test_a_user_without_a_limit(other: FlaskClient) -> None:
    """No limit would read as none left."""
    found = quota(other)
    assert (found["limit"], found["free"], found["used"]) == (None, None, 0)
    assert stored(other)["quota"] == {"limit": None, "used": 5, "free": None}


def test_a_quota_lowered_below_what_is_used(client: FlaskClient, store: Store) -> None:
    """Free would be negative, or nothing could be read or deleted any more."""
    file = stored(client, b"hello", name="a")
    admin.set_quota(store, "me", 1)
    assert (quota(client)["free"], quota(client)["used"]) == (0, 5)
    problem(client.post("/upload", data=b"x"), 413, "quota_exceeded")
    assert client.get("/" + file["sha256"]).data == b"hello"
    assert client.delete("/" + file["sha256"]).get_json()["freed_bytes"] == 5
    assert client.post("/upload", data=b"x").status_code == 201


def test_what_expired_is_charged_until_it_is_removed_only(client: FlaskClient, store: Store) -> None:
    """The same content sent again after its file expired would be charged twice."""
    expire(store, stored(client, b"hello", name="a", expires_in=60))
    assert quota(client)["used"] == 5
    assert stored(client, b"hello", name="a")["quota"]["used"] == 5


def test_a_password_is_changed_with_the_old_one(client: FlaskClient, anybody: FlaskClient, user: Account) -> None:
    """An open session or a stolen key would be enough to take an account over."""
    problem(client.post(CHANGE, json={"current": "wrong", "new": NEW_PASSWORD}), 401, "invalid_credentials")
    key = client.post("/api/v1/keys", json={"name": "k", "scopes": ["read", "write"]}).get_json()["key"]
    for given in (key, "wrong"):
        answer = anybody.post(CHANGE, json={"current": given, "new": NEW_PASSWORD}, headers=basic("me", key))
        problem(answer, 401, "invalid_credentials")
    for new in ("short", "bs_looks like a key", "x" * 1025, "nul\u0000 in the middle"):
        assert client.post(CHANGE, json={"current": PASSWORD, "new": new}).status_code == 400
    problem(client.post(CHANGE, json={"new": NEW_PASSWORD}), 400, "bad_option")
    problem(client.post(CHANGE, json={"current": PASSWORD, "new": NEW_PASSWORD, "role": "admin"}), 422, "unknown_field")
    problem(anybody.post(CHANGE, json={"current": PASSWORD, "new": NEW_PASSWORD}), 401, "invalid_credentials")
    answer = client.post(CHANGE, json={"current": PASSWORD, "new": "neues Paßwort"})
    assert (answer.status_code, answer.data) == (204, b"")
    problem(client.get("/api/v1/me"), 401, "invalid_credentials")
    assert anybody.get("/api/v1/me", headers=basic("me", "neues Paßwort")).status_code == 200
    assert anybody.get("/api/v1/me", headers=basic("me", key)).status_code == 200
