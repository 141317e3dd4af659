"""Who is let in: Basic and Bearer on every route, scopes, the limit of failures, and what is remembered."""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Iterator
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient

from blobstore.core import accounts, admin, new_password, passwords
from blobstore.core.accounts import Account
from blobstore.core.gate import ALL_SCOPES, Scope
from blobstore.core.keys import issue, make
from blobstore.core.store import Store
from tests.api.wire import problem, stored
from tests.conftest import NEW_PASSWORD, PASSWORD, signed_in

OPEN = {"docs", "health", "metrics", "pages"}
"""Blueprints that never ask who is there; `metrics` has a token of its own."""
LOGGED_OUT = {
    ("POST", "/api/v1/auth/login"),
    ("POST", "/api/v1/auth/signup"),
    ("POST", "/api/v1/auth/email/verify"),
    ("POST", "/api/v1/auth/email/resend"),
    ("POST", "/api/v1/auth/password/reset"),
    ("POST", "/api/v1/auth/password/reset/confirm"),
}
"""Routes that bring a proof of their own in the body."""
READERS = {("GET", "/<digest:digest>"), ("GET", "/s/<id:file_id>"), ("GET", "/api/v1/files/<id:file_id>/download")}
"""Routes that need no login."""
SCOPES = {
    ("HEAD", "/upload"): "write",
    ("POST", "/upload"): "write",
    ("PUT", "/upload"): "write",
    ("PUT", "/upload/"): "write",
    ("PUT", "/upload/<rest:path>"): "write",
    ("PUT", "/<digest:digest>"): "write",
    ("DELETE", "/<digest:digest>"): "delete",
    ("GET", "/api/v1/files"): "read",
    ("GET", "/api/v1/files/<id:file_id>"): "read",
    ("PATCH", "/api/v1/files/<id:file_id>"): "write",
    ("DELETE", "/api/v1/files/<id:file_id>"): "delete",
    ("GET", "/api/v1/keys"): "read",
    ("POST", "/api/v1/keys"): "write",
    ("DELETE", "/api/v1/keys/<id:key_id>"): "write",
    ("POST", "/api/v1/keys/<id:key_id>/rotate"): "write",
    ("GET", "/api/v1/me"): "read",
    ("GET", "/api/v1/me/quota"): "read",
    ("PATCH", "/api/v1/me"): "write",
    ("DELETE", "/api/v1/me"): "delete",
    ("POST", "/api/v1/auth/password"): "write",
    ("POST", "/api/v1/auth/logout"): "read",
    ("GET", "/api/v1/auth/sessions"): "read",
    ("DELETE", "/api/v1/auth/sessions/<id:session_id>"): "read",
    ("GET", "/api/v1/admin/users"): "admin",
    ("POST", "/api/v1/admin/users"): "admin",
    ("GET", "/api/v1/admin/users/<user:name>"): "admin",
    ("PATCH", "/api/v1/admin/users/<user:name>"): "admin",
    ("DELETE", "/api/v1/admin/users/<user:name>"): "admin",
    ("POST", "/api/v1/admin/users/<user:name>/ticket"): "admin",
    ("GET", "/api/v1/me/activity"): "read",
    ("GET", "/api/v1/admin/files"): "admin",
    ("GET", "/api/v1/admin/stats"): "admin",
    ("GET", "/api/v1/admin/events"): "admin",
    ("GET", "/api/v1/admin/bans"): "admin",
    ("POST", "/api/v1/admin/bans"): "admin",
    ("DELETE", "/api/v1/admin/bans/<digest:banned>"): "admin",
}
"""The scope that each of the others needs."""
NOT_BY_KEY = {
    ("GET", "/api/v1/auth/sessions"),
    ("GET", "/api/v1/me/activity"),
    ("DELETE", "/api/v1/auth/sessions/<id:session_id>"),
    ("DELETE", "/api/v1/keys/<id:key_id>"),
    ("POST", "/api/v1/keys/<id:key_id>/rotate"),
}
"""Those that an API key may not ask, whatever its scopes."""
FILLED = {"digest": "0" * 64, "banned": "0" * 64, "_ext": "png"}
"""What stands in a path for these; anything else is a name or an id that there is not."""


