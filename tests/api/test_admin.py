"""Users, for admins: /api/v1/admin/users; and the tickets to a new password."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from flask import Flask
from flask.testing import FlaskClient

from blobstore.core import accounts, tickets
from blobstore.core.accounts import Account
from blobstore.core.store import Store
from blobstore.errors import BadSignature
from tests.api.wire import problem, stored
from tests.conftest import NEW_PASSWORD, PASSWORD, signed_in

USERS, RESET = "/api/v1/admin/users", "/api/v1/auth/password/reset/confirm"


@pytest.fixture
def admin(app: Flask, store: Store) -> FlaskClient:
    """A client of the only admin."""
    accounts.add(store, "chief", PASSWORD, admin=True)
    return signed_in(app, "chief")


def test_an_admin_makes_and_changes_users(admin: FlaskClient, app: Flask) -> None:
    """An admin would need a shell on the server for every new user."""
    wanted = {"name": "Ann", "password": PASSWORD, "email": "Ann@Example.org", "quota": 1000}
    made = admin.post(USERS, json=wanted)
    assert made.status_code == 201
    assert made.get_json() == {
        "name": "ann", "email": "ann@example.org", "verified": True, "role": "user", "admitted": True,
        "disabled": False, "quota": 1000, "used": 0, "files": 0, "created_at": made.get_json()["created_at"],
    }  # fmt: skip
    ann = signed_in(app, "ann")
    stored(ann, b"x" * 10)
    assert admin.get(f"{USERS}/ann").get_json()["used"] == 10
    changed = admin.patch(f"{USERS}/ann", json={"quota": 5, "email": None})
    assert (changed.get_json()["quota"], changed.get_json()["email"]) == (5, None)
    problem(ann.post("/upload", data=b"y"), 413, "quota_exceeded")
    admin.patch(f"{USERS}/ann", json={"quota": None})
    assert ann.post("/upload", data=b"y").status_code == 201
    admin.patch(f"{USERS}/ann", json={"disabled": True})
    problem(ann.get("/api/v1/me"), 401, "invalid_credentials")
    admin.patch(f"{USERS}/ann", json={"disabled": False, "role": "admin"})
    assert ann.get(USERS).status_code == 200
    assert admin.delete(f"{USERS}/ann").get_json() == {"deleted": 2}
    problem(admin.get(f"{USERS}/ann"), 404, "not_found")


def test_a_new_user_has_the_default_quota(admin: FlaskClient, store: Store) -> None:
    """A user made without a quota would have none."""
    made = admin.post(USERS, json={"name": "ann", "password": PASSWORD})
    assert made.get_json()["quota"] == store.settings.default_quota_bytes
    unlimited = admin.post(USERS, json={"name": "ben", "password": PASSWORD, "quota": None})
    assert unlimited.get_json()["quota"] is None


@pytest.mark.parametrize(
    ("change", "status", "code"),
    [
        ({"name": "admin"}, 422, "bad_user_name"),
        ({"password": "short"}, 400, "bad_option"),
        ({"email": "nowhere"}, 400, "bad_option"),
        ({"quota": -1}, 400, "bad_option"),
        ({"quota": 2**63}, 400, "bad_option"),
        ({"quota": "10GiB"}, 400, "bad_option"),
        ({"role": "king"}, 400, "bad_option"),
        ({"used_bytes": 0}, 422, "unknown_field"),
        ({"id": 1}, 422, "unknown_field"),
        ({"name": "chief"}, 409, "already_exists"),
    ],
    ids=str,
)
def test_what_is_no_user_is_refused(admin: FlaskClient, change: dict[str, object], status: int, code: str) -> None:
    """A mistyped request would make a user that nobody meant (cases 36 and 76)."""
    problem(admin.post(USERS, json={"name": "ann", "password": PASSWORD, **change}), status, code)
    assert len(admin.get(USERS).get_json()["items"]) == 1


def test_the_last_admin_stays(admin: FlaskClient) -> None:
    """Nobody could ever administer the store again."""
    problem(admin.patch(f"{USERS}/chief", json={"role": "user"}), 409, "last_admin")
    problem(admin.patch(f"{USERS}/chief", json={"disabled": True}), 409, "last_admin")
    problem(admin.delete(f"{USERS}/chief"), 409, "last_admin")
    admin.post(USERS, json={"name": "heir", "password": PASSWORD, "role": "admin"})
    assert admin.patch(f"{USERS}/chief", json={"role": "user"}).status_code == 200
    problem(admin.get(USERS), 403, "insufficient_scope")


@pytest.mark.parametrize("method", ["GET", "POST", "PATCH", "DELETE"])
def test_only_an_admin_may(app: Flask, client: FlaskClient, anybody: FlaskClient, method: str) -> None:
    """A user would read or change another one; every route of the admin is walked."""
    for rule in app.url_map.iter_rules():
        if rule.rule.startswith("/api/v1/admin") and method in (rule.methods or ()):
            path = rule.rule.replace("<user:name>", "me").replace("<digest:banned>", "0" * 64)
            problem(client.open(path, method=method, json={}), 403, "insufficient_scope")
            problem(anybody.open(path, method=method, json={}), 401, "invalid_credentials")


def test_an_admins_key_needs_the_scope(admin: FlaskClient, anybody: FlaskClient) -> None:
    """An admin's key for uploads would administer the store."""
    for scopes, status in ((["read", "write", "delete"], 403), (["admin"], 200)):
        key = admin.post("/api/v1/keys", json={"name": "k", "scopes": scopes}).get_json()["key"]
        assert anybody.get(USERS, headers={"Authorization": f"Bearer {key}"}).status_code == status


