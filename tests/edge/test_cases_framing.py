"""Cases 1 to 20 and 110: where a request begins, where it ends, and what it may not be."""

from __future__ import annotations

from hashlib import sha256

import pytest

from tests.edge.cases import SNEAKED, Case, check
from tests.edge.place import DIGEST, MAX_FILE_BYTES, TEN, Place
from tests.edge.wire import CLOSE, FORM, JSON, ME, Reply, ask, ask_form, ask_json, chunked, file_part, head
from tests.test_server_framing import BAD_CHUNKS, REFUSED

CODED = "Transfer-Encoding: chunked"
EXPECT = "Expect: 100-continue"
LENGTH = f"Content-Length: {10 << 20}"


def closes(_: Place, reply: Reply) -> None:
    """The connection ends, and so does what is behind the request."""
    assert reply.headers["connection"] == "close"


def unread(place: Place, reply: Reply) -> None:
    """It was refused without an invitation to send the body."""
    closes(place, reply)
    assert reply.interim == []


def allows(*methods: str):
    """405 with these methods in Allow."""

    def look(_: Place, reply: Reply) -> None:
        assert reply.headers["allow"] == ", ".join(sorted(methods))

    return look


def holds(content: bytes):
    """The content is what was stored."""

    def look(place: Place, reply: Reply) -> None:
        assert reply.json["sha256"] == sha256(content).hexdigest()
        assert reply.json["size"] == len(content)
        assert place.ask(ask(f"GET /{sha256(content).hexdigest()}", me=False)).body == content

    return look


def of_parser() -> list[Case]:
    """What the parser refuses, behind the address of an upload, with credentials."""
    cases = []
    for what, (request, status, code) in REFUSED.items():
        number, _, words = what.partition(" ")
        if number.isdigit():
            real = request.replace("/swallow", "/upload/x").replace("\r\nHost: x", f"\r\nHost: x\r\n{ME}", 1)
            raw = real.encode("latin-1") + SNEAKED
            cases.append(Case(int(number), words.replace(" ", "-"), raw, status, code, then=closes))
    return cases


def of_chunks() -> list[Case]:
    """Broken chunks, and one that ends early at every byte."""
    start = head("PUT /upload/x", ME, CODED)
    cases = [
        Case(12, what.replace(" ", "-"), start + coded.encode() + SNEAKED, 400, "bad_chunk", then=closes)
        for what, coded in BAD_CHUNKS.items()
    ]
    whole = b"5\r\nabcde\r\n0\r\n\r\n"
    cuts = [Case(12, f"cut-at-{n}", start + whole[:n], 400, "bad_chunk", end=True) for n in range(len(whole))]
    return cases + cuts


