"""HTTP by the book, over every route of the URL map (RFC 9110)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from flask import Flask

from blobstore.app import create_app
from blobstore.environment import load
from tests.conftest import SECRET_KEY
from tests.edge.place import DIGEST, TEN, Place
from tests.edge.wire import ask

NOT_COMPARED = {"date", "x-request-id"}
UNKNOWN_METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "TRACE", "PROPFIND", "get")


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> Flask:
    """An application whose database is never asked: only its URL map is read."""
    given = {
        "DATABASE_URL": "postgresql://nobody@127.0.0.1:1/none",
        "SECRET_KEY": SECRET_KEY,
        "BLOBSTORE_DATA": str(tmp_path_factory.mktemp("bare")),
    }
    return create_app(load(given, None))


@pytest.fixture(scope="module")
def paths(app: Flask, place: Place) -> dict[str, set[str]]:
    """A path for each rule, with all methods that some rule allows for it."""
    file_id = place.ask(ask("PUT /upload/ten.txt", body=TEN)).json["id"]
    arguments = {
        "digest": DIGEST, "_ext": "txt", "name": "ten.txt", "file_id": file_id, "key_id": "00000000", "path": "a/b",
        "session_id": "00000000", "banned": "0" * 64,
    }  # fmt: skip
    found: dict[str, set[str]] = {}
    for rule in app.url_map.iter_rules():
        values = {**arguments, **({"name": "docs.js"} if rule.rule.startswith("/docs/") else {})}
        path = re.sub(r"<(?:\w+:)?(\w+)>", lambda match, values=values: values[match[1]], rule.rule)  # type: ignore[misc]
        found.setdefault(path, set()).update(rule.methods or ())
    return found


def seen(place: Place, line: str, *headers: str, me: bool = True) -> tuple[int, dict[str, str]]:
    """Status and headers, as far as they are the same each time."""
    reply = place.ask(ask(line, *headers, me=me), with_body=not line.startswith("HEAD "))
    return reply.status, {name: value for name, value in reply.headers.items() if name not in NOT_COMPARED}


def test_head_is_get_without_a_body(place: Place, paths: dict[str, set[str]]) -> None:
    """A client that looks before it downloads would be told something else than it gets."""
    for path, methods in paths.items():
        if "GET" in methods:
            for me in (True, False):
                assert seen(place, f"HEAD {path}", me=me) == seen(place, f"GET {path}", me=me), path


def test_options_tells_the_methods(place: Place, paths: dict[str, set[str]]) -> None:
    """A client could not ask what there is; or be told what there is not."""
    for path, methods in paths.items():
        for me in (True, False):
            status, headers = seen(place, f"OPTIONS {path}", me=me)
            assert (status, headers["allow"]) == (200, ", ".join(sorted(methods))), path


def test_other_methods_are_refused_by_name(place: Place, paths: dict[str, set[str]]) -> None:
    """A wrong method would do something, or its refusal not say which is right."""
    kept = place.kept()
    for path, methods in paths.items():
        for method in set(UNKNOWN_METHODS) - methods:
            status, headers = seen(place, f"{method} {path}")
            if method == "get":
                assert (status, "allow" in headers) in ((400, False), (405, True))
            else:
                assert (status, headers["allow"]) == (405, ", ".join(sorted(methods))), (method, path)
    assert place.kept() == kept


def test_what_varies_says_so(place: Place) -> None:
    """A cache would hand one caller's answer to another, or the link in place of the file."""
    file_id = place.ask(ask("PUT /upload/mine?visibility=private", body=b"mine")).json["id"]
    digest = place.ask(ask(f"GET /api/v1/files/{file_id}")).json["sha256"]
    assert seen(place, f"GET /{digest}")[1]["vary"] == "Authorization"
    assert seen(place, f"GET /{digest}", "If-None-Match: *")[1]["vary"] == "Authorization"
    assert "vary" not in seen(place, f"GET /{DIGEST}")[1]
    by_id = f"GET /api/v1/files/{file_id}/download"
    for accepted in ("*/*", "application/json"):
        vary = seen(place, by_id, f"Accept: {accepted}")[1]["vary"]
        assert sorted(vary.split(", ")) == ["Accept", "Authorization"]


def headers_of(place: Place, *headers: str, path: str = DIGEST) -> Iterator[Any]:
    """The same request by GET and HEAD, as nobody."""
    for method in ("GET", "HEAD"):
        yield place.ask(ask(f"{method} /{path}", *headers, me=False), with_body=method == "GET").headers


def test_a_partial_answer_has_what_a_whole_one_has(place: Place) -> None:
    """A client that resumes could not tell whether it is still the same file (RFC 9110, section 15.3.7)."""
    whole = next(headers_of(place))
    part = next(headers_of(place, "Range: bytes=1-2"))
    unchanged = next(headers_of(place, f'If-None-Match: "{DIGEST}"'))
    for name in ("date", "etag", "cache-control"):
        assert name in whole
        if name != "date":
            assert whole[name] == part[name] == unchanged[name]
    assert (part["content-length"], part["content-range"]) == ("2", "bytes 1-2/10")
    assert {"content-type", "content-disposition"} & set(unchanged) == set()
    assert Path(whole["content-disposition"].partition('filename="')[2]).name.startswith("ten.txt")