def test_users_are_paged_and_found(admin: FlaskClient, store: Store) -> None:
    """An admin of many users could not find one."""
    for name in ("ann", "ben", "b_n", "cleo"):
        accounts.add(store, name, PASSWORD, email=f"{name}@example.org")
    first = admin.get(f"{USERS}?limit=2").get_json()
    second = admin.get(f"{USERS}?limit=3&cursor={first['next']}").get_json()
    names = [item["name"] for item in first["items"] + second["items"]]
    assert (names, second["next"]) == (["ann", "b_n", "ben", "chief", "cleo"], None)
    assert [item["name"] for item in admin.get(f"{USERS}?q=B_N").get_json()["items"]] == ["b_n"]
    assert len(admin.get(f"{USERS}?q=example.org").get_json()["items"]) == 4


@pytest.mark.parametrize("name", ["%00", "a%00b", "%F0%9F%98%80", "x" * 65, "nobody"])
def test_who_is_no_user_is_not_found(admin: FlaskClient, name: str) -> None:
    """A NUL in the path would be an error of ours."""
    problem(admin.get(f"{USERS}/{name}"), 404, "not_found")
    problem(admin.patch(f"{USERS}/{name}", json={"quota": 1}), 404, "not_found")
    problem(admin.delete(f"{USERS}/{name}"), 404, "not_found")
    problem(admin.post(f"{USERS}/{name}/ticket"), 404, "not_found")


def test_a_ticket_sets_a_password_once(
    admin: FlaskClient, anybody: FlaskClient, client: FlaskClient, app: Flask
) -> None:
    """A user who has lost his password would be locked out, or his ticket would work for whoever finds it later."""
    ticket = admin.post(f"{USERS}/me/ticket").get_json()["ticket"]
    assert client.get("/api/v1/me").status_code == 200
    problem(anybody.post(RESET, json={"ticket": ticket, "new": "short"}), 400, "bad_option")
    assert anybody.post(RESET, json={"ticket": ticket, "new": NEW_PASSWORD}).status_code == 204
    problem(client.get("/api/v1/me"), 401, "invalid_credentials")
    assert signed_in(app, "me", NEW_PASSWORD).get("/api/v1/me").status_code == 200
    problem(anybody.post(RESET, json={"ticket": ticket, "new": "yet another one"}), 403, "bad_signature")


@pytest.mark.parametrize("ticket", ["", "1", "1.2.3", "0.9999999999." + "A" * 43, "é", "1." * 500], ids=ascii)
def test_what_is_no_ticket_is_refused(anybody: FlaskClient, ticket: str) -> None:
    """A guess would be a 500, or a password."""
    problem(anybody.post(RESET, json={"ticket": ticket, "new": NEW_PASSWORD}), 403, "bad_signature")


def test_a_ticket_ends_and_is_of_one_user(store: Store, user: Account) -> None:
    """A ticket would work for ever, or for somebody else."""
    accounts.add(store, "you", PASSWORD)
    ticket, ends_at = tickets.issue(store, "me")
    with pytest.raises(BadSignature):
        tickets.redeem_password(store, ticket, NEW_PASSWORD, ends_at)
    with pytest.raises(BadSignature):
        tickets.redeem_password(store, str(user.id + 1) + ticket[len(str(user.id)) :], NEW_PASSWORD)
    late, _ = tickets.issue(store, "me", now=datetime.now(UTC) + timedelta(days=30))
    with pytest.raises(BadSignature):
        tickets.redeem_password(store, late, NEW_PASSWORD)
    tickets.redeem_password(store, ticket, NEW_PASSWORD)


def test_a_user_removes_himself(client: FlaskClient, anybody: FlaskClient, admin: FlaskClient) -> None:
    """A user could not take back what he has given, or a stolen key could delete it all."""
    sha256 = stored(client)["sha256"]
    problem(client.delete("/api/v1/me", json={"password": "wrong-password"}), 401, "invalid_credentials")
    assert client.delete("/api/v1/me", json={"password": PASSWORD}).get_json() == {"deleted": 1}
    problem(client.get("/api/v1/me"), 401, "invalid_credentials")
    problem(anybody.get(f"/{sha256}"), 404, "not_found")
    problem(admin.get(f"{USERS}/me"), 404, "not_found")
