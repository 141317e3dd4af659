"""Download by hash: who may, and the whole HTTP behaviour of it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import quote

from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import text
from werkzeug.test import TestResponse

from blobstore.core import admin
from blobstore.core.store import Store
from tests.api.wire import form, problem, repr_digest, sha256, stored

PNG = b"\x89PNG\r\n\x1a\n" + bytes(range(256))
PAST = text("UPDATE files SET expires_at = clock_timestamp() WHERE id = :id")


def expire(store: Store, file: dict[str, Any]) -> None:
    """Let the file's time be up."""
    with store.database.transaction() as session:
        session.execute(PAST, {"id": file["id"]})


def seen(response: TestResponse) -> tuple[int, dict[str, str], bytes]:
    """What a client sees, but for what differs each time."""
    headers = {name: value for name, value in response.headers.items() if name not in ("X-Request-ID", "Date")}
    body = response.data.replace(response.headers["X-Request-ID"].encode(), b"")
    return response.status_code, headers, body


def test_a_public_file_is_the_same_for_every_caller(
    client: FlaskClient, other: FlaskClient, anybody: FlaskClient
) -> None:
    """A cache would give one caller's answer to another; or a private name would leak through a public twin."""
    stored(client, PNG, name="my secret.png", visibility="private")
    stored(other, PNG, name="public.png")
    stored(client, PNG, name="later.png")
    digest = sha256(PNG)
    for path in (f"/{digest}", f"/{digest}.png", f"/{digest}.exe", f"/{digest}/named.txt", f"/{digest.upper()}"):
        for method in ("GET", "HEAD"):
            answers = [seen(one.open(path, method=method)) for one in (anybody, client, other)]
            assert answers[0] == answers[1] == answers[2]
            assert answers[0][0] == 200
    assert 'filename="public.png"' in anybody.get(f"/{digest}").headers["Content-Disposition"]
    assert 'filename="named.txt"' in anybody.get(f"/{digest}/named.txt").headers["Content-Disposition"]


def test_the_headers_of_a_public_file(client: FlaskClient, anybody: FlaskClient) -> None:
    """A browser would run, guess or refetch what it got; a client could not verify it."""
    stored(client, PNG, name="a.png")
    digest = sha256(PNG)
    answer = anybody.get(f"/{digest}")
    headers = dict(answer.headers)
    headers.pop("X-Request-ID")
    assert headers == {
        "ETag": f'"{digest}"',
        "Accept-Ranges": "bytes",
        "Repr-Digest": repr_digest(PNG),
        "Access-Control-Allow-Origin": "*",
        "Access-Control-Expose-Headers": "Content-Disposition, Content-Range, ETag, Repr-Digest",
        "Cross-Origin-Resource-Policy": "cross-origin",
        "Cache-Control": "public, max-age=31536000, s-maxage=60, immutable",
        "Content-Type": "image/png",
        "Content-Disposition": 'inline; filename="a.png"',
        "X-Content-Type-Options": "nosniff",
        "Content-Security-Policy": "default-src 'none'; sandbox",
        "Content-Length": str(len(PNG)),
    }
    assert answer.data == PNG
    head = anybody.head(f"/{digest}")
    assert (seen(head)[:2], head.data) == (seen(answer)[:2], b"")
    for wanted in ("sha-256", "SHA-256;q=1, md5;q=0.1"):
        got = anybody.get(f"/{digest}", headers={"Want-Digest": wanted}).headers["Digest"]
        assert got == "SHA-256=" + repr_digest(PNG).split(":")[1]


