"""Logins: POST /api/v1/auth/login and logout, GET and DELETE /api/v1/auth/sessions."""

from __future__ import annotations

import jwt
import pytest
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from blobstore.core import accounts, admin, new_password, removal, sessions
from blobstore.core.accounts import Account
from blobstore.core.credentials import Credentials
from blobstore.core.ring import ring
from blobstore.core.store import Store
from blobstore.errors import Unauthenticated
from tests.api.wire import problem
from tests.conftest import NEW_PASSWORD, PASSWORD

LOGIN, LOGOUT, SESSIONS, ME = (
    "/api/v1/auth/login",
    "/api/v1/auth/logout",
    "/api/v1/auth/sessions",
    "/api/v1/me",
)


def log_in(client: FlaskClient, name: str = "me", password: str = PASSWORD) -> str:
    answer = client.post(LOGIN, json={"username": name, "password": password}, headers={"User-Agent": "a test"})
    assert answer.status_code == 200, answer.text
    return str(answer.get_json()["access_token"])


def ask(client: FlaskClient, token: str, path: str = ME, method: str = "GET") -> TestResponse:
    return client.open(path, method=method, headers={"Authorization": f"Bearer {token}"})


@pytest.mark.usefixtures("user")
def test_a_login_is_a_bearer_token(anybody: FlaskClient) -> None:
    """Nobody could work with a login token, or it would not be what OAuth clients expect."""
    answer = anybody.post(LOGIN, data={"grant_type": "password", "username": "me", "password": PASSWORD})
    assert answer.get_json()["token_type"] == "bearer"
    assert answer.get_json()["expires_in"] == 30 * 60
    assert answer.headers["Cache-Control"] == "no-store"
    me = ask(anybody, answer.get_json()["access_token"])
    assert me.get_json()["scopes"] == ["delete", "read", "write"]


@pytest.mark.usefixtures("user")
def test_a_wrong_login_is_refused(anybody: FlaskClient) -> None:
    """Somebody would get in without the password, or with an API key that cannot have sessions."""
    for given in ({"username": "me", "password": "wrong-password"}, {"username": "nobody", "password": PASSWORD}):
        problem(anybody.post(LOGIN, json=given), 401, "invalid_credentials")
    problem(anybody.post(LOGIN, json={"username": "me"}), 400, "bad_option")
    wanted = {"username": "me", "password": PASSWORD, "grant_type": "refresh_token"}
    problem(anybody.post(LOGIN, json=wanted), 400, "bad_option")
    problem(anybody.post(LOGIN, data="username=me&username=you&password=x"), 415, "unsupported_media_type")
    form = "application/x-www-form-urlencoded"
    problem(anybody.post(LOGIN, data="username=me&username=you&password=x", content_type=form), 400, "bad_option")
    problem(anybody.post(LOGIN, data="username=%ff&password=x", content_type=form), 400, "bad_text")
    problem(anybody.post(LOGIN, data="username=%00&password=x", content_type=form), 400, "bad_text")


@pytest.mark.usefixtures("user")
def test_a_logout_ends_the_token(anybody: FlaskClient) -> None:
    """A stolen token would work after its user has logged out, or a logout would end other sessions too."""
    first, second = log_in(anybody), log_in(anybody)
    assert ask(anybody, first, LOGOUT, "POST").status_code == 204
    problem(ask(anybody, first), 401, "invalid_credentials")
    assert ask(anybody, second).status_code == 200


def test_a_logout_needs_a_session(client: FlaskClient) -> None:
    """Somebody would believe that he has logged out who has sent his password."""
    problem(client.post(LOGOUT), 404, "not_found")


@pytest.mark.usefixtures("user")
def test_sessions_are_listed_and_ended(anybody: FlaskClient) -> None:
    """A user could not see who is logged in as he is, or not throw him out."""
    first, second = log_in(anybody), log_in(anybody)
    items = ask(anybody, first, SESSIONS).get_json()["items"]
    assert [(item["agent"], item["address"]) for item in items] == [("a test", "127.0.0.1")] * 2
    (other,) = (item["id"] for item in items if not item["present"])
    assert ask(anybody, first, f"{SESSIONS}/{other}", "DELETE").status_code == 204
    problem(ask(anybody, second), 401, "invalid_credentials")
    problem(ask(anybody, first, f"{SESSIONS}/{other}", "DELETE"), 404, "not_found")


