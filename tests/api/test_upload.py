"""Every way in, as api.md lists them; each test says what a client would lose."""

from __future__ import annotations

import hashlib
from base64 import b64encode
from io import BytesIO
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient

from blobstore.core.store import Store
from tests.api.wire import EMPTY, form, problem, quota, sha256, stored, unread

PNG = b"\x89PNG\r\n\x1a\n" + bytes(range(256))
CHUNKED: dict[str, Any] = {
    "headers": {"Transfer-Encoding": "chunked"},
    "environ_overrides": {"wsgi.input_terminated": True, "CONTENT_LENGTH": ""},
}
FILE_FIELDS = [
    "id", "sha256", "name", "folder", "size", "content_type", "visibility", "tags", "created_at", "expires_at",
    "downloads", "last_downloaded_at", "damaged", "url", "short_url", "quota",
]  # fmt: skip


def test_every_way_stores_the_same_bytes(client: FlaskClient) -> None:
    """One of the ways in would lose bytes, the name or the folder, or answer in a shape of its own."""
    content = [PNG + bytes([number]) for number in range(9)]
    encoded = b64encode(content[7]).decode()
    answers = [
        (client.post("/upload", **form(("file", "a.png", content[0]))), "a.png", "/"),
        (client.post("/upload?name=b.png", data=content[1], content_type="image/jpeg"), "b.png", "/"),
        (client.post("/upload", data=content[2]), sha256(content[2]), "/"),
        (client.put("/upload/d.png", data=content[3]), "d.png", "/"),
        (client.put("/upload/photos/2026/e.png", data=content[4]), "e.png", "/photos/2026"),
        (client.put("/upload", input_stream=BytesIO(content[5]), **CHUNKED), sha256(content[5]), "/"),
        (client.put("/upload/?name=g.png", input_stream=BytesIO(content[6]), **CHUNKED), "g.png", "/"),
        (client.post("/upload", json={"data": encoded, "name": "h.png", "folder": "/x"}), "h.png", "/x"),
        (client.put("/" + sha256(content[8]), data=content[8]), sha256(content[8]), "/"),
    ]
    for sent, (answer, name, folder) in zip(content, answers, strict=True):
        assert answer.status_code == 201, answer.text
        assert answer.headers["Location"] == "/" + sha256(sent)
        file = answer.get_json()
        assert list(file) == FILE_FIELDS
        assert (file["sha256"], file["name"], file["folder"]) == (sha256(sent), name, folder)
        assert (file["size"], file["content_type"]) == (len(sent), "image/png")
        assert client.get(answer.headers["Location"]).data == sent
    assert quota(client)["used"] == sum(map(len, content))


def test_the_answer_is_the_file(client: FlaskClient) -> None:
    """A client would have to ask again for the link, the short link or its quota."""
    file = stored(client, PNG, name="cat.PNG")
    digest = sha256(PNG)
    assert file["url"] == f"http://localhost/{digest}.png"
    assert file["short_url"] == f"http://localhost/s/{file['id']}"
    assert len(file["id"]) == 8
    assert file["quota"] == {"limit": 1 << 20, "used": len(PNG), "free": (1 << 20) - len(PNG)}
    assert (file["visibility"], file["tags"], file["expires_at"], file["downloads"]) == ("public", [], None, 0)
    assert client.get(file["url"]).data == PNG


def test_an_empty_file_is_a_file(client: FlaskClient) -> None:
    """An empty file would be refused or charged (case 21)."""
    file = client.post("/upload?name=empty", **EMPTY).get_json()
    assert file["sha256"] == hashlib.sha256().hexdigest()
    assert file["quota"]["used"] == 0
    assert client.get(f"/{file['sha256']}").data == b""


