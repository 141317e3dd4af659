"""Requests a minute over HTTP: refused before the body, and told in every answer that was counted."""

from __future__ import annotations

from typing import Any

import http_sf
import pytest
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from blobstore.core.accounts import Account
from blobstore.core.keys import make
from blobstore.core.store import Store
from tests.api.test_auth import basic, bearer, key_of
from tests.api.wire import problem, stored, unread
from tests.children import query
from tests.conftest import PASSWORD

USER, ADDRESS = 6, 4


@pytest.fixture
def given() -> dict[str, str]:
    return {
        "BLOBSTORE_REQUESTS_PER_MINUTE": str(USER),
        "BLOBSTORE_REQUESTS_PER_MINUTE_PER_ADDRESS": str(ADDRESS),
        "BLOBSTORE_CORS_ORIGINS": "https://app.example",
    }


def left(answer: TestResponse) -> tuple[str, int]:
    """(policy, what is left) of an answer that was counted, after its fields were read by RFC 9651."""
    [(policy, limit)] = http_sf.parse(answer.headers["RateLimit-Policy"].encode(), tltype="list")
    [(same, rest)] = http_sf.parse(answer.headers["RateLimit"].encode(), tltype="list")
    assert limit == {"q": {"user": USER, "address": ADDRESS}[policy], "w": 60}
    assert set(rest) == {"r", "t"}
    assert same == policy
    assert 0 < rest["t"] <= 60
    return policy, rest["r"]


def test_the_fields_say_what_is_left(client: FlaskClient, anybody: FlaskClient) -> None:
    """A client could not slow down before it is refused, or would not know for how long it is."""
    file = stored(client)
    link = f"/{file['sha256']}"
    assert left(client.get("/api/v1/me")) == ("user", 4)
    assert left(client.get("/api/v1/files/none")) == ("user", 3)
    assert left(client.delete("/api/v1/keys/none")) == ("user", 2)
    assert left(anybody.get(link)) == ("address", 3)
    assert left(anybody.head(link)) == ("address", 2)
    assert left(anybody.get(link, headers={"Range": "bytes=0-1"})) == ("address", 1)
    assert left(anybody.get(link, headers={"If-None-Match": f'"{file["sha256"]}"'})) == ("address", 0)
    refused = anybody.get(link)
    found = problem(refused, 429, "too_many_requests")
    assert left(refused) == ("address", 0)
    [(_, rest)] = http_sf.parse(refused.headers["RateLimit"].encode(), tltype="list")
    assert refused.headers["Retry-After"] == str(found["retry_after_seconds"]) == str(rest["t"])
    assert client.get(link).status_code == 200


def test_refused_before_the_body_is_read(client: FlaskClient) -> None:
    """Who is over the limit would still fill the line."""
    for _ in range(USER):
        client.get("/api/v1/me/quota")
    for method, path in (("PUT", "/upload/x"), ("POST", "/upload"), ("PATCH", "/api/v1/files/x")):
        answer = client.open(path, method=method, **unread(1 << 30))
        assert left(answer) == ("user", 0)
        problem(answer, 429, "too_many_requests")


def test_all_credentials_of_a_user_are_his(
    client: FlaskClient, anybody: FlaskClient, store: Store, user: Account
) -> None:
    """With ten keys, or from ten addresses, a user would have ten times the limit."""
    key = key_of(store, user)
    elsewhere: dict[str, Any] = {"REMOTE_ADDR": "192.0.2.7"}
    remaining = [
        left(client.get("/api/v1/me")),
        left(anybody.get("/api/v1/me", headers=bearer(key))),
        left(anybody.get("/api/v1/me", headers=basic("me", key_of(store, user)))),
        left(anybody.get("/api/v1/me", headers=bearer(key), environ_overrides=elsewhere)),
    ]
    assert remaining == [("user", 5), ("user", 4), ("user", 3), ("user", 2)]


def test_who_is_not_verified_is_nobody(anybody: FlaskClient, user: Account, store: Store) -> None:
    """Made-up credentials would be a way around the limit; or somebody else's name a way to use up his."""
    wrong = [bearer(make()), bearer("x"), basic("me", "wrong"), {"Authorization": "Digest x"}]
    assert [left(anybody.get("/api/v1/me", headers=header))[1] for header in wrong] == [3, 2, 1, 0]
    problem(anybody.get("/api/v1/me", headers=bearer(make())), 429, "too_many_requests")
    problem(anybody.get("/" + "0" * 64), 429, "too_many_requests")
    problem(anybody.post("/api/v1/auth/login", json={"username": "me", "password": PASSWORD}), 429, "too_many_requests")
    assert left(anybody.get("/api/v1/me", headers=basic("me", PASSWORD))) == ("user", 5)


def test_an_ipv6_network_is_one_address(anybody: FlaskClient) -> None:
    """Whoever has an IPv6 network would have 2^64 times the limit."""

    def ask(address: str) -> int:
        return anybody.get("/" + "0" * 64, environ_overrides={"REMOTE_ADDR": address}).status_code

    assert [ask(f"2001:db8::{number:x}") for number in range(5)] == [404] * 4 + [429]
    assert ask("2001:db8:0:1::1") == 404


def test_what_costs_nothing_is_not_counted(anybody: FlaskClient) -> None:
    """A balancer that asks for the health would be refused, and take the service out."""
    for _ in range(3 * ADDRESS):
        for path in ("/health", "/health/ready", "/docs", "/openapi.json", "/nowhere"):
            answer = anybody.get(path)
            assert answer.status_code != 429
            assert "RateLimit" not in answer.headers
        assert anybody.options("/upload").status_code == 200
    assert left(anybody.get("/" + "0" * 64)) == ("address", ADDRESS - 1)


def test_a_page_of_an_admitted_origin_reads_the_fields(client: FlaskClient) -> None:
    """The page could not see why it is refused."""
    answer = client.get("/api/v1/me", headers={"Origin": "https://app.example"})
    exposed = answer.headers["Access-Control-Expose-Headers"].split(", ")
    assert {"RateLimit", "RateLimit-Policy", "Retry-After"} <= set(exposed)


def test_logins_close_and_downloads_stay_open(client: FlaskClient, anybody: FlaskClient, database_url: str) -> None:
    """Without its limits the service would serve nothing; or let passwords be guessed."""
    file = stored(client)
    query(database_url, "ALTER TABLE rate_limits RENAME TO gone")
    try:
        for _ in range(2 * ADDRESS):
            answer = anybody.get(f"/{file['sha256']}")
            assert (answer.status_code, "RateLimit" in answer.headers) == (200, False)
        problem(anybody.get("/api/v1/me", headers=basic("me", "wrong")), 503, "database_unavailable")
        login = anybody.post("/api/v1/auth/login", json={"username": "me", "password": "wrong"})
        problem(login, 503, "database_unavailable")
        assert client.get("/api/v1/me").status_code == 200, "a password that is remembered"
    finally:
        query(database_url, "ALTER TABLE gone RENAME TO rate_limits")