def test_a_private_file_is_its_owners(client: FlaskClient, other: FlaskClient, anybody: FlaskClient) -> None:
    """A stranger would learn from any request that somebody has this content."""
    file = stored(client, PNG, name="a.png", visibility="private")
    digest, missing = sha256(PNG), "0" * 64
    requests: list[tuple[str, dict[str, str]]] = [
        ("GET", {}),
        ("HEAD", {}),
        ("GET", {"Range": "bytes=0-0"}),
        ("GET", {"Range": "bytes=999-"}),
        ("GET", {"If-None-Match": f'"{digest}"'}),
        ("GET", {"If-None-Match": "*"}),
        ("HEAD", {"If-None-Match": f'"{digest}"'}),
        ("GET", {"If-Match": '"x"'}),
        ("GET", {"Want-Digest": "sha-256"}),
    ]
    for one in (anybody, other):
        for form_ in ("/{}", "/{}.png", "/{}/a.png"):
            for method, sent in requests:
                answers = [one.open(form_.format(name), method=method, headers=sent) for name in (digest, missing)]
                assert answers[0].status_code == 404
                assert seen(answers[0]) == seen(answers[1])
        for path in (f"/s/{file['id']}", f"/api/v1/files/{file['id']}/download"):
            assert one.get(path).status_code == 404
    mine = client.get(f"/{digest}")
    assert (mine.status_code, mine.data) == (200, PNG)
    assert mine.headers["Cache-Control"] == "private, no-cache"
    assert mine.headers["Vary"] == "Authorization"
    assert "Access-Control-Allow-Origin" not in mine.headers
    assert client.get(f"/{digest}", headers={"If-None-Match": f'"{digest}"'}).status_code == 304
    assert client.get(f"/{digest}", headers={"Range": "bytes=1-3"}).data == b"PNG"


def test_ranges_and_conditions(client: FlaskClient) -> None:
    """A download could not be resumed, or a cache would keep asking for the bytes that it has (cases 55 to 64)."""
    digest = stored(client, b"0123456789", name="d")["sha256"]
    etag = f'"{digest}"'
    cases: list[tuple[dict[str, str], int, bytes, str | None]] = [
        ({"Range": "bytes=0-0"}, 206, b"0", "bytes 0-0/10"),
        ({"Range": "bytes=9-"}, 206, b"9", "bytes 9-9/10"),
        ({"Range": "bytes=-1"}, 206, b"9", "bytes 9-9/10"),
        ({"Range": "bytes=-100"}, 206, b"0123456789", "bytes 0-9/10"),
        ({"Range": "bytes=0-18446744073709551616"}, 206, b"0123456789", "bytes 0-9/10"),
        ({"Range": "bytes=2-4", "If-Range": etag}, 206, b"234", "bytes 2-4/10"),
        ({"Range": "bytes=2-4", "If-Range": '"other"'}, 200, b"0123456789", None),
        ({"Range": "bytes=2-4", "If-Range": f"W/{etag}"}, 200, b"0123456789", None),
        ({"Range": "bytes=2-4", "If-Range": "Sat, 31 Jan 2026 12:00:00 GMT"}, 200, b"0123456789", None),
        ({"Range": "bytes=0-1,3-4"}, 200, b"0123456789", None),
        ({"Range": "bytes=5-2"}, 200, b"0123456789", None),
        ({"Range": "items=0-1"}, 200, b"0123456789", None),
        ({"If-None-Match": etag}, 304, b"", None),
        ({"If-None-Match": f'"x", W/{etag}'}, 304, b"", None),
        ({"If-None-Match": "*"}, 304, b"", None),
        ({"If-None-Match": etag, "Range": "bytes=0-0"}, 304, b"", None),
        ({"If-None-Match": '"x"'}, 200, b"0123456789", None),
        ({"If-Match": '"x"'}, 412, b"", None),
        ({"If-Match": etag}, 200, b"0123456789", None),
    ]
    for sent, status, body, content_range in cases:
        answer = client.get(f"/{digest}", headers=sent)
        assert (answer.status_code, answer.data) == (status, body), sent
        assert answer.headers.get("Content-Range") == content_range
        assert answer.headers["ETag"] == etag
        assert ("Content-Type" in answer.headers) == (status in (200, 206))
        if status in (200, 206, 304):
            assert answer.headers["Repr-Digest"] == repr_digest(b"0123456789")
    for unsatisfiable in ("bytes=10-", "bytes=-0"):
        answer = client.get(f"/{digest}", headers={"Range": unsatisfiable})
        problem(answer, 416, "range_not_satisfiable")
        assert answer.headers["Content-Range"] == "bytes */10"
    head = client.head(f"/{digest}", headers={"Range": "bytes=0-0"})
    assert (head.status_code, head.headers["Content-Length"]) == (200, "10")