def basic(name: str, password: str) -> dict[str, str]:
    """The header of RFC 7617."""
    return {"Authorization": "Basic " + b64encode(f"{name}:{password}".encode()).decode()}


def bearer(token: str) -> dict[str, str]:
    """The header of RFC 6750."""
    return {"Authorization": f"Bearer {token}"}


def routes(app: Flask) -> Iterator[tuple[str, str, str]]:
    """(method, rule, a path that it matches) of every route that asks who is there."""
    for rule in app.url_map.iter_rules():
        if rule.endpoint.partition(".")[0] not in OPEN:
            path = re.sub(r"<(?:\w+:)?(\w+)>", lambda part: FILLED.get(part[1], "abcdefgh"), rule.rule)
            own = (rule.methods or set()) - {"OPTIONS"} - ({"HEAD"} if "GET" in (rule.methods or ()) else set())
            for method in sorted(own):
                yield method, rule.rule, path


def key_of(store: Store, user: Account, *scopes: Scope) -> str:
    """A new API key with these scopes, or all."""
    return issue(store, user.id, "test", scopes or ALL_SCOPES)[1]


@pytest.fixture
def runs(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The passwords that argon2 ran for, one entry a run."""
    counted: list[str] = []
    verify = passwords._verify

    def counting(password_hash: str, password: str) -> bool:
        counted.append(password)
        return verify(password_hash, password)

    monkeypatch.setattr(passwords, "_verify", counting)
    return counted


def test_every_route_asks_for_credentials(app: Flask, anybody: FlaskClient, user: Account, store: Store) -> None:
    """A route would work without a login, without its scope, or not with one of the ways to log in."""
    admin.change(store, "me", {"role": "admin"})
    full = key_of(store, user)
    asked = set()
    for method, rule, path in routes(app):
        asked.add((method, rule))
        if (method, rule) in LOGGED_OUT:
            assert anybody.open(path, method=method, json={}).status_code == 400, rule
            continue
        if ("GET", rule.partition(".")[0].removesuffix("/<name>")) in READERS and method == "GET":
            assert anybody.get(path).status_code == 404
            continue
        scope = SCOPES[method, rule]
        assert anybody.open(path, method=method).status_code == 401, rule
        by_key = [] if (method, rule) in NOT_BY_KEY else [basic("ME", full), bearer(full)]
        for header in (basic("me", PASSWORD), *by_key):
            assert anybody.open(path, method=method, headers=header).status_code not in (401, 403), rule
        lacking = key_of(store, user, *(ALL_SCOPES - {Scope(scope)}))
        for header in (basic("me", lacking), bearer(lacking)):
            answer = anybody.open(path, method=method, headers=header)
            assert answer.status_code == 403, rule
            if method != "HEAD":
                assert problem(answer, 403, "insufficient_scope")["scope"] == scope
    assert set(SCOPES) <= asked


def test_wrong_credentials_are_refused_everywhere(
    app: Flask, anybody: FlaskClient, store: Store, user: Account
) -> None:
    """A client with a mistyped password would be served as a stranger, and believe that it is logged in."""
    public = stored(signed_in(app, "me"))
    paths = [*((method, path) for method, _, path in routes(app)), ("GET", "/" + public["sha256"])]
    for method, path in paths:
        answer = anybody.open(path, method=method, headers=bearer(make()))
        assert answer.status_code == 401, path
        assert answer.headers.getlist("WWW-Authenticate") == [
            'Bearer realm="blobstore"',
            'Basic realm="blobstore", charset="UTF-8"',
        ]
    link = "/" + public["sha256"]
    for mode, schemes in (("cors", 1), ("same-origin", 1), ("navigate", 2)):
        answer = anybody.get(link, headers={**bearer("x"), "Sec-Fetch-Mode": mode})
        assert len(answer.headers.getlist("WWW-Authenticate")) == schemes
    assert anybody.get(f"{link}?key={key_of(store, user)}").status_code == 200
    problem(anybody.get(f"/api/v1/me?key={key_of(store, user)}"), 401, "invalid_credentials")


def test_malformed_credentials(anybody: FlaskClient, user: Account, store: Store, runs: list[str]) -> None:
    """Rubbish in the header would be an error of ours, or cost a run of argon2 (cases 65 to 69)."""
    good, theirs = key_of(store, user), accounts.add(store, "other", PASSWORD)
    for header in (
        "",
        "Basic",
        "Basic ",
        "Basic !!!",
        "Basic " + b64encode(b"nocolon").decode(),
        "Basic " + b64encode(b":").decode(),
        "Basic " + b64encode(b"me:").decode(),
        "Basic " + b64encode(b"\xff:\xff").decode(),
        "Basic " + b64encode(f"me\0x:{PASSWORD}".encode()).decode(),
        "Basic " + b64encode(b"me\x00x:" + good.encode()).decode(),
        "Basic " + b64encode(b"me:" + b"x" * 1025).decode(),
        "Basic " + b64encode(f"{'x' * 255}:{PASSWORD}".encode()).decode(),
        "Basic " + b64encode(b"other:" + good.encode()).decode(),
        "Basic " + b64encode(b"nobody:" + good.encode()).decode(),
        "Bearer",
        "Bearer a b",
        "Bearer " + "x" * 8000,
        "Bearer " + good[:-1] + ("0" if good[-1] != "0" else "1"),
        "Bearer bs_" + good,
        "Bearer " + PASSWORD,
        "Digest username=me",
        "Negotiate x",
        "\xe9",
    ):
        problem(anybody.get("/api/v1/me", headers={"Authorization": header}), 401, "invalid_credentials")
    assert runs == []
    assert key_of(store, theirs) != good


def test_names_and_passwords_are_read_exactly(app: Flask, store: Store, anybody: FlaskClient) -> None:
    """A password with a colon or an umlaut would not be let in; or an e-mail, or a key with an e-mail."""
    password = " pä:ss:wörd "
    account = accounts.add(store, "mail", password, email="Me@Example.org")
    key = key_of(store, account)
    for name, secret in (("MAIL", password), ("me@example.org", password), ("ME@example.ORG", password)):
        assert anybody.get("/api/v1/me", headers=basic(name, secret)).status_code == 200
    for name in ("mail", "me@example.org", "Me@Example.org"):
        assert anybody.get("/api/v1/me", headers=basic(name, key)).get_json()["name"] == "mail"
    for wrong in (password.strip(), password.replace("ä", "a\u0308"), password + "x"):
        problem(anybody.get("/api/v1/me", headers=basic("mail", wrong)), 401, "invalid_credentials")


def test_unknown_names_look_like_wrong_passwords(
    app: Flask, anybody: FlaskClient, user: Account, store: Store, runs: list[str]
) -> None:
    """Anybody could find out who has an account here, by the answer or by the time it takes."""
    accounts.add(store, "gone", PASSWORD)
    admin.set_disabled(store, "gone", disabled=True)
    answers = []
    for name, password in (("nobody", "wrong"), ("me", "wrong"), ("nobody2", "wrong"), ("gone", PASSWORD)):
        answer = anybody.get("/api/v1/me", headers={**basic(name, password), "X-Request-ID": "same"})
        answers.append((answer.status_code, dict(answer.headers), answer.data))
    assert answers[0] == answers[1] == answers[2] == answers[3]
    assert len(runs) == 4


def test_argon2_runs_once(anybody: FlaskClient, user: Account, store: Store, runs: list[str]) -> None:
    """Every request would cost 20 ms of a core; or a change of password would count only when the memory fades."""
    for _ in range(5):
        assert anybody.get("/api/v1/me", headers=basic("me", PASSWORD)).status_code == 200
        assert anybody.get("/api/v1/me", headers=basic("me", "wrong")).status_code == 401
    assert sorted(runs) == sorted([PASSWORD, "wrong"])
    new_password.set_password(store, "me", NEW_PASSWORD)
    assert anybody.get("/api/v1/me", headers=basic("me", PASSWORD)).status_code == 401
    assert anybody.get("/api/v1/me", headers=basic("me", NEW_PASSWORD)).status_code == 200
    admin.set_disabled(store, "me", disabled=True)
    assert anybody.get("/api/v1/me", headers=basic("me", NEW_PASSWORD)).status_code == 401
    admin.set_disabled(store, "me", disabled=False)
    assert anybody.get("/api/v1/me", headers=basic("me", NEW_PASSWORD)).status_code == 200
    assert runs[2:] == [PASSWORD, NEW_PASSWORD, NEW_PASSWORD]


def test_the_limit_of_failures(anybody: FlaskClient, user: Account, store: Store, runs: list[str]) -> None:
    """A password could be guessed; or whoever guesses would lock its owner out (case 75)."""
    accounts.add(store, "other", PASSWORD)
    assert anybody.get("/api/v1/me", headers=basic("me", PASSWORD)).status_code == 200
    for number in range(10):
        problem(anybody.get("/api/v1/me", headers=basic("me", f"wrong{number}")), 401, "invalid_credentials")
    assert len(runs) == 11
    for password in ("wrong0", "wrong11"):
        refused = anybody.get("/api/v1/me", headers=basic("me", password))
        found = problem(refused, 429, "too_many_attempts")
        assert refused.headers["Retry-After"] == str(found["retry_after_seconds"])
        assert 0 < found["retry_after_seconds"] <= 301
    assert len(runs) == 11
    assert anybody.get("/api/v1/me", headers=basic("me", PASSWORD)).status_code == 200
    assert anybody.get("/api/v1/me", headers=basic("other", PASSWORD)).status_code == 200
    new_password.set_password(store, "me", NEW_PASSWORD)
    elsewhere = {"REMOTE_ADDR": "192.0.2.7"}
    new = basic("me", NEW_PASSWORD)
    problem(anybody.get("/api/v1/me", headers=new), 429, "too_many_attempts")
    problem(anybody.get("/api/v1/me", headers={**new, "X-Forwarded-For": "192.0.2.7"}), 429, "too_many_attempts")
    assert anybody.get("/api/v1/me", headers=new, environ_overrides=elsewhere).status_code == 200
    assert anybody.get("/api/v1/me", headers=bearer(key_of(store, user))).status_code == 200


def test_an_ipv6_network_is_one_address(anybody: FlaskClient, user: Account) -> None:
    """Whoever has an IPv6 network would have 2^64 times ten guesses."""
    for number in range(11):
        where: dict[str, Any] = {"REMOTE_ADDR": f"2001:db8::{number:x}"}
        answer = anybody.get("/api/v1/me", headers=basic("me", f"wrong{number}"), environ_overrides=where)
    problem(answer, 429, "too_many_attempts")
    where = {"REMOTE_ADDR": "2001:db8:0:1::1"}
    assert anybody.get("/api/v1/me", headers=basic("me", "x"), environ_overrides=where).status_code == 401


def test_a_key_ends_when_it_says(anybody: FlaskClient, user: Account, store: Store) -> None:
    """A key would work on after its expiry, or after its owner was disabled."""
    stored_key, key = issue(store, user.id, "short", [Scope.READ])
    assert anybody.get("/api/v1/me", headers=bearer(key)).get_json()["scopes"] == ["read"]
    admin.set_disabled(store, "me", disabled=True)
    problem(anybody.get("/api/v1/me", headers=bearer(key)), 401, "invalid_credentials")
    admin.set_disabled(store, "me", disabled=False)
    with store.database.transaction() as session:
        session.connection().exec_driver_sql("UPDATE api_keys SET expires_at = clock_timestamp()")
    problem(anybody.get("/api/v1/me", headers=bearer(key)), 401, "invalid_credentials")
    assert len(stored_key.last_four) == 4


def test_a_key_without_read_reads_what_anybody_may(
    app: Flask, client: FlaskClient, anybody: FlaskClient, user: Account, store: Store
) -> None:
    """A key meant for sending files only would read its owner's private ones."""
    public = stored(client, b"public")
    private = stored(client, b"private", visibility="private")
    key = bearer(key_of(store, user, Scope.WRITE))
    assert anybody.get("/" + public["sha256"], headers=key).data == b"public"
    assert anybody.get("/" + private["sha256"], headers=key).status_code in (403, 404)
    for path in (f"/s/{private['id']}", f"/api/v1/files/{private['id']}/download"):
        problem(anybody.get(path, headers=key), 403, "insufficient_scope")
