"""Banned contents, over HTTP: 451 wherever it was, no body read that is not wanted, and /api/v1/admin/bans."""

from __future__ import annotations

from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from blobstore.core import accounts
from blobstore.core.store import Store
from tests.api.wire import form, problem, quota, repr_digest, sha256, stored, unread
from tests.conftest import PASSWORD, signed_in

BANS = "/api/v1/admin/bans"
BAD, GOOD = b"a banned content", b"a good one"
ASKED: dict[str, dict[str, str]] = {
    "plainly": {},
    "a range": {"Range": "bytes=0-3"},
    "a later range": {"Range": "bytes=5-"},
    "if it changed": {"If-None-Match": f'"{sha256(BAD)}"'},
    "any": {"If-None-Match": "*"},
    "if it is another": {"If-Match": '"other"'},
}


@pytest.fixture
def admin(app: Flask, store: Store) -> FlaskClient:
    """A client of an admin."""
    accounts.add(store, "chief", PASSWORD, admin=True)
    return signed_in(app, "chief")


def ban(admin: FlaskClient, content: bytes = BAD, reason: str = "malware") -> dict[str, Any]:
    answer = admin.post(BANS, json={"sha256": sha256(content), "reason": reason})
    assert answer.status_code == 201, answer.text
    found: dict[str, Any] = answer.get_json()
    return found


def is_banned(answer: TestResponse) -> None:
    """The answer says so, and why; nobody may keep it."""
    assert problem(answer, 451, "content_banned")["reason"] == "malware"
    assert answer.headers["Link"] == '<http://localhost>; rel="blocked-by"'
    assert BAD not in answer.data
    assert not {"ETag", "Repr-Digest", "Accept-Ranges"} & set(answer.headers.keys())


@pytest.mark.parametrize("visibility", ["public", "private"])
@pytest.mark.parametrize("asked", ASKED)
def test_every_address_says_so(
    client: FlaskClient, anybody: FlaskClient, admin: FlaskClient, visibility: str, asked: str
) -> None:
    """One way to ask would still give out what is banned, or tell a cache to keep that it is not."""
    file = stored(client, BAD, name="x.txt", visibility=visibility)
    signed = client.get(f"/api/v1/files/{file['id']}/download?mode=url").get_json()["download_url"]
    ban(admin)
    digest, by_id = file["sha256"], (f"/s/{file['id']}", f"/api/v1/files/{file['id']}/download")
    hashes = [f"/{digest}", f"/{digest.upper()}", f"/{digest}.txt", f"/{digest}/x.txt"]
    described = [f"/{digest}.sha256", f"/{digest}.meta4"]
    everybody = [*hashes, *described, signed, *(by_id if visibility == "public" else ())]
    for who, paths in ((anybody, everybody), (admin, hashes), (client, [*hashes, *described, *by_id])):
        for path in paths:
            is_banned(who.get(path, headers=ASKED[asked]))
            head = who.head(path, headers=ASKED[asked])
            assert (head.status_code, head.data, head.headers["Cache-Control"]) == (451, b"", "no-store")
    problem(anybody.get(f"/{digest}", headers={"Authorization": "Bearer x"}), 401, "invalid_credentials")


def test_its_owner_has_it_no_more(client: FlaskClient, admin: FlaskClient) -> None:
    """A user would pay for what he cannot have, or see a file that he cannot open."""
    file = stored(client, BAD)
    assert quota(client)["used"] == len(BAD)
    assert ban(admin)["deleted"] == 1
    assert quota(client)["used"] == 0
    assert client.get("/api/v1/files").get_json()["items"] == []
    is_banned(client.get(f"/api/v1/files/{file['id']}"))
    is_banned(client.patch(f"/api/v1/files/{file['id']}", json={"tags": ["a"]}))
    is_banned(client.delete(f"/api/v1/files/{file['id']}"))
    problem(client.delete(f"/{file['sha256']}"), 404, "not_found")


@pytest.mark.parametrize(
    ("method", "path", "headers"),
    [
        ("PUT", f"/{sha256(BAD)}", {}),
        ("PUT", "/upload/x", {"X-SHA-256": sha256(BAD)}),
        ("PUT", "/upload/x", {"Repr-Digest": repr_digest(BAD)}),
        ("POST", "/upload", {"Content-Digest": repr_digest(BAD), "Content-Type": "text/plain"}),
        ("POST", "/upload", {"X-SHA-256": sha256(BAD), "Content-Type": "application/json"}),
        ("POST", "/upload", {"X-SHA-256": sha256(BAD), "Content-Type": "multipart/form-data; boundary=x"}),
        ("HEAD", "/upload", {"X-SHA-256": sha256(BAD)}),
    ],
)
def test_a_declared_one_is_refused_before_its_body(
    client: FlaskClient, admin: FlaskClient, method: str, path: str, headers: dict[str, str]
) -> None:
    """A client would send gigabytes that are not wanted, although it had said what they are."""
    ban(admin)
    answer = client.open(path, method=method, headers=headers, **unread(1 << 20))
    assert answer.status_code == 451
    if method != "HEAD":
        is_banned(answer)