def test_a_session_of_somebody_else_is_not_found(store: Store, anybody: FlaskClient, user: Account) -> None:
    """A user could log out another one."""
    accounts.add(store, "you", PASSWORD)
    mine, yours = log_in(anybody), log_in(anybody, "you")
    (session,) = sessions.sessions(store, user.id)
    problem(ask(anybody, yours, f"{SESSIONS}/{session.id}", "DELETE"), 404, "not_found")
    assert ask(anybody, mine).status_code == 200


def test_an_api_key_sees_no_sessions(client: FlaskClient, anybody: FlaskClient) -> None:
    """A stolen key could throw its owner out."""
    key = client.post("/api/v1/keys", json={"name": "k", "scopes": ["read", "write", "delete"]}).get_json()["key"]
    problem(ask(anybody, key, SESSIONS), 403, "password_required")


@pytest.mark.parametrize("how", ["password", "disable"])
def test_a_change_ends_every_session(store: Store, anybody: FlaskClient, user: Account, how: str) -> None:
    """A thief would stay in after the user has changed his password, or after an admin has shut him out."""
    token = log_in(anybody)
    if how == "password":
        new_password.set_password(store, user.name, NEW_PASSWORD)
    else:
        admin.set_disabled(store, user.name, disabled=True)
    problem(ask(anybody, token), 401, "invalid_credentials")
    admin.set_disabled(store, user.name, disabled=False)
    problem(ask(anybody, token), 401, "invalid_credentials")


@pytest.mark.parametrize("how", ["password", "disable", "remove"])
def test_a_change_during_a_login_wins(store: Store, user: Account, how: str) -> None:
    """A thief whose password was just being verified would get a token for the time after its change."""
    caller = Credentials(store).by_password(user.name, PASSWORD, "127.0.0.1")
    if how == "password":
        new_password.set_password(store, user.name, NEW_PASSWORD)
    elif how == "disable":
        admin.set_disabled(store, user.name, disabled=True)
    else:
        removal.remove_account(store, user.name)
    with pytest.raises(Unauthenticated):
        sessions.log_in(store, caller, "127.0.0.1", "")
    assert sessions.sessions(store, user.id) == []


@pytest.mark.parametrize(
    "change",
    [{"exp": 1}, {"aud": "other"}, {"iss": "other"}, {"jti": "0" * 22}, {"exp": None}, {"jti": None}],
    ids=str,
)
def test_a_token_with_other_claims_is_refused(
    store: Store, anybody: FlaskClient, user: Account, change: dict[str, object]
) -> None:
    """A token for something else, without an end, or of a session that is gone would be taken."""
    secret = ring(store, sessions._PURPOSE)[0]
    claims = jwt.decode(log_in(anybody), secret, ["HS256"], audience="blobstore")
    changed = {name: value for name, value in {**claims, **change}.items() if value is not None}
    problem(ask(anybody, jwt.encode(changed, secret, "HS256")), 401, "invalid_credentials")


@pytest.mark.usefixtures("user")
def test_a_token_that_we_have_not_signed_is_refused(store: Store, anybody: FlaskClient) -> None:
    """Anybody could make himself a token: with another key, another algorithm, or none."""
    token = log_in(anybody)
    secret = ring(store, sessions._PURPOSE)[0]
    claims = jwt.decode(token, secret, ["HS256"], audience="blobstore")
    forged = [
        jwt.encode(claims, bytes(32), "HS256"),
        jwt.encode(claims, None, "none"),
        jwt.encode(claims, secret * 2, "HS512"),
        token[:-2] + ("AA" if token[-2:] != "AA" else "BB"),
        token.rpartition(".")[0] + ".",
        "x.y.z",
        "é",
        "a" * 7000,
    ]
    for wrong in forged:
        problem(ask(anybody, wrong), 401, "invalid_credentials")


@pytest.mark.parametrize("session_id", ["%00", "a%00b", "%F0%9F%98%80", "x" * 65])
def test_what_is_no_id_is_not_found(client: FlaskClient, session_id: str) -> None:
    """A NUL in the path would be an error of ours."""
    problem(client.delete(f"{SESSIONS}/{session_id}"), 404, "not_found")