def test_one_line_for_scripts(client: FlaskClient) -> None:
    """A shell script would have to parse JSON for its link."""
    link = f"http://localhost/{sha256(b'x')}.txt\n"
    spellings: list[tuple[dict[str, Any], str]] = [
        ({"path": "/upload?name=a.txt&format=url"}, link),
        ({"path": "/upload?name=a.txt&format=sha256"}, sha256(b"x") + "\n"),
        ({"path": "/upload?name=a.txt", "headers": {"Accept": "text/plain"}}, link),
        ({"path": "/upload?name=a.txt", "headers": {"Accept": "text/plain; charset=utf-8"}}, link),
        ({"path": "/upload?name=a.txt", "headers": {"Accept": "text/plain, application/json;q=0.5"}}, link),
    ]
    for kwargs, line in spellings:
        answer = client.post(data=b"x", **kwargs)
        assert answer.status_code in (200, 201)
        assert (answer.mimetype, answer.text) == ("text/plain", line)
    for headers in ({}, {"Accept": "*/*"}, {"Accept": "application/json, text/plain, */*"}):
        assert client.post("/upload?name=a.txt", data=b"x", headers=headers).is_json
    assert client.post("/upload?format=json", data=b"x", headers={"Accept": "text/plain"}).is_json
    problem(client.post("/upload?format=xml", **unread(5)), 400, "bad_option")
    lines = client.post("/upload?format=sha256", **form(("file", "1", b"1"), ("file", "2", b"2"))).text
    assert lines.split("\n") == [sha256(b"1"), sha256(b"2"), ""]


def test_the_same_again_is_the_same_file(client: FlaskClient) -> None:
    """A repeated upload would make a second file, charge twice, or lose what was said with it."""
    first = stored(client, b"x", name="a")
    again = client.post("/upload?name=a&tags=t&visibility=private", data=b"x")
    assert again.status_code == 200
    assert again.get_json()["id"] == first["id"]
    assert (again.get_json()["tags"], again.get_json()["visibility"]) == (["t"], "private")
    nameless = client.put("/upload", data=b"x")
    assert (nameless.status_code, nameless.get_json()["id"], nameless.get_json()["tags"]) == (200, first["id"], ["t"])
    other_name = client.post("/upload?name=b", data=b"x")
    other_folder = client.put("/upload/f/a", data=b"x")
    other_bytes = client.post("/upload?name=a", data=b"y")
    assert [answer.status_code for answer in (other_name, other_folder, other_bytes)] == [201] * 3
    numbers = quota(client)
    assert (numbers["files"], numbers["contents"], numbers["used"], numbers["logical"]) == (4, 2, 2, 4)
    assert numbers["saved"] == 2


def test_refused_before_a_byte_is_read(client: FlaskClient, anybody: FlaskClient) -> None:
    """A client would send a whole file only to be told that it never fitted."""
    over = problem(client.put("/upload/x", **unread((1 << 20) + 1)), 413, "quota_exceeded")
    assert (over["limit_bytes"], over["used_bytes"], over["needed_bytes"]) == (1 << 20, 0, (1 << 20) + 1)
    large = problem(client.put("/upload/x", **unread(6 << 30)), 413, "file_too_large")
    assert large["limit_bytes"] == 5 << 30
    for kind in ("multipart/form-data; boundary=x", "application/json"):
        problem(client.post("/upload", content_type=kind, **unread(3 << 20)), 413, "quota_exceeded")
    problem(anybody.put("/upload/x", **unread(9)), 401, "invalid_credentials")
    problem(client.put("/upload/x?expires_in=-1", **unread(9)), 400, "bad_expires")
    problem(client.put("/upload/x?visibility=secret", **unread(9)), 400, "bad_option")
    problem(client.put("/upload/x?visible=no", **unread(9)), 400, "bad_option")
    for method, kind in [("PUT", "multipart/form-data; boundary=x"), ("POST", "application/x-www-form-urlencoded")]:
        answer = client.open("/upload", method=method, content_type=kind, **unread(9))
        assert "curl -F file=@" in problem(answer, 415, "unsupported_media_type")["detail"]
    gzipped = client.put("/upload/x", headers={"Content-Encoding": "gzip"}, **unread(9))
    problem(gzipped, 415, "unsupported_content_encoding")
    problem(client.put("/upload/x"), 411, "length_required")
    assert quota(client)["files"] == 0


