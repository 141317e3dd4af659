"""What is said of a file: the same anywhere, and refused when it makes no sense."""

from __future__ import annotations

import re
from base64 import b64encode

from flask.testing import FlaskClient

from blobstore.core.store import Store
from tests.api.wire import form, problem, stored, unread


def test_options_anywhere(client: FlaskClient) -> None:
    """What is said of a file would count in the query and not in a form or in JSON, or the other way round."""
    wanted = {"name": "n", "folder": "/f", "visibility": "private", "expires_in": "3600", "tags": "a,b , a"}
    fields = [(name, None, value.encode()) for name, value in wanted.items()]
    in_json = {**wanted, "expires_in": 3600, "tags": ["a", "b"], "data": b64encode(b"3").decode()}
    for answer in (
        client.post("/upload", data=b"1", query_string=wanted),
        client.post("/upload", **form(*fields[:2], ("file", "x", b"2"), *fields[2:])),
        client.post("/upload", json=in_json),
    ):
        assert answer.status_code == 201, answer.text
        file = answer.get_json()
        assert (file["name"], file["folder"], file["visibility"], file["tags"]) == ("n", "/f", "private", ["a", "b"])
        assert file["expires_at"] > file["created_at"]
    moment = "2100-01-31T12:00:00Z"
    assert stored(client, b"4", expires_at="2100-01-31T13:00:00+01:00")["expires_at"] == moment
    assert client.post("/upload", json={"data": "", "expires_at": moment}).get_json()["expires_at"] == moment


def test_names_stay_names(client: FlaskClient, store: Store) -> None:
    """A name would become a path on the server, or change on its way (cases 44 to 51)."""
    for path, folder, name in [
        ("/upload/..%2F..%2Fetc/passwd", "/", "passwd"),
        ("/upload/%2e%2e/%2e%2e/x", "/", "x"),
        ("/upload//abs/olute", "/", "olute"),
        ("/upload/%2Fabs", "/", "abs"),
        ("/upload/C:%5Cdos%5Cy", "/", "y"),
        ("/upload/caf%C3%A9/na%C3%AFve%20x", "/café", "naïve x"),
        ("/upload/cafe%CC%81", "/", "café"),
        ("/upload/a%E2%80%AEgnp.exe", "/", "agnp.exe"),
        ("/upload/q?name=%22%3B%5C%2F%25", "/", "%"),
        ("/upload/%EF%BF%BD", "/", "\ufffd"),
    ]:
        answer = client.put(path, data=path.encode())
        assert answer.status_code == 201, (path, answer.text)
        assert (answer.get_json()["folder"], answer.get_json()["name"]) == (folder, name)
        assert client.get(f"/s/{answer.get_json()['id']}", follow_redirects=True).data == path.encode()
    assert all(re.fullmatch("[0-9a-f]{64}", path.name) for path in store.settings.store.glob("??/*"))
    # The test client would turn %ff in a path into U+FFFD itself.
    raw = client.put("/upload/x", data=b"x", environ_overrides={"PATH_INFO": "/upload/\xff"})
    problem(raw, 400, "bad_encoding")
    for path, code in [
        ("/upload/x?name=%ff", "bad_encoding"),
        ("/upload/a%0ab", "bad_name"),
        ("/upload/a%00", "bad_name"),
        ("/upload/..", "bad_name"),
        ("/upload/%20", "bad_name"),
        ("/upload/x?name=", "bad_name"),
        ("/upload/" + "x" * 256, "bad_name"),
        ("/upload/x?folder=relative", "bad_name"),
        ("/upload/x?name=a&name=b", "bad_option"),
    ]:
        problem(client.put(path, data=b"x"), 400, code)


def test_an_expiry_makes_sense(client: FlaskClient) -> None:
    """A file would end at once, never, or at another moment than its sender meant (case 43)."""
    for query in (
        "expires_in=0",
        "expires_in=-1",
        "expires_in=1e3",
        "expires_in=1.5",
        "expires_in=",
        "expires_in=1000000000000",
        "expires_in=9999999999",
        "expires_in=%D9%A1",
        "expires_in=NaN",
        "expires_at=2020-01-01T00:00:00Z",
        "expires_at=2100-02-30T00:00:00Z",
        "expires_at=2100-01-01T00:00:00",
        "expires_at=2100-01-01",
        "expires_at=9999-01-01T00:00:00Z",
        "expires_at=tomorrow",
        "expires_in=60&expires_at=2100-01-01T00:00:00Z",
    ):
        problem(client.put(f"/upload/x?{query}", **unread(1)), 400, "bad_expires")
    problem(client.put("/upload/x?expires_in=60&expires_in=60", **unread(1)), 400, "bad_option")
    for query in ("expires_in=1", "expires_in=3155760000", "expires_at=2100-01-01t00:00:00.123456z"):
        assert client.put(f"/upload/x?{query}", data=query.encode()).status_code == 201


def test_tags_are_labels(client: FlaskClient) -> None:
    """A tag would be cut, doubled, or carry control characters into every list."""
    for text, tags in ((",", []), (" a ,, a,b ", ["a", "b"]), ("ä,日本", ["ä", "日本"]), ("x" * 64, ["x" * 64])):
        assert stored(client, b"x", name="x", tags=text)["tags"] == tags
    for text in ("x" * 65, "é" * 33, ",".join(map(str, range(33)))):
        problem(client.post("/upload", data=b"x", query_string={"tags": text}), 400, "bad_option")
    for text in ("a\x00", "a\nb", "a\x85"):
        assert client.post("/upload", data=b"x", query_string={"tags": text}).status_code == 400


def test_a_visibility_is_public_or_private(client: FlaskClient) -> None:
    """A mistyped `private` would publish the file."""
    for wrong in ("", "Private", "PUBLIC", "hidden", "private "):
        problem(client.put("/upload/x", query_string={"visibility": wrong}, **unread(1)), 400, "bad_option")
    for right in ("public", "private"):
        assert stored(client, right.encode(), visibility=right)["visibility"] == right


def test_a_form_field_and_a_query_do_not_disagree_silently(client: FlaskClient) -> None:
    """A file would be public by its form although the query said private, or keep what neither of them said."""
    answer = client.post(
        "/upload?visibility=public&tags=q", **form(("visibility", None, b"private"), ("file", "x", b"x"))
    )
    assert (answer.get_json()["visibility"], answer.get_json()["tags"]) == ("private", ["q"])