def test_what_a_browser_may_show(client: FlaskClient) -> None:
    """A page with a script would run under this host's name; or a picture would only be saved (cases 39 to 41)."""
    attachments = {
        b"<!doctype html><script>alert(1)</script>": "a.html",
        b'<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>': "a.svg",
        b'<?xml version="1.0"?><a/>': "a.xml",
        b"%PDF-1.7\n": "a.pdf",
        b"PK\x03\x04rest": "a.png",
        b"\x00\x01\x02\xff": "a.txt",
    }
    for content, name in attachments.items():
        client.post("/upload", data=content, query_string={"name": name}, content_type="image/png")
        answer = client.get(f"/{sha256(content)}/a.png")
        assert answer.headers["Content-Disposition"] == 'attachment; filename="a.png"'
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert answer.headers["Content-Security-Policy"] == "default-src 'none'; sandbox"
    for content, kind in ((PNG, "image/png"), (b"text", "text/plain; charset=utf-8"), (b"GIF89a...", "image/gif")):
        digest = stored(client, content)["sha256"]
        answer = client.get(f"/{digest}")
        assert (answer.headers["Content-Type"], answer.headers["Content-Disposition"][:7]) == (kind, "inline;")
        for forced in ("?download=1", "?download", "?download=true"):
            assert client.get(f"/{digest}{forced}").headers["Content-Disposition"].startswith("attachment;")
        assert client.get(f"/{digest}?download=0").headers["Content-Disposition"].startswith("inline;")
        for condition in ({}, {"If-None-Match": "*"}, {"If-Match": '"x"'}, {"Range": "bytes=999-"}):
            problem(client.get(f"/{digest}?download=maybe", headers=condition), 400, "bad_option")


def test_a_name_survives_the_way_back(client: FlaskClient) -> None:
    """A file would be saved under another name than it was given, or a header be broken by it (case 50)."""
    for name in ('a"b;c.txt', "naïve €.txt", "100%.txt", "日本.txt", "a'b.txt", "\U0001f600" * 60):
        content = name.encode()
        file = stored(client, content, name=name)
        digest = sha256(content)
        for path in (f"/{digest}", f"/{digest}/{quote(name)}", f"/api/v1/files/{file['id']}/download"):
            header = client.get(path).headers["Content-Disposition"]
            assert header.isascii()
            assert header.split("filename=")[1].count('"') == 2
            encoded = f"filename*=UTF-8''{quote(name, safe='!#$&+-.^_`|~')}"
            assert header.endswith(encoded) or f'"{name}"' in header


def test_a_path_that_is_no_hash_is_not_found(client: FlaskClient) -> None:
    """Something else than the exact hash would answer with the file (case 53)."""
    digest = stored(client, b"x", name="x")["sha256"]
    for path in (
        f"/{digest[:-1]}",
        f"/{digest}0",
        f"/{digest[:-1]}g",
        f"/{digest}%0a",
        f"/{digest}/",
        f"/{digest}.",
        f"/{digest}.tar.gz",
        f"/{digest}/a/b",
        f"/x/{digest}",
        "/" + "".join(chr(ord(digit) + 0xFEE0) if digit.isdigit() else digit for digit in digest),
        "/" + "0" * 64,
    ):
        problem(client.get(path), 404, "not_found")
    double = client.get("/", environ_overrides={"PATH_INFO": f"//{digest}"})
    problem(double, 404, "not_found")


def test_an_expiry_is_kept_to_the_second(client: FlaskClient, anybody: FlaskClient, store: Store) -> None:
    """An expired file would be served until somebody cleans up; or a cache would keep it longer than it lives."""
    before = datetime.now(UTC)
    file = stored(client, b"x", name="x", expires_in=3600)
    answer = anybody.get("/" + file["sha256"])
    sunset = parsedate_to_datetime(answer.headers["Sunset"])
    assert timedelta(seconds=3599) <= sunset - before <= timedelta(seconds=7200)
    max_age = int(answer.headers["Cache-Control"].split("max-age=")[1].split(",")[0])
    assert 0 <= max_age <= 3600
    assert "immutable" not in answer.headers["Cache-Control"]
    expire(store, file)
    for one in (client, anybody):
        for path in (f"/{file['sha256']}", f"/s/{file['id']}", f"/api/v1/files/{file['id']}/download"):
            problem(one.get(path), 404, "not_found")
        assert one.get(f"/{file['sha256']}", headers={"If-None-Match": "*"}).status_code == 404
    problem(client.get(f"/api/v1/files/{file['id']}"), 404, "not_found")
    problem(client.delete(f"/api/v1/files/{file['id']}"), 404, "not_found")
    assert client.get("/api/v1/files").get_json()["items"] == []
    again = client.post("/upload?name=x", data=b"x")
    assert again.status_code == 201
    assert anybody.get("/" + file["sha256"]).status_code == 200