CASES = [
    *of_parser(),
    *of_chunks(),
    Case(8, "underscore-alone", ask("PUT /upload/x", "Content_Length: 5") + b"abcde", 411, "length_required"),
    Case(8, "underscore-beside", ask("PUT /upload/x", "Content_Length: 5", body=b"abc"), 201, stores=1,
         then=holds(b"abc")),
    Case(9, "no-host", ask("GET /health", host=None), 400, "bad_host"),
    Case(9, "unknown-host", ask("PUT /upload/x", host="evil.example", body=b"x"), 400, "bad_host"),
    Case(9, "user-in-host", ask("PUT /upload/x", host="a@localhost", body=b"x"), 400, "bad_host"),
    Case(13, "put", ask("PUT /upload/x"), 411, "length_required"),
    Case(13, "put-hash", ask(f"PUT /{DIGEST[::-1]}"), 411, "length_required"),
    Case(13, "post", ask("POST /upload"), 411, "length_required"),
    Case(13, "form", ask("POST /upload", FORM), 411, "length_required"),
    Case(13, "empty-elsewhere", ask(f"DELETE /{'0' * 64}"), 404, "not_found"),
    Case(13, "empty-json", ask("POST /api/v1/keys", JSON), 400, "bad_json"),
    Case(14, "raw", ask("PUT /upload/x", "Content-Length: 1000") + bytes(500), 400, "incomplete_body", end=True),
    Case(14, "nothing", ask("PUT /upload/x", "Content-Length: 1000"), 400, "incomplete_body", end=True),
    Case(14, "form", ask_form(file_part(b"x" * 500))[:-9], 400, "incomplete_body", end=True),
    Case(14, "json", ask_json("POST /upload", {"data": "eA=="})[:-1], 400, "incomplete_body", end=True),
    Case(14, "json-elsewhere", ask_json("POST /api/v1/keys", {"name": "x"})[:-1], 400, "incomplete_body", end=True),
    Case(
        15,
        "more-than-the-length",
        head("PUT /upload/x", ME, "Content-Length: 10") + b"fifteen!!!" + SNEAKED,
        201,
        stores=1,
        then=lambda place, reply: (closes(place, reply), holds(b"fifteen!!!")(place, reply)),
    ),
    Case(
        16,
        "wrong-password",
        head("PUT /upload/x", "Authorization: Basic bWU6d3Jvbmc=", EXPECT, LENGTH),
        401,
        "invalid_credentials",
        then=unread,
    ),
    Case(
        16,
        "nobody",
        head("PUT /upload/x", EXPECT, CODED),
        401,
        "invalid_credentials",
        then=unread,
    ),
    Case(18, "gzip", ask("PUT /upload/x", "Content-Encoding: gzip", body=b"x"), 415, "unsupported_content_encoding"),
    Case(18, "in-a-form", ask_form(file_part(b"x")).replace(b"\r\nC", b"\r\nContent-Encoding: br\r\nC", 1), 415,
         "unsupported_content_encoding"),
    Case(18, "of-json", ask_json("POST /upload", {"data": ""}, "Content-Encoding: deflate"), 415,
         "unsupported_content_encoding"),
    Case(19, "length", head("PUT /upload/x", ME, EXPECT, f"Content-Length: {MAX_FILE_BYTES + 1}"), 413,
         "file_too_large", then=unread),
    Case(19, "length-sent", head("PUT /upload/x", ME, f"Content-Length: {MAX_FILE_BYTES + 1}") + bytes(1 << 20), 413,
         "file_too_large", then=closes),
    Case(19, "chunked", head("PUT /upload/x", ME, CODED) + chunked(bytes(MAX_FILE_BYTES + 1)), 413, "file_too_large",
         then=closes),
    Case(19, "in-a-form", ask_form(file_part(bytes(MAX_FILE_BYTES + 1))), 413, "file_too_large", then=closes),
    Case(20, "trace", ask(f"TRACE /{DIGEST}"), 405, "method_not_allowed",
         then=allows("GET", "HEAD", "OPTIONS", "PUT", "DELETE")),
    Case(20, "unknown", ask("FOO /api/v1/me/quota"), 405, "method_not_allowed", then=allows("GET", "HEAD", "OPTIONS")),
    Case(20, "connect", ask("CONNECT /upload"), 405, "method_not_allowed",
         then=allows("HEAD", "OPTIONS", "POST", "PUT")),
    Case(20, "connect-to-a-host", ask("CONNECT evil.example:443"), 400, "bad_host"),
    Case(20, "override", ask(f"GET /{DIGEST}", "X-HTTP-Method-Override: DELETE"), 200,
         then=lambda place, reply: place.ask(ask(f"GET /{DIGEST}")).body == TEN),
    Case(20, "override-by-post", ask(f"POST /{DIGEST}", "X-HTTP-Method-Override: DELETE", body=b""), 405,
         "method_not_allowed"),
    *(
        Case(110, f"{method.lower()}-unknown", head(f"{method} /nowhere", ME, LENGTH) + bytes(1 << 20), 404,
             "not_found", with_body=method != "HEAD", then=closes)
        for method in ("GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH")
    ),
    *(
        Case(110, f"{method.lower()}-wrong", head(f"{method} /health", ME, LENGTH) + bytes(1 << 20), 405,
             "method_not_allowed", then=closes)
        for method in ("POST", "PUT", "DELETE", "PATCH")
    ),
    Case(110, "no-invitation", head("POST /nowhere", ME, EXPECT, LENGTH), 404, "not_found",
         then=unread),
    Case(110, "options", ask("OPTIONS /upload"), 200, then=allows("HEAD", "OPTIONS", "POST", "PUT")),
    Case(110, "options-of-all", ask("OPTIONS *"), 200,
         then=allows("DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT")),
    Case(110, "get-of-all", ask("GET *"), 400, "bad_request"),
    Case(110, "head", ask(f"HEAD /{DIGEST}"), 200, with_body=False),
    Case(110, "absolute-form", ask("GET http://localhost/health"), 200),
    Case(110, "absolute-form-elsewhere", ask("GET http://evil.example/health"), 400, "bad_host"),
]  # fmt: skip


@pytest.mark.parametrize("case", CASES, ids=str)
def test_case(place: Place, case: Case) -> None:
    """Two readers of one request would see two, or a broken one be taken for a whole one and stored."""
    check(place, case)


def test_http_1_0_needs_no_host(place: Place) -> None:
    """An old health check would fail; or a request without a length would go on (case 5)."""
    assert place.ask(f"PUT /upload/x HTTP/1.0\r\nHost: localhost\r\n{ME}\r\n\r\n".encode()).status == 411
    reply = place.ask(f"GET /{DIGEST} HTTP/1.0\r\nHost: localhost\r\n{CLOSE}\r\n\r\n".encode())
    assert (reply.status, reply.body) == (200, TEN)
