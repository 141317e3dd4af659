"""Tickets by mail: asking for one, redeeming it, and the pages in between."""

from __future__ import annotations

import re

import pytest
from flask import Flask
from flask.testing import FlaskClient

from blobstore.core import accounts, tickets
from blobstore.core.accounts import Account
from blobstore.core.store import Store
from tests.api.test_auth import basic
from tests.api.test_signup import BY_MAIL
from tests.api.wire import problem
from tests.conftest import NEW_PASSWORD, PASSWORD, signed_in
from tests.core.acts import ask

AUTH = "/api/v1/auth"
RESET, CONFIRM, RESEND, VERIFY = (
    f"{AUTH}/{path}" for path in ("password/reset", "password/reset/confirm", "email/resend", "email/verify")
)


@pytest.fixture
def given(request: pytest.FixtureRequest) -> dict[str, str]:
    """Mail is sent, unless the test's parameter says otherwise."""
    return getattr(request, "param", BY_MAIL)


@pytest.mark.parametrize("path", [RESET, RESEND])
@pytest.mark.usefixtures("user")
def test_asking_tells_nothing(anybody: FlaskClient, store: Store, path: str) -> None:
    """A stranger could find out who has an account here."""
    accounts.add(store, "ben", PASSWORD, email="ben@files.example")
    answers = []
    for who in ("me", "ben", "BEN@files.example", "nobody", "nobody@files.example", "\u00fc", "x" * 254):
        answer = anybody.post(path, json={"username": who}, headers={"X-Request-ID": "same"})
        answers.append((answer.status_code, dict(answer.headers), answer.data))
    assert answers[0][0] == 202
    assert all(answer == answers[0] for answer in answers)
    assert len(ask(store, "SELECT who FROM mails")) == 7


@pytest.mark.parametrize("path", [RESET, RESEND])
@pytest.mark.parametrize(
    ("sent", "status", "code"),
    [
        ({}, 400, "bad_option"),
        ({"username": ""}, 400, "bad_option"),
        ({"username": "x" * 255}, 400, "bad_option"),
        ({"username": ["me"]}, 400, "bad_option"),
        ({"username": "me\0"}, 400, "bad_text"),
        ({"username": "me", "email": "me@files.example"}, 422, "unknown_field"),
    ],
    ids=str,
)
def test_what_is_no_question_is_refused(
    anybody: FlaskClient, path: str, sent: dict[str, object], status: int, code: str
) -> None:
    """Somebody would choose where the link to another's account goes."""
    problem(anybody.post(path, json=sent), status, code)


@pytest.mark.parametrize("given", [{}], indirect=True)
@pytest.mark.parametrize("path", [RESET, RESEND])
def test_without_mail_one_is_told_whom_to_ask(anybody: FlaskClient, path: str) -> None:
    """A person would wait for a mail that nobody sends."""
    assert "admin" in problem(anybody.post(path, json={"username": "me"}), 403, "mail_disabled")["detail"]


@pytest.mark.parametrize("given", [{**BY_MAIL, "BLOBSTORE_MAILS": "3"}], indirect=True)
def test_asking_is_limited(anybody: FlaskClient) -> None:
    """A program could have us send mail without end, or fill the database with questions."""
    statuses = [
        anybody.post(path, json={"username": f"a{n}"}).status_code for n, path in enumerate([RESET, RESEND] * 2)
    ]
    assert statuses == [202, 202, 202, 429]
    refused = anybody.post(RESET, json={"username": "me"})
    assert problem(refused, 429, "too_many_attempts")["retry_after_seconds"] == int(refused.headers["Retry-After"])


def test_a_reset_ends_every_login(client: FlaskClient, anybody: FlaskClient, store: Store, app: Flask) -> None:
    """Whoever stole the password would stay in after its owner has set a new one."""
    login = {"username": "me", "password": PASSWORD}
    token = anybody.post(f"{AUTH}/login", json=login).get_json()["access_token"]
    reset = anybody.post(CONFIRM, json={"ticket": tickets.issue(store, "me")[0], "new": NEW_PASSWORD})
    assert (reset.status_code, reset.data) == (204, b"")
    problem(client.get("/api/v1/me"), 401, "invalid_credentials")
    problem(anybody.get("/api/v1/me", headers={"Authorization": f"Bearer {token}"}), 401, "invalid_credentials")
    assert signed_in(app, "me", NEW_PASSWORD).get("/api/v1/me").status_code == 200


