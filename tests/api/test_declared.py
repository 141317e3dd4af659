"""The digest that a client declares: compared, refused when it cannot be, and answered at once when it is held."""

from __future__ import annotations

from base64 import b64encode
from typing import Any

from flask.testing import FlaskClient

from tests.api.wire import form, problem, quota, repr_digest, sha256, stored, unread


def test_a_declared_digest_is_compared(client: FlaskClient) -> None:
    """A body damaged on its way would be stored although its sender said what it should be."""
    wrong, right = sha256(b"other"), b"content"
    b64 = b64encode(right).decode()
    requests: list[tuple[str, str, dict[str, Any]]] = [
        ("PUT", f"/{wrong}", {"data": right}),
        ("POST", "/upload", {"data": right, "headers": {"X-SHA-256": wrong}}),
        ("PUT", "/upload/x", {"data": right, "headers": {"Repr-Digest": repr_digest(b"other")}}),
        ("POST", "/upload", {"data": right, "headers": {"Content-Digest": repr_digest(b"other")}}),
        ("POST", "/upload", form(("sha256", None, wrong.encode()), ("file", "x", right))),
        ("POST", "/upload", form(("file", "x", right), ("sha256", None, wrong.encode()))),
        ("POST", "/upload", {"json": {"data": b64, "sha256": wrong}}),
        ("POST", "/upload", {"json": {"data": b64}, "headers": {"X-SHA-256": wrong}}),
    ]
    for method, path, kwargs in requests:
        found = problem(client.open(path=path, method=method, **kwargs), 409, "digest_mismatch")
        assert (found["declared"], found["received"]) == (wrong, sha256(right))
    assert quota(client)["files"] == 0
    stored(client, b"other")
    for method, path, kwargs in requests[4:]:
        problem(client.open(path=path, method=method, **kwargs), 409, "digest_mismatch")
    assert quota(client)["contents"] == 1


def test_a_right_digest_is_accepted(client: FlaskClient) -> None:
    """A sender that declares what it sends would be refused, in one of the spellings."""
    for number, (key, value) in enumerate(
        [
            ("X-SHA-256", sha256),
            ("X-SHA-256", lambda content: sha256(content).upper()),
            ("Repr-Digest", repr_digest),
            ("Repr-Digest", lambda content: "sha-512=:AAAA:, " + repr_digest(content)),
            ("Content-Digest", repr_digest),
        ]
    ):
        content = b"%d" % number
        assert client.post("/upload", data=content, headers={key: value(content)}).status_code == 201
    assert client.put("/" + sha256(b"path").upper(), data=b"path").status_code == 201
    field = ("sha256", None, sha256(b"form").upper().encode())
    assert client.post("/upload", **form(field, ("file", "x", b"form"))).status_code == 201
    assert client.post("/upload", json={"data": "eA==", "sha256": sha256(b"x")}).status_code == 201


def test_what_the_caller_has_is_not_read_again(client: FlaskClient, other: FlaskClient) -> None:
    """A client would send what is there already; or anybody would get a file by naming its hash."""
    stored(client, b"x" * 1000, name="a")
    declared = {"X-SHA-256": sha256(b"x" * 1000)}
    for answer, status in [
        (client.put(f"/{sha256(b'x' * 1000)}", **unread(1000)), 200),
        (client.post("/upload?name=a", headers=declared, **unread(1000)), 200),
        (client.put("/upload/new/b", headers=declared, **unread(1000)), 201),
        (client.put("/upload", headers={"Repr-Digest": repr_digest(b"x" * 1000)}, **unread(2 << 20)), 200),
    ]:
        assert answer.status_code == status, answer.text
        assert answer.get_json()["quota"]["used"] == 1000
    assert other.put("/upload", headers=declared, data=b"short").status_code == 409
    assert other.put("/upload", headers=declared, data=b"x" * 1000).status_code == 201


def test_a_digest_that_cannot_be_compared_is_refused(client: FlaskClient) -> None:
    """A sender would believe that its bytes were checked (case 38)."""
    hex_digest, other = sha256(b"x"), sha256(b"y")
    for headers in (
        {"X-SHA-256": ""},
        {"X-SHA-256": hex_digest[:-1]},
        {"X-SHA-256": hex_digest + "0"},
        {"X-SHA-256": "g" * 64},
        {"X-SHA-256": "sha256:" + hex_digest},
        {"X-SHA-256": "\xb2" * 64},
        {"Repr-Digest": "md5=:AAAA:"},
        {"Repr-Digest": "sha-512=:AAAA:"},
        {"Repr-Digest": "sha-256=AAAA"},
        {"Repr-Digest": "sha-256=:AAAA:"},
        {"Repr-Digest": "sha-256=:!!!!:"},
        {"Repr-Digest": "sha-256=:\xe9:"},
        {"Content-Digest": "nonsense"},
        {"X-SHA-256": hex_digest, "Repr-Digest": repr_digest(b"y")},
        {"Content-Digest": repr_digest(b"x"), "Repr-Digest": repr_digest(b"y")},
    ):
        for path in ("/upload", "/upload/x", "/" + hex_digest):
            problem(client.put(path, headers=headers, **unread(1)), 400, "bad_digest")
    problem(client.put("/" + hex_digest, headers={"X-SHA-256": other}, **unread(1)), 400, "bad_digest")
    for field in (b"", b"abc", b"z" * 64):
        problem(client.post("/upload", **form(("file", "x", b"x"), ("sha256", None, field))), 400, "bad_digest")
    both = form(("file", "x", b"x"), ("sha256", None, hex_digest.encode()))
    both["headers"] = {**both["headers"], "X-SHA-256": other}
    problem(client.post("/upload", **both), 400, "bad_digest")
    assert quota(client)["files"] == 0


def test_the_digest_of_a_form_is_not_that_of_its_file(client: FlaskClient) -> None:
    """A correct Content-Digest of a whole form would be taken for a wrong one of the file in it (RFC 9530)."""
    whole = form(("file", "x", b"x"))
    whole["headers"] = {**whole["headers"], "Content-Digest": repr_digest(whole["data"])}
    assert client.post("/upload", **whole).status_code == 201
