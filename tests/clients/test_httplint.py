"""httplint, the linter behind REDbot, reads our answers: it warns of nothing that is not explained here."""

from __future__ import annotations

import time
from collections.abc import Iterator
from hashlib import sha256

import httplint
import httpx

from blobstore.core import accounts
from blobstore.core.store import Store
from tests.conftest import PASSWORD
from tests.live import Service

CONTENT = b"plain text\n" * 100
DIGEST = sha256(CONTENT).hexdigest()
WARNINGS = (httplint.levels.WARN, httplint.levels.BAD)
EXPLAINED = {
    "STORE_PUBLIC_UNNECESSARY": "s-maxage says the same to caches that know it; `public` says it to the rest",
    "FIELD_DEPRECATED": "Digest, of RFC 3230: aria2 verifies no other, and only who asks by Want-Digest gets it",
    "CREATED_WITHOUT_LOCATION": "an API key is in this one answer, and has no address of its own",
}
"""Of each note that stays: why."""


def test_no_answer_has_an_unexplained_warning(live: Service, store: Store) -> None:
    """A header of ours would be malformed, contradict another, or mean something else to a cache or a client."""
    accounts.add(store, "me", PASSWORD)
    with live.http("me") as me, live.http() as anybody:
        found = {
            f"{answer.request.method} {answer.request.url.path} {answer.status_code}: {note}"
            for answer in answers(me, anybody)
            for note in notes(answer)
            if note not in EXPLAINED
        }
    assert found == set()


def test_the_linter_sees_a_mistake(live: Service) -> None:
    """The test above would pass whatever we answered."""
    answer = httpx.Response(200, headers=[("Date", "yesterday"), ("Content-Length", "7")], content=b"seven..")
    answer.request = httpx.Request("GET", live.url)
    assert list(notes(answer))


def answers(me: httpx.Client, anybody: httpx.Client) -> Iterator[httpx.Response]:
    """One answer of each kind."""
    blob = f"/{DIGEST}"
    yield me.put("/upload/größe.txt", content=CONTENT)
    file = me.put("/upload/größe.txt", content=CONTENT)
    yield file
    yield me.post("/upload", files={"file": ("a.bin", b"\0" * 10)}, params={"expires_in": "3600", "folder": "/f"})
    for path in (blob, f"{blob}.txt", f"{blob}.sha256", f"{blob}.meta4", "/health", "/docs", "/openapi.json", "/"):
        yield anybody.get(path)
        yield anybody.head(path)
    yield anybody.get(blob, headers={"Range": "bytes=5-9", "Want-Digest": "sha-256"})
    yield anybody.get(blob, headers={"Range": "bytes=5000-"})
    yield anybody.get(blob, headers={"If-None-Match": f'"{DIGEST}"'})
    yield anybody.get(blob, headers={"If-Match": '"other"'})
    yield anybody.get("/nothing")
    yield anybody.get("/api/v1/files")
    yield anybody.get(blob, auth=("me", "wrong"))
    yield anybody.get(f"/s/{file.json()['id']}")
    yield anybody.put("/health", content=b"")
    yield anybody.options(blob)
    yield anybody.options(
        "/api/v1/files", headers={"Origin": "https://other.example", "Access-Control-Request-Method": "GET"}
    )
    yield me.get("/api/v1/files")
    yield me.get("/api/v1/me/quota")
    yield me.post("/api/v1/keys", json={"name": "k", "scopes": ["read"]})
    yield me.post("/upload", content=b"a=b", headers={"Content-Type": "application/x-www-form-urlencoded"})
    yield me.delete(blob)


def notes(answer: httpx.Response) -> Iterator[str]:
    """The names of what the linter warns of."""
    request = httplint.HttpRequestLinter(start_time=time.time())
    method, target = answer.request.method.encode(), str(answer.request.url).encode()
    request.process_request_topline(method, target, b"1.1")
    request.process_headers(answer.request.headers.raw)
    request.finish_content(complete=True)
    linter = httplint.HttpResponseLinter(start_time=time.time(), no_content=method == b"HEAD")
    linter.request = request
    linter.process_response_topline(b"1.1", str(answer.status_code).encode(), answer.reason_phrase.encode())
    linter.process_headers(answer.headers.raw)
    linter.feed_content(answer.content)
    linter.finish_content(complete=True)
    yield from (type(note).__name__ for note in linter.notes if note.level in WARNINGS)
