"""Requests that are none: each is refused once, by a problem document, and the connection ends."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.served import Server, serving

SNEAKED = "GET /hello HTTP/1.1\r\nHost: x\r\n\r\n"
CHUNKED = "PUT /swallow HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One worker with the limits as they are by default."""
    with serving(tmp_path_factory.mktemp("server")) as running:
        yield running


def _put(*headers: str, version: str = "1.1") -> str:
    return "\r\n".join([f"PUT /swallow HTTP/{version}", "Host: x", *headers, "", "abcde"])


REFUSED = {
    "1 length and coding": (_put("Content-Length: 5", "Transfer-Encoding: chunked"), 400, "bad_request"),
    "2 two lengths": (_put("Content-Length: 5", "Content-Length: 6"), 400, "bad_request"),
    "2 one length twice": (_put("Content-Length: 5", "Content-Length: 5"), 400, "bad_request"),
    "3 plus": (_put("Content-Length: +5"), 400, "bad_request"),
    "3 minus": (_put("Content-Length: -1"), 400, "bad_request"),
    "3 list": (_put("Content-Length: 5,5"), 400, "bad_request"),
    "3 hex": (_put("Content-Length: 0x5"), 400, "bad_request"),
    "3 space": (_put("Content-Length: 5 5"), 400, "bad_request"),
    "3 superscript": (_put("Content-Length: \xb2"), 400, "bad_request"),
    "3 empty": (_put("Content-Length:"), 400, "bad_request"),
    "3 endless": (_put("Content-Length: " + "9" * 5000), 400, "bad_request"),
    "4 unknown coding": (_put("Transfer-Encoding: xchunked"), 501, "unsupported_transfer_coding"),
    "5 chunked, identity": (_put("Transfer-Encoding: chunked, identity"), 400, "bad_request"),
    "5 identity, chunked": (_put("Transfer-Encoding: identity, chunked"), 501, "unsupported_transfer_coding"),
    "5 chunked twice": (_put("Transfer-Encoding: chunked", "Transfer-Encoding: chunked"), 400, "bad_request"),
    "5 in HTTP/1.0": (_put("Transfer-Encoding: chunked", version="1.0"), 400, "bad_request"),
    "6 gzip, chunked": (_put("Transfer-Encoding: gzip, chunked"), 501, "unsupported_transfer_coding"),
    "6 in two fields": (
        _put("Transfer-Encoding: gzip", "Transfer-Encoding: chunked"),
        501,
        "unsupported_transfer_coding",
    ),
    "6 gzip": (_put("Transfer-Encoding: gzip"), 400, "bad_request"),
    "7 bare LF": ("GET /hello HTTP/1.1\nHost: x\n\n", 400, "bad_request"),
    "7 bare LF later": ("GET /hello HTTP/1.1\r\nHost: x\nA: b\r\n\r\n", 400, "bad_request"),
    "7 space before colon": (_put("Content-Length : 5"), 400, "bad_request"),
    "7 NUL": (_put("A: b\0c"), 400, "bad_request"),
    "7 folded": (_put("A: b", " c"), 400, "bad_request"),
    "10 two hosts": (_put("Host: y"), 400, "bad_request"),
    "10 two types": (_put("Content-Type: a/b", "Content-Type: a/b"), 400, "bad_request"),
    "11 long line": (f"GET /{'a' * 4200} HTTP/1.1\r\nHost: x\r\n\r\n", 414, "uri_too_long"),
    "11 long field": (_put("A: " + "b" * 8300), 431, "headers_too_large"),
    "11 many fields": (_put(*(f"A{n}: b" for n in range(101))), 431, "headers_too_large"),
    "17 expectation": (_put("Expect: foo", "Content-Length: 5"), 417, "expectation_failed"),
    "no version": ("GET /hello\r\n\r\n", 400, "bad_request"),
    "another version": ("GET /hello HTTP/2.0\r\nHost: x\r\n\r\n", 505, "http_version"),
    "garbage": ("\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03\r\n\r\n", 400, "bad_request"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_it_is_refused_once(server: Server, case: str) -> None:
    """Otherwise two servers read one request differently, or the bytes behind a bad one are read as another."""
    request, status, code = REFUSED[case]
    with server.connect() as client:
        client.send(request + SNEAKED)
        answer = client.answer()
        assert (answer.status, answer.code, answer.headers["connection"]) == (status, code, "close")
        assert client.rest() == b""


def test_a_cut_head_is_answered(server: Server) -> None:
    """Otherwise a client that ended too early hears nothing."""
    with server.connect() as client:
        assert client.send("GET /hello HTTP/1.1\r\nHo").end().answer().code == "bad_request"
        assert client.rest() == b""


def test_nothing_is_answered_by_nothing(server: Server) -> None:
    """Otherwise a health check that only connects gets an error."""
    with server.connect() as client:
        assert client.end().rest() == b""


BAD_CHUNKS = {
    "hex prefix": "0x5\r\nabcde\r\n0\r\n\r\n",
    "seventeen digits": "FFFFFFFFFFFFFFFFF\r\nabcde",
    "negative": "-5\r\nabcde\r\n0\r\n\r\n",
    "plus": "+5\r\nabcde\r\n0\r\n\r\n",
    "underscore": "0_5\r\nabcde\r\n0\r\n\r\n",
    "empty size": "\r\nabcde\r\n0\r\n\r\n",
    "space": " 5\r\nabcde\r\n0\r\n\r\n",
    "not a digit": "g\r\nabcde\r\n0\r\n\r\n",
    "no CRLF behind": "5\r\nabcde0\r\n\r\n",
    "LF behind": "5\r\nabcde\n0\r\n\r\n",
    "LF behind the size": "5\nabcde\r\n0\r\n\r\n" + "x" * 9000,
    "CR in an extension": "5;a\rb\r\nabcde\r\n0\r\n\r\n",
    "unquoted extension": '5;a="b\r\nabcde\r\n0\r\n\r\n',
    "endless size": "0" * 20_000,
    "length as a trailer": "5\r\nabcde\r\n0\r\nContent-Length: 7\r\n\r\n",
    "broken trailer": "5\r\nabcde\r\n0\r\nno colon\r\n\r\n",
}


@pytest.mark.parametrize("case", BAD_CHUNKS)
def test_a_broken_chunk_is_refused_once(server: Server, case: str) -> None:
    """Otherwise a broken coding is a failure of ours (500), or its rest is read as a request."""
    with server.connect() as client:
        client.send(CHUNKED + BAD_CHUNKS[case] + SNEAKED)
        answer = client.answer()
        assert (answer.status, answer.code) == (400, "bad_chunk")
        assert client.rest() == b""


def test_a_chunked_body_cut_anywhere_is_refused(server: Server) -> None:
    """Otherwise a cut body is taken for a whole one."""
    coded = '5;a="b;c"\r\nabcde\r\n1\r\nf\r\n0\r\nX-A: b\r\n\r\n'
    for end in range(len(coded)):
        with server.connect() as client:
            answer = client.send(CHUNKED + coded[:end]).end().answer()
            assert (end, answer.status, answer.code) == (end, 400, "bad_chunk")
            assert client.rest() == b""


@pytest.mark.parametrize("size", [1, 5000, 100_000])
def test_a_body_cut_anywhere_is_refused(server: Server, size: int) -> None:
    """Otherwise gunicorn's own answer stands: a cut body is complete."""
    for sent in {0, 1, size // 2, size - 1} - {size}:
        with server.connect() as client:
            client.send(f"PUT /swallow HTTP/1.1\r\nHost: x\r\nContent-Length: {size}\r\n\r\n").send(bytes(sent)).end()
            answer = client.answer()
            assert (answer.status, answer.code) == (400, "incomplete_body")
            assert client.rest() == b""


@pytest.mark.parametrize(
    ("request_text", "seen"),
    [
        ("PUT /patient HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\nabc", "IncompleteBody IncompleteBody"),
        ("PUT /patient HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n9\r\nabc", "BadChunk BadChunk"),
    ],
)
def test_a_broken_body_stays_broken(server: Server, request_text: str, seen: str) -> None:
    """Otherwise the second read of a cut body says that it ended well."""
    with server.connect() as client:
        answer = client.send(request_text).end().answer()
        assert (answer.text, answer.headers["connection"]) == (seen, "close")