def test_the_longest_life_counts(client: FlaskClient, other: FlaskClient, anybody: FlaskClient, store: Store) -> None:
    """A file that lives on under another name would be announced as ending; or one that ends as lasting for ever."""
    ending = stored(client, b"x", name="ending", expires_in=3600)
    assert "Sunset" in anybody.get("/" + ending["sha256"]).headers
    stored(other, b"x", name="lasting")
    assert "immutable" in anybody.get("/" + ending["sha256"]).headers["Cache-Control"]
    admin.set_disabled(store, "other", disabled=True)
    assert "Sunset" in anybody.get("/" + ending["sha256"]).headers


def test_the_files_of_a_disabled_user_are_gone(client: FlaskClient, anybody: FlaskClient, store: Store) -> None:
    """What a disabled user has published would stay public."""
    file = stored(client, b"x", name="x")
    admin.set_disabled(store, "me", disabled=True)
    for path in (f"/{file['sha256']}", f"/s/{file['id']}", f"/api/v1/files/{file['id']}/download"):
        problem(anybody.get(path), 404, "not_found")
    problem(client.get("/" + file["sha256"]), 401, "invalid_credentials")


def test_short_links(client: FlaskClient, other: FlaskClient, anybody: FlaskClient) -> None:
    """A link that people pass on would tell who owns the file, or lead nowhere."""
    file = stored(client, b"x", name="ä b?.txt", folder="/secret", tags="t")
    answer = anybody.get(f"/s/{file['id']}")
    assert answer.status_code == 302
    assert answer.headers["Location"] == f"http://localhost/{file['sha256']}/%C3%A4%20b%3F.txt"
    assert answer.headers["Cache-Control"] == "no-store"
    assert anybody.get(answer.headers["Location"]).data == b"x"
    in_json = anybody.get(f"/s/{file['id']}?output=json")
    known = ["id", "sha256", "name", "size", "content_type", "created_at", "expires_at", "url"]
    assert list(in_json.get_json()) == known
    assert in_json.headers["Cache-Control"] == "no-store"
    assert other.get(f"/api/v1/files/{file['id']}").get_json() == in_json.get_json()
    html = anybody.get(f"/s/{file['id']}?output=html")
    assert html.mimetype == "text/html"
    assert file["url"] in html.text
    problem(anybody.get(f"/s/{file['id']}?output=xml"), 400, "bad_option")
    problem(anybody.get("/s/00000000"), 404, "not_found")
    evil = client.post("/upload", **form(("file", "<img src=x onerror=alert(1)>.txt", b"evil"))).get_json()
    assert "<img" not in anybody.get(f"/s/{evil['id']}?output=html").text


def test_downloads_are_counted_once(app: Flask, client: FlaskClient, other: FlaskClient, anybody: FlaskClient) -> None:
    """The owner would be told of downloads that were none, or not of those that were."""
    mine = stored(client, b"0123456789", name="a")
    theirs = stored(other, b"0123456789", name="b")
    private = stored(client, b"private", name="p", visibility="private")
    digest = mine["sha256"]
    anybody.get(f"/{digest}")
    anybody.get(f"/{digest}", headers={"Range": "bytes=0-4"})
    anybody.get(f"/{digest}", headers={"Range": "bytes=5-"})
    anybody.head(f"/{digest}")
    anybody.get(f"/{digest}", headers={"If-None-Match": "*"})
    client.get("/" + private["sha256"])
    parts = app.extensions["blobstore"]
    parts.downloads.flush(parts.store)
    counted = [client.get(f"/api/v1/files/{file['id']}").get_json() for file in (mine, private)]
    counted.append(other.get(f"/api/v1/files/{theirs['id']}").get_json())
    assert [file["downloads"] for file in counted] == [2, 1, 2]
    assert all(file["last_downloaded_at"] for file in counted)