@pytest.mark.parametrize("ticket", ["", "1", "1.2.3", "0.9999999999." + "A" * 43, "\u00e9", "1." * 500], ids=ascii)
def test_what_is_no_ticket_proves_nothing(anybody: FlaskClient, ticket: str) -> None:
    """A guess would be a 500, or prove an address."""
    problem(anybody.post(VERIFY, json={"ticket": ticket}), 403, "bad_signature")


def test_an_admin_hands_out_both_kinds(app: Flask, anybody: FlaskClient, store: Store, client: FlaskClient) -> None:
    """Without mail nobody could verify an address; or the link would lead elsewhere than to this service."""
    accounts.add(store, "chief", PASSWORD, admin=True)
    chief, users = signed_in(app, "chief"), "/api/v1/admin/users"
    problem(chief.post(f"{users}/me/ticket?for=email"), 400, "bad_option")
    problem(chief.post(f"{users}/me/ticket?for=fun"), 400, "bad_option")
    problem(chief.post(f"{users}/me/ticket?to=email"), 400, "bad_option")
    changed = client.patch("/api/v1/me", json={"email": "me@files.example", "password": PASSWORD})
    assert (changed.status_code, changed.get_json()["verified"]) == (200, False)
    shown = chief.get(f"{users}/me").get_json()
    assert (shown["email"], shown["verified"], shown["admitted"]) == ("me@files.example", False, True)
    made = chief.post(f"{users}/me/ticket?for=email").get_json()
    assert made["url"] == f"http://localhost/auth/email#ticket={made['ticket']}"
    assert anybody.post(VERIFY, json={"ticket": made["ticket"]}).status_code == 204
    assert chief.get(f"{users}/me").get_json()["verified"] is True
    made = chief.post(f"{users}/me/ticket").get_json()
    assert made["url"] == f"http://localhost/auth/password#ticket={made['ticket']}"


def test_an_email_is_changed_with_the_password(client: FlaskClient, anybody: FlaskClient, user: Account) -> None:
    """A stolen key or token would be enough to take the account away, by a reset to another mailbox."""
    wanted = {"email": "Me@Files.Example", "password": PASSWORD}
    key = client.post("/api/v1/keys", json={"name": "k", "scopes": ["read", "write"]}).get_json()["key"]
    for password in ("wrong-password", key, ""):
        sent = {**wanted, "password": password}
        problem(anybody.patch("/api/v1/me", json=sent, headers=basic("me", key)), 401, "invalid_credentials")
    for sent, status, code in (
        ({"email": "me@files.example"}, 400, "bad_option"),
        ({**wanted, "email": None}, 400, "bad_option"),
        ({**wanted, "email": "nowhere"}, 400, "bad_option"),
        ({**wanted, "name": "you"}, 422, "unknown_field"),
        ({**wanted, "verified": True}, 422, "unknown_field"),
    ):
        problem(client.patch("/api/v1/me", json=sent), status, code)
    assert client.get("/api/v1/me").get_json()["email"] is None
    changed = client.patch("/api/v1/me", json=wanted)
    assert (changed.status_code, changed.get_json()["email"]) == (200, "me@files.example")


@pytest.mark.parametrize("path", ["/auth/email", "/auth/password"])
def test_a_page_keeps_the_ticket_to_itself(anybody: FlaskClient, path: str) -> None:
    """A ticket would be used by whatever fetches the links in a mail, or be told to another host."""
    page = anybody.get(path)
    assert (page.status_code, page.mimetype) == (200, "text/html")
    assert page.headers["Content-Security-Policy"].startswith(
        "default-src 'none'; script-src 'self'; connect-src 'self'"
    )
    assert "frame-ancestors 'none'" in page.headers["Content-Security-Policy"]
    assert (page.headers["Referrer-Policy"], page.headers["Cache-Control"]) == ("no-referrer", "no-store")
    assert re.findall(r'(?:src|href|action)="([^"]+)"', page.text)[0] == "/auth/ticket.js"
    assert re.findall(r"<script(?! src=)|\son\w+=", page.text) == []
    script = anybody.get("/auth/ticket.js")
    assert (script.status_code, script.mimetype) == (200, "text/javascript")
    script.close()
