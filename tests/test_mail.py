"""A whole service that sends mail: several workers, an SMTP server, and a person in between."""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from blobstore.core import accounts
from blobstore.core.store import Store
from tests.children import query, until
from tests.conftest import NEW_PASSWORD, PASSWORD
from tests.live import Service, service
from tests.mailbox import PASSWORD as SMTP_PASSWORD
from tests.mailbox import USER, Mailbox, certificate, mailbox

AUTH = "/api/v1/auth"


@pytest.fixture
def box(tmp_path: Path) -> Iterator[Mailbox]:
    """An SMTP server with STARTTLS, for which one must log in."""
    _, context = certificate(tmp_path)
    with mailbox(tls_context=context, require_starttls=True, auth_required=True) as running:
        yield running


@pytest.fixture
def live(store: Store, database_url: str, tmp_path: Path, box: Mailbox) -> Iterator[Service]:
    """Four workers; anybody may sign up, six times from one address."""
    login = {"SMTP_TLS": "starttls", "SMTP_USER": USER, "SMTP_PASSWORD": SMTP_PASSWORD}
    given = {**box.settings, **login, "SSL_CERT_FILE": tmp_path / "certificate.pem", "LOG_FILE": tmp_path / "log.jsonl"}
    with service(store.settings.data, database_url, workers=4, registration="open", signups=6, **given) as running:
        yield running


def test_a_person_signs_up_and_loses_the_password(live: Service, box: Mailbox, tmp_path: Path) -> None:
    """The mails would not be sent by the workers, or a link not work; or a secret stand in the log."""
    ann = {"name": "ann", "email": "ann@files.example", "password": PASSWORD}
    with live.http() as anybody, live.http("ann") as person:
        assert anybody.post(f"{AUTH}/signup", json=ann).status_code == 202
        assert person.get("/api/v1/me").json()["code"] == "email_unverified"
        box.wait(1)
        first = box.ticket()
        assert anybody.post(f"{AUTH}/email/verify", json={"ticket": first}).status_code == 204
        assert person.get("/api/v1/me").json()["verified"] is True
        assert anybody.post(f"{AUTH}/password/reset", json={"username": "ANN@files.example"}).status_code == 202
        box.wait(2)
        second = box.ticket()
        reset = {"ticket": second, "new": NEW_PASSWORD}
        assert anybody.post(f"{AUTH}/password/reset/confirm", json=reset).status_code == 204
        assert person.get("/api/v1/me").status_code == 401
    with live.http("ann@files.example", NEW_PASSWORD) as person:
        changed = person.patch("/api/v1/me", json={"email": "new@files.example", "password": NEW_PASSWORD})
        assert changed.json()["verified"] is False
    box.wait(4)
    assert sorted(message["To"] for message in box.messages[2:]) == ["ann@files.example", "new@files.example"]
    assert all(box.encrypted)
    text = (tmp_path / "log.jsonl").read_text() + live.log.read_text()
    for secret in (
        first,
        second,
        box.ticket(-1) if "ticket=" in box.text(-1) else box.ticket(-2),
        PASSWORD,
        SMTP_PASSWORD,
    ):
        assert secret not in text


def test_signups_are_limited_over_all_workers(live: Service, database_url: str) -> None:
    """With four workers four times as many accounts could be made."""

    def attempt(number: int) -> int:
        wanted = {"name": f"a{number}", "email": f"a{number}@files.example", "password": PASSWORD}
        with live.http() as anybody:
            return anybody.post(f"{AUTH}/signup", json=wanted).status_code

    with ThreadPoolExecutor(8) as pool:
        statuses = list(pool.map(attempt, range(16)))
    assert (statuses.count(202), statuses.count(429)) == (6, 10)
    assert query(database_url, "SELECT count(*) FROM users") == [(6,)]


def test_of_many_who_want_a_name_one_gets_it(live: Service) -> None:
    """One of two people who choose the same name at once would see an error of ours, or share an account."""

    def attempt(number: int) -> int:
        wanted = {"name": "ann", "email": f"a{number}@files.example", "password": PASSWORD}
        with live.http() as anybody:
            return anybody.post(f"{AUTH}/signup", json=wanted).status_code

    with ThreadPoolExecutor(6) as pool:
        assert sorted(pool.map(attempt, range(6))) == [202, *[409] * 5]


def test_a_mail_server_that_is_away_is_no_error_for_who_asks(
    store: Store, database_url: str, tmp_path: Path, box: Mailbox
) -> None:
    """A person would see an error of ours, and the operator none; or the link be lost."""
    accounts.add(store, "ben", PASSWORD, email="ben@files.example")
    given = {**box.settings, "SMTP_PORT": "1", "LOG_FILE": tmp_path / "log.jsonl"}
    with service(store.settings.data, database_url, **given) as live:
        with live.http() as anybody:
            assert anybody.post(f"{AUTH}/password/reset", json={"username": "ben"}).status_code == 202
        until(lambda: query(database_url, "SELECT attempts FROM mails") == [(1,)])
        until(lambda: "put off" in (tmp_path / "log.jsonl").read_text())
    lines = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    (said,) = [line for line in lines if "put off" in line["event"]]
    assert said["level"] == "warning"
    assert "ConnectionRefusedError" in said["event"]
    assert query(database_url, "SELECT kind, who FROM mails") == [("reset", "ben")]