@pytest.mark.parametrize(
    "sent",
    [
        {"data": BAD, "content_type": "text/plain"},
        {"json": {"data": "YSBiYW5uZWQgY29udGVudA=="}},
        {"json": {"data": "YSBiYW5uZWQgY29udGVudA==", "sha256": sha256(BAD)}},
        form(("file", "x", BAD)),
        form(("sha256", None, sha256(BAD).encode()), ("file", "x", BAD)),
    ],
)
def test_one_that_was_not_declared_is_refused_behind_its_body(
    client: FlaskClient, admin: FlaskClient, store: Store, sent: dict[str, Any]
) -> None:
    """Whoever does not say what he sends could bring it after all."""
    ban(admin)
    is_banned(client.post("/upload", **sent))
    assert quota(client)["used"] == 0
    assert list(store.storage.locations()) == []


def test_the_other_files_of_a_form_are_kept(client: FlaskClient, admin: FlaskClient) -> None:
    """One banned file would make a form of many fail, or be kept among them."""
    ban(admin)
    answer = client.post("/upload", **form(("file", "bad", BAD), ("file", "good", GOOD)))
    assert answer.status_code == 207
    bad, good = answer.get_json()["files"]
    assert (bad["status"], bad["code"], bad["reason"]) == (451, "content_banned", "malware")
    assert (good["status"], good["sha256"]) == (201, sha256(GOOD))


def test_a_ban_is_lifted(client: FlaskClient, anybody: FlaskClient, admin: FlaskClient) -> None:
    """A mistake of an admin could not be undone."""
    file = stored(client, BAD)
    ban(admin)
    assert admin.delete(f"{BANS}/{sha256(BAD)}").status_code == 204
    problem(admin.delete(f"{BANS}/{sha256(BAD)}"), 404, "not_found")
    problem(anybody.get(f"/{sha256(BAD)}"), 404, "not_found")
    problem(client.get(f"/s/{file['id']}"), 404, "not_found")
    assert stored(client, BAD)["id"] != file["id"]
    assert anybody.get(f"/{sha256(BAD)}").data == BAD


def test_bans_are_made_and_listed(admin: FlaskClient) -> None:
    """An admin could not see what is banned, why and by whom; or not change the reason."""
    made = ban(admin, reason="malwear")
    assert made == {"sha256": sha256(BAD), "reason": "malwear", "by": "chief", "created_at": made["created_at"],
                    "deleted": 0}  # fmt: skip
    again = admin.post(BANS, json={"sha256": sha256(BAD).upper(), "reason": "malware"})
    assert (again.status_code, again.get_json()["reason"]) == (200, "malware")
    ban(admin, GOOD)
    first = admin.get(f"{BANS}?limit=1").get_json()
    second = admin.get(f"{BANS}?limit=1&cursor={first['next']}").get_json()
    assert [ban["sha256"] for ban in first["items"] + second["items"]] == [sha256(GOOD), sha256(BAD)]
    assert second["next"] is None
    assert second["items"][0] == {name: value for name, value in again.get_json().items() if name != "deleted"}


@pytest.mark.parametrize(
    ("sent", "status", "code"),
    [
        ({"sha256": "x", "reason": "malware"}, 400, "bad_digest"),
        ({"sha256": sha256(BAD)}, 400, "bad_option"),
        ({"sha256": sha256(BAD), "reason": ""}, 400, "bad_option"),
        ({"sha256": sha256(BAD), "reason": "two\nlines"}, 400, "bad_option"),
        ({"sha256": sha256(BAD), "reason": "x" * 1001}, 400, "bad_option"),
        ({"sha256": sha256(BAD), "reason": 1}, 400, "bad_option"),
        ({"sha256": sha256(BAD), "reason": "malware", "by": "me"}, 422, "unknown_field"),
    ],
)
def test_what_is_no_ban_is_refused(admin: FlaskClient, sent: dict[str, Any], status: int, code: str) -> None:
    """A mistyped request would ban something, or show everybody rubbish as the reason."""
    problem(admin.post(BANS, json=sent), status, code)
    problem(admin.get(f"{BANS}?cursor=x"), 400, "bad_cursor")
    problem(admin.get(f"{BANS}?q=x"), 400, "bad_option")
    assert admin.get(BANS).get_json() == {"items": [], "next": None}
