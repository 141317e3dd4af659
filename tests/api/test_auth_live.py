"""What every worker of a running service keeps of its promises about credentials."""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from blobstore.core import accounts, admin, new_password
from blobstore.core.gate import ALL_SCOPES
from blobstore.core.keys import issue, revoke
from blobstore.core.store import Store
from tests.api.crowd import Crowd
from tests.conftest import NEW_PASSWORD, PASSWORD
from tests.live import Service, service

WORKERS, EACH = 4, 6
NEWER = f"{NEW_PASSWORD} again"


@pytest.fixture(scope="module")
def live(migrated_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """A service of four workers."""
    with service(tmp_path_factory.mktemp("live"), migrated_url, workers=WORKERS, keepalive_seconds=60) as running:
        yield running


@pytest.fixture
def crowd(live: Service, store: Store) -> Iterator[Crowd]:
    """Open connections at every worker, over an empty database."""
    with ExitStack() as stack:
        yield Crowd(live, stack, WORKERS, EACH)


def basic(name: str, password: str) -> str:
    """The value of RFC 7617."""
    return "Basic " + b64encode(f"{name}:{password}".encode()).decode()


def test_a_changed_password_counts_at_once_everywhere(live: Service, crowd: Crowd, store: Store) -> None:
    """A stolen password would work on at the workers that remember it; or many first connections be refused (I13)."""
    accounts.add(store, "me", PASSWORD)
    assert crowd.ask(basic("me", PASSWORD)) == {200}
    assert crowd.ask(basic("me", PASSWORD)) == {200}
    with live.http("me") as client:
        changed = client.post("/api/v1/auth/password", json={"current": PASSWORD, "new": NEW_PASSWORD})
    assert changed.status_code == 204
    new_password.set_password(store, "me", NEWER)
    assert crowd.ask(basic("me", NEWER)) == {200}
    refused = crowd.ask(basic("me", PASSWORD)) | crowd.ask(basic("me", NEW_PASSWORD))
    assert refused <= {401, 429}
    assert crowd.ask(basic("me", NEWER)) == {200}


def test_a_revoked_key_is_refused_at_once_everywhere(crowd: Crowd, store: Store) -> None:
    """A key that leaked and was revoked would go on working somewhere (I13)."""
    owner = accounts.add(store, "me", PASSWORD)
    stored, key = issue(store, owner.id, "leaked", ALL_SCOPES)
    for authorization in (f"Bearer {key}", basic("me", key)):
        assert crowd.ask(authorization) == {200}
    revoke(store, owner.id, stored.id)
    for authorization in (f"Bearer {key}", basic("me", key)):
        assert crowd.ask(authorization) == {401}


def test_a_disabled_user_is_refused_at_once_everywhere(crowd: Crowd, store: Store) -> None:
    """Who was shut out would stay in as long as a worker remembers him (I13)."""
    owner = accounts.add(store, "me", PASSWORD)
    key = issue(store, owner.id, "kept", ALL_SCOPES)[1]
    for authorization in (f"Bearer {key}", basic("me", PASSWORD)):
        assert crowd.ask(authorization) == {200}
    admin.set_disabled(store, "me", disabled=True)
    assert crowd.ask(f"Bearer {key}") == {401}
    # His password is as good as a wrong one now, and counts as one.
    assert crowd.ask(basic("me", PASSWORD)) <= {401, 429}
    admin.set_disabled(store, "me", disabled=False)
    assert crowd.ask(f"Bearer {key}") == {200}


def test_the_limit_of_failures_is_one_for_all_workers(crowd: Crowd, store: Store) -> None:
    """With four workers a password could be guessed four times as often."""
    accounts.add(store, "me", PASSWORD)
    verdicts = [crowd.ask_one(client, basic("me", f"wrong{n}")) for n, client in enumerate(crowd.connections)]
    assert verdicts == [401] * 10 + [429] * (len(verdicts) - 10)


def test_the_log_is_json_without_secrets(store: Store, tmp_path: Path, database_url: str) -> None:
    """Whoever reads the log would find passwords, keys or signatures in it; or could not tell which request failed."""
    owner = accounts.add(store, "me", PASSWORD + "-of-mine")
    key = issue(store, owner.id, "x", ALL_SCOPES)[1]
    log = tmp_path / "log.jsonl"
    with service(store.settings.data, database_url, LOG_FILE=log) as running:
        with running.http("me", PASSWORD + "-of-mine") as client:
            client.put("/upload/named?tags=secret-tag", content=b"x", headers={"X-Request-ID": "given-by-the-client"})
            client.get("/api/v1/me", headers={"X-Request-ID": "not sane!"})
            client.get("/nowhere?token=secret-token")
        with running.http() as client:
            client.get("/api/v1/me", headers={"Authorization": f"Bearer {key}"})
            client.get("/api/v1/me", headers={"Authorization": basic("me", "secret-wrong")})
            own = client.get("/health").headers["X-Request-ID"]
        with running.connect() as raw:
            raw.send(f"GET /?secret-query HTTP/1.1\r\nAuthorization: Bearer {key}\r\nBad Header\r\n\r\n").answer()
    text = log.read_text()
    lines = [json.loads(line) for line in text.splitlines()]
    requests = [line for line in lines if line["event"] == "request"]
    assert [(line["method"], line["path"], line["status"]) for line in requests] == [
        ("PUT", "/upload/named", 201),
        ("GET", "/api/v1/me", 200),
        ("GET", "/nowhere", 404),
        ("GET", "/api/v1/me", 200),
        ("GET", "/api/v1/me", 401),
        ("GET", "/health", 200),
    ]
    assert [line["user"] for line in requests] == ["me", "me", None, "me", None, None]
    assert requests[0]["request_id"] == "given-by-the-client"
    assert requests[5]["request_id"] == own
    assert all(line["time"] and line["level"] for line in lines)
    encoded = basic("me", PASSWORD + "-of-mine").split()[1]
    for secret in (PASSWORD, key, key[5:], encoded, "secret", "Authorization", "tags="):
        assert secret not in text
        assert secret not in running.log.read_text()