def test_the_quota_is_exact(client: FlaskClient) -> None:
    """A quota would be a byte too small or too large, or a retry of what is there would be refused."""
    stored(client, b"x" * (1 << 20), name="all")
    problem(client.post("/upload", data=b"y"), 413, "quota_exceeded")
    problem(client.post("/upload", input_stream=BytesIO(b"y"), **CHUNKED), 413, "quota_exceeded")
    problem(client.post("/upload", **form(("file", "y", b"y"))), 413, "quota_exceeded")
    problem(client.post("/upload", json={"data": "eQ=="}), 413, "quota_exceeded")
    problem(client.post("/upload", data=b"y" * (1 << 20)), 413, "quota_exceeded")
    assert client.post("/upload?name=again", data=b"x" * (1 << 20)).status_code == 201
    assert client.post("/upload", **form(("file", "form", b"x" * (1 << 20)))).status_code == 201
    assert client.post("/upload?name=none", **EMPTY).status_code == 201
    assert (quota(client)["used"], quota(client)["free"]) == (1 << 20, 0)


def test_several_files_in_one_form(client: FlaskClient) -> None:
    """A form of many files would lose one, or tell of all only that one was refused."""
    both = client.post("/upload", **form(("file", "a", b"1"), ("folder", None, b"/f"), ("file", "b", b"2")))
    assert both.status_code == 201
    assert [(file["name"], file["folder"], file["status"]) for file in both.get_json()["files"]] == [
        ("a", "/f", 201),
        ("b", "/f", 201),
    ]
    assert both.get_json()["quota"]["used"] == 2
    size = 600 << 10
    mixed = client.post("/upload", **form(("file", "first", b"x" * size), ("file", "second", b"y" * size)))
    assert mixed.status_code == 207, mixed.text
    kept, refused = mixed.get_json()["files"]
    assert (kept["status"], kept["name"]) == (201, "first")
    assert (refused["status"], refused["code"], refused["needed_bytes"]) == (413, "quota_exceeded", size)
    assert quota(client)["files"] == 3
    large = client.post("/upload", **form(("file", "large", b"z" * (3 << 19)), ("file", "small", b"s")))
    assert [file["status"] for file in large.get_json()["files"]] == [413, 201]
    twice = client.post("/upload", **form(("file", "p", b"same"), ("file", "q", b"same")))
    assert twice.status_code == 201
    assert twice.get_json()["quota"]["used"] == 2 + size + 1 + 4


NOT_A_FORM: list[tuple[list[tuple[str, str | None, bytes]], int, str]] = [
    ([], 400, "missing_file"),
    ([("other", "x", b"1")], 400, "missing_file"),
    ([("file", None, b"1")], 400, "missing_file"),
    ([("file", "", b"1")], 400, "missing_file"),
    ([("file", "a", b"1"), ("nonsense", None, b"1")], 400, "bad_option"),
    ([("file", "a", b"1"), ("name", None, b"x"), ("name", None, b"y")], 400, "bad_option"),
    ([("file", "a", b"1"), ("file", "b", b"2"), ("name", None, b"x")], 400, "bad_option"),
    ([("file", "a", b"1"), ("file", "b", b"2"), ("sha256", None, sha256(b"1").encode())], 400, "bad_option"),
    ([("file", str(number), b"%d" % number) for number in range(101)], 400, "too_many_files"),
    ([("file", "a", b"1"), ("file", "..", b"2")], 400, "bad_name"),
    ([("file", "a", b"1"), ("expires_in", None, b"soon")], 400, "bad_expires"),
]


