"""POST /api/v1/auth/signup."""

from __future__ import annotations

import pytest
from flask import Flask
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from blobstore.core import accounts, tickets
from blobstore.core.store import Store
from tests.api.wire import problem
from tests.conftest import PASSWORD, signed_in

SIGNUP, VERIFY = "/api/v1/auth/signup", "/api/v1/auth/email/verify"
ANN = {"name": "Ann", "email": "Ann@Files.Example", "password": PASSWORD}
BY_MAIL = {"SMTP_HOST": "127.0.0.1", "MAIL_FROM": "files@files.example", "BASE_URL": "http://localhost"}


@pytest.fixture
def given(request: pytest.FixtureRequest) -> dict[str, str]:
    """Anybody may sign up; a test's parameter adds settings."""
    return {"BLOBSTORE_REGISTRATION": "open", **getattr(request, "param", {})}


def sign_up(client: FlaskClient, **changed: object) -> TestResponse:
    return client.post(SIGNUP, json={**ANN, **changed})


def test_a_person_signs_up_and_uploads(anybody: FlaskClient, app: Flask) -> None:
    """An open service would need an admin for every user."""
    answer = sign_up(anybody)
    assert answer.status_code == 201
    assert answer.get_json() == {"name": "ann", "email": "ann@files.example", "verified": False}
    assert answer.headers["Cache-Control"] == "no-store"
    ann = signed_in(app, "ann")
    assert ann.post("/upload", data=b"x").status_code == 201
    me = ann.get("/api/v1/me").get_json()
    assert (me["role"], me["verified"], me["scopes"]) == ("user", False, ["delete", "read", "write"])


@pytest.mark.parametrize("given", [BY_MAIL], indirect=True)
def test_with_mail_the_address_comes_first(anybody: FlaskClient, app: Flask, store: Store) -> None:
    """Anybody could sign up with the address of another; or could not tell why he is refused."""
    answer = sign_up(anybody)
    assert (answer.status_code, answer.get_json()["verified"]) == (202, False)
    ann = signed_in(app, "ann")
    problem(ann.get("/api/v1/me"), 403, "email_unverified")
    login = {"username": "ann", "password": PASSWORD}
    problem(anybody.post("/api/v1/auth/login", json=login), 403, "email_unverified")
    problem(signed_in(app, "ann", "wrong-password").get("/api/v1/me"), 401, "invalid_credentials")
    ticket, _ = tickets.issue(store, "ann", tickets.Purpose.EMAIL)
    verified = anybody.post(VERIFY, json={"ticket": ticket})
    assert (verified.status_code, verified.data) == (204, b"")
    assert ann.get("/api/v1/me").get_json()["verified"] is True
    assert anybody.post("/api/v1/auth/login", json=login).status_code == 200
    problem(anybody.post(VERIFY, json={"ticket": ticket}), 403, "bad_signature")


@pytest.mark.parametrize("given", [BY_MAIL], indirect=True)
def test_the_answer_tells_nothing_of_an_address(anybody: FlaskClient, store: Store) -> None:
    """A stranger could find out who has an account here."""
    accounts.add(store, "ben", PASSWORD, email="ben@files.example")
    answers = []
    for name, email in (("one", "ben@files.example"), ("two", "new@files.example")):
        answer = anybody.post(
            SIGNUP, json={"name": name, "email": email, "password": PASSWORD}, headers={"X-Request-ID": "same"}
        )
        shown = answer.get_json()
        assert (shown.pop("name"), shown.pop("email")) == (name, email)
        answers.append((answer.status_code, dict(answer.headers), shown))
    assert answers[0] == answers[1]


@pytest.mark.parametrize(
    ("changed", "status", "code"),
    [
        ({"is_admin": True}, 422, "unknown_field"),
        ({"role": "admin"}, 422, "unknown_field"),
        ({"quota": 1}, 422, "unknown_field"),
        ({"id": 1}, 422, "unknown_field"),
        ({"used_bytes": 0}, 422, "unknown_field"),
        ({"verified": True}, 422, "unknown_field"),
        ({"admitted": True}, 422, "unknown_field"),
        ({"name": "Admin"}, 422, "bad_user_name"),
        ({"name": "admin"}, 422, "bad_user_name"),
        ({"name": "a/b"}, 422, "bad_user_name"),
        ({"name": "f" * 64}, 422, "bad_user_name"),
        ({"name": "upload"}, 422, "bad_user_name"),
        ({"name": "\uff41nn"}, 422, "bad_user_name"),
        ({"name": ""}, 422, "bad_user_name"),
        ({"name": "BEN"}, 409, "already_exists"),
        ({"email": "Ben@Files.Example"}, 409, "already_exists"),
        ({"email": "nowhere"}, 400, "bad_option"),
        ({"email": "a@b.example\r\nBcc: c@d.example"}, 400, "bad_option"),
        ({"email": None}, 400, "bad_option"),
        ({"password": "short"}, 400, "bad_option"),
        ({"password": 12345678}, 400, "bad_option"),
        ({"name": "a\0"}, 400, "bad_text"),
    ],
    ids=str,
)
def test_what_is_no_signup_is_refused(
    anybody: FlaskClient, store: Store, changed: dict[str, object], status: int, code: str
) -> None:
    """Somebody would make himself an admin, or take a name that is not his (cases 76 and 81)."""
    accounts.add(store, "ben", PASSWORD, email="ben@files.example")
    problem(sign_up(anybody, **changed), status, code)
    assert [account.name for account in accounts.accounts(store)] == ["ben"]


@pytest.mark.parametrize("given", [{"BLOBSTORE_REGISTRATION": "closed"}], indirect=True)
def test_a_closed_service_says_so(anybody: FlaskClient) -> None:
    """A person would try other names and passwords."""
    problem(sign_up(anybody), 403, "registration_closed")


@pytest.mark.parametrize(
    "given",
    [{"BLOBSTORE_REGISTRATION": "allowlist", "BLOBSTORE_REGISTRATION_ALLOWLIST": "@Files.Example"}],
    indirect=True,
)
def test_the_list_is_read(anybody: FlaskClient) -> None:
    """A service for one team would be open to all; or to nobody, for an upper-case letter."""
    problem(sign_up(anybody, email="ann@elsewhere.example"), 403, "email_not_allowed")
    assert sign_up(anybody).status_code == 202


@pytest.mark.parametrize("given", [{"BLOBSTORE_SIGNUPS": "2"}], indirect=True)
def test_signups_are_limited(anybody: FlaskClient) -> None:
    """A program could make accounts, or try names, without end."""
    statuses = [sign_up(anybody, name=f"a{number}", email=f"a{number}@b.example").status_code for number in range(2)]
    assert statuses == [201, 201]
    refused = sign_up(anybody)
    found = problem(refused, 429, "too_many_attempts")
    assert refused.headers["Retry-After"] == str(found["retry_after_seconds"])
    assert "too many signups" in found["detail"]
    elsewhere = anybody.post(SIGNUP, json=ANN, environ_overrides={"REMOTE_ADDR": "192.0.2.7"})
    assert elsewhere.status_code == 201