def test_a_form_is_refused_as_a_whole(client: FlaskClient) -> None:
    """Half a form would be stored before its other half is refused."""
    for parts, status, code in NOT_A_FORM:
        problem(client.post("/upload", **form(*parts)), status, code)
    assert quota(client)["files"] == 0


def test_a_form_that_is_cut_stores_nothing(client: FlaskClient) -> None:
    """Files would be kept of a form whose end never came."""
    whole = form(("file", "a", b"1"), ("file", "b", b"2"))
    problem(client.post("/upload", data=whole["data"][:-30], headers=whole["headers"]), 400, "bad_multipart")
    assert quota(client)["files"] == 0


def test_json_is_read_strictly(client: FlaskClient) -> None:
    """A sloppy JSON or base64 would be stored as other bytes than its sender meant (cases 31 to 37)."""
    for body, status, code in [
        ({"data": "eA"}, 400, "bad_base64"),
        ({"data": "eB=="}, 400, "bad_base64"),
        ({"data": "e A=="}, 400, "bad_base64"),
        ({"data": 1}, 400, "bad_option"),
        ({"name": "x"}, 400, "bad_option"),
        ({"data": "eA==", "id": 1}, 422, "unknown_field"),
        ({"data": "eA==", "expires_in": True}, 400, "bad_option"),
        ({"data": "eA==", "name": None}, 400, "bad_option"),
        ({"data": "eA==", "name": "a\u0000"}, 400, "bad_text"),
        ({"data": "eA==", "sha256": "xyz"}, 400, "bad_digest"),
        ({"data": "eA==", "name": ".."}, 400, "bad_name"),
    ]:
        problem(client.post("/upload", json=body), status, code)
    problem(client.post("/upload", data=b"{", content_type="application/json"), 400, "bad_json")
    assert quota(client)["files"] == 0


def test_head_tells_what_an_upload_would_be_answered(client: FlaskClient, anybody: FlaskClient) -> None:
    """A client that asks first would be told yes and then refused, or the other way round."""
    held = stored(client, b"x" * (1 << 19), name="half")
    for headers, status in [
        ({}, 200),
        ({"X-SHA-256": "0" * 64, "X-Content-Length": str(1 << 19), "X-Content-Type": "image/png"}, 200),
        ({"X-Content-Length": str((1 << 19) + 1)}, 413),
        ({"X-SHA-256": held["sha256"], "X-Content-Length": "9999999999999"}, 200),
        ({"X-SHA-256": "0" * 63}, 400),
        ({"X-Content-Length": "-1"}, 400),
        ({"X-Content-Length": "1e3"}, 400),
        ({"X-Content-Length": str(6 << 30)}, 413),
    ]:
        answer = client.head("/upload", headers=headers)
        assert (answer.status_code, answer.data) == (status, b"")
    assert anybody.head("/upload").status_code == 401


def test_large_json_uploads_wait_for_memory(app: Flask, client: FlaskClient) -> None:
    """A few users with half-sent JSON would fill the memory of a worker."""
    held = app.extensions["blobstore"].whole_bodies
    with held.holding(32 << 20):
        answer = client.post("/upload", json={"data": "eA=="})
        problem(answer, 503, "busy")
        assert answer.headers["Retry-After"]
        assert client.post("/upload", data=b"x").status_code == 201
    assert client.post("/upload", json={"data": "eQ=="}).status_code == 201


def test_what_the_disk_refuses_is_a_line_in_the_log(
    client: FlaskClient, store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    """An operator would have to guess which call failed where, and its user would be told our paths."""
    digest = hashlib.sha256(b"x").hexdigest()
    place = store.settings.store / digest[:2] / digest
    place.mkdir()
    told = problem(client.post("/upload", data=b"x"), 503, "blob_refused")
    place.rmdir()
    (record,) = caplog.records
    assert record.getMessage().startswith(f"cannot replace {place}: ")
    assert str(place.parent) not in str(told)
