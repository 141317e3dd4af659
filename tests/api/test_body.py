"""Raw bodies, JSON objects and base64; the numbers are the cases of bad input."""

from __future__ import annotations

import json
import socket
from base64 import b64encode
from collections.abc import Iterator
from contextlib import suppress
from io import BytesIO
from threading import Thread
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from blobstore.api.body import decode_base64, json_object, length, raw
from blobstore.errors import (
    BadBase64,
    BadJson,
    BadText,
    BlobstoreError,
    BodyTooLarge,
    FileTooLarge,
    IncompleteBody,
    Invalid,
    LengthRequired,
    UnsupportedContentEncoding,
    UnsupportedMediaType,
    UnsupportedTransferCoding,
)
from tests.api.sweep import Segments

RELAXED = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
"""A loaded machine is no failure."""
CHUNKED = {"HTTP_TRANSFER_ENCODING": "chunked", "wsgi.input_terminated": True}


def environ(body=b"", **more):
    return {"CONTENT_LENGTH": str(len(body)), "wsgi.input": BytesIO(body), **more}


def chunked(body):
    return {"wsgi.input": BytesIO(body), **CHUNKED}


@pytest.mark.parametrize("size", [0, 1, (1 << 20) - 1, 1 << 20, (1 << 20) + 1, 3 << 20])
@pytest.mark.parametrize("make", [environ, chunked])
def test_raw_bytes_are_exact(size, make):
    """A body would lose its end, or be held in memory as a whole."""
    body = bytes(range(256)) * (size // 256 + 1)
    pieces = list(raw(make(body[:size])))
    assert b"".join(pieces) == body[:size]
    assert all(0 < len(piece) <= 1 << 20 for piece in pieces)


def test_short_reads_are_no_end():
    """A slow client's upload would be refused, or cut."""
    body = b"x" * 1000
    assert b"".join(raw(environ(body) | {"wsgi.input": Segments(body, 7)})) == body


def test_no_more_than_the_length_is_read():
    """Case 15: the next request's bytes would be stored as part of this file."""
    source = BytesIO(b"x" * 10 + b"GET / HTTP/1.1")
    assert b"".join(raw({"CONTENT_LENGTH": "10", "wsgi.input": source})) == b"x" * 10
    assert source.tell() == 10


def test_a_body_cut_at_every_byte_is_incomplete():
    """Case 14, L2: an upload that broke off would be acknowledged."""
    body = b"x" * 2048
    for end in range(len(body)):
        with pytest.raises(IncompleteBody):
            list(raw(environ(body) | {"wsgi.input": BytesIO(body[:end])}))


@pytest.mark.parametrize(
    ("more", "error"),
    [
        pytest.param({"CONTENT_LENGTH": ""}, LengthRequired, id="13-no-length"),
        pytest.param({"CONTENT_LENGTH": "", "wsgi.input_terminated": True}, LengthRequired, id="13-under-gunicorn"),
        pytest.param({"CONTENT_LENGTH": "-1"}, Invalid, id="3-negative"),
        pytest.param({"CONTENT_LENGTH": "+5"}, Invalid, id="3-sign"),
        pytest.param({"CONTENT_LENGTH": "0x5"}, Invalid, id="3-hex"),
        pytest.param({"CONTENT_LENGTH": "５"}, Invalid, id="3-full-width"),
        pytest.param({"CONTENT_LENGTH": "5\n"}, Invalid, id="3-newline"),
        pytest.param({"CONTENT_LENGTH": "9" * 5000}, Invalid, id="3-long"),
        pytest.param(CHUNKED, Invalid, id="1-both"),
        pytest.param(CHUNKED | {"CONTENT_LENGTH": "", "wsgi.input_terminated": False}, LengthRequired, id="endless"),
        pytest.param({"HTTP_TRANSFER_ENCODING": "gzip, chunked"}, UnsupportedTransferCoding, id="6-gzip"),
        pytest.param({"HTTP_TRANSFER_ENCODING": ""}, UnsupportedTransferCoding, id="empty-coding"),
        pytest.param({"HTTP_CONTENT_ENCODING": "gzip"}, UnsupportedContentEncoding, id="18-gzip"),
        pytest.param({"HTTP_CONTENT_ENCODING": "identity, br"}, UnsupportedContentEncoding, id="18-list"),
    ],
)
def test_a_body_needs_a_plain_end(more, error):
    """A body would be read to a wrong end, or stored in a coding that nobody undoes."""
    with pytest.raises(error):
        raw(environ(b"12345") | more)


def test_identity_and_any_case_pass():
    """A client that says the obvious would be refused."""
    assert length(environ(b"12345", HTTP_CONTENT_ENCODING="Identity")) == 5
    assert length(chunked(b"") | {"HTTP_TRANSFER_ENCODING": " Chunked"}) is None


class _Quiet(WSGIRequestHandler):
    def log_message(self, *_args: object) -> None: ...


@pytest.fixture
def echo() -> Iterator[int]:
    """The port of a plain server of another kind than ours, that answers how many bytes the body had."""

    def app(environ, start_response):
        try:
            answer = str(sum(map(len, raw(environ))))
        except BlobstoreError as error:
            answer = error.code
        start_response("200 OK", [("Content-Length", str(len(answer)))])
        return [answer.encode()]

    server: WSGIServer = make_server("127.0.0.1", 0, app, handler_class=_Quiet)
    thread = Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield server.server_port
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.mark.parametrize(("sent", "answer"), [(0, "incomplete_body"), (999, "incomplete_body"), (1000, "1000")])
def test_a_cut_is_found_under_any_server(echo, sent, answer):
    """Case 14: under another server a half upload would be a whole one."""
    with socket.create_connection(("127.0.0.1", echo), timeout=30) as client:
        client.sendall(b"PUT / HTTP/1.0\r\nContent-Length: 1000\r\n\r\n" + b"x" * sent)
        client.shutdown(socket.SHUT_WR)
        reply = b"".join(iter(lambda: client.recv(4096), b""))
    assert reply.endswith(b"\r\n\r\n" + answer.encode())


def read_json(body, content_type="application/json", **options):
    return json_object(environ(body, CONTENT_TYPE=content_type), **options)


@pytest.mark.parametrize(
    ("body", "value"),
    [
        (b"{}", {}),
        (' {"ü": ["€", 1, -1.5e3, true, null, {"a": {}}]} '.encode(), {"ü": ["€", 1, -1500.0, True, None, {"a": {}}]}),
        (rb'{"a": "\u00fc\ud83d\ude00\\u0000"}', {"a": "ü😀\\u0000"}),
        (b'{"a": ' + b"[" * 500 + b"]" * 500 + b"}", None),
    ],
)
def test_json_objects(body, value):
    """A good request would be refused."""
    assert read_json(body) == (json.loads(body) if value is None else value)


@pytest.mark.parametrize(
    "body",
    [
        b"", b"{", b"\xff", b'"\xed\xa0\x80"', '{"a":1}'.encode("utf-16"), '{"a":1}'.encode("utf-16-le"),
        b'\xef\xbb\xbf{"a":1}', b"[" * 60000, b'{"a":' * 12000, b"[]", b"1", b'"x"', b"null", b'{"a":NaN}',
        b'{"a":Infinity}', b'{"a":-Infinity}', b'{"a":1e999}', b'{"a":[-1e999]}', b'{"a":1,"a":2}',
        b'{"b":[{"a":1,"\\u0061":2}]}', b'{"a":' + b"1" * 5000 + b"}", b"{'a':1}", b'{"a":1}x', b'{"a":01}',
        b'{"a":"\x00"}', b'{"a":"\n"}', b"{}\x00",
    ],
)  # fmt: skip
def test_bad_json(body):
    """Cases 31 to 34: a lenient reader would take what other programs read differently."""
    with pytest.raises(BadJson):
        read_json(body)


@pytest.mark.parametrize(
    "body",
    [
        rb'{"a":"\ud800"}',
        rb'{"a":"x\uDFFFy"}',
        rb'{"a":"\udc00\ud800"}',
        rb'{"a":"\u0000"}',
        rb'{"\u0000":1}',
        rb'{"a":[[{"b":["x","\u0000"]}]]}',
        rb'{"a":[{"\ud800":1}]}',
    ],
)
def test_text_that_no_column_holds(body):
    """Case 35: it would be a 500 from PostgreSQL."""
    with pytest.raises(BadText):
        read_json(body)


@pytest.mark.parametrize(
    "content_type",
    ["", "text/plain", "application/x-www-form-urlencoded", "application/json; charset=latin-1", "text/json", "json"],
)
def test_json_must_be_declared(content_type):
    """Case 30: a page of another origin could send it as text/plain without being asked."""
    with pytest.raises(UnsupportedMediaType):
        read_json(b"{}", content_type)


@pytest.mark.parametrize(
    "content_type", ["application/json; charset=UTF-8", "Application/JSON", 'application/json;charset="utf-8"']
)
def test_json_may_be_declared_with_its_charset(content_type):
    """Many clients add the charset, and would be refused."""
    assert read_json(b"{}", content_type) == {}


def test_json_is_bounded_by_length_and_by_count():
    """Case 32: a body of any size would be collected in memory."""
    body = b'{"a":"' + b"x" * 100 + b'"}'
    assert read_json(body, limit_bytes=len(body))
    with pytest.raises(BodyTooLarge) as caught:
        read_json(body, limit_bytes=len(body) - 1)
    assert caught.value.limit_bytes == len(body) - 1
    with pytest.raises(BodyTooLarge):
        json_object(chunked(body) | {"CONTENT_TYPE": "application/json"}, len(body) - 1)


def test_json_without_a_length_is_empty():
    """Case 13: a route that stores no body would answer 411."""
    with pytest.raises(BadJson):
        json_object({"CONTENT_TYPE": "application/json"})


def test_json_cut_at_every_byte_is_incomplete():
    """L2: half of an object might be an object too."""
    body = b'{"a": 1}          '
    for end in range(len(body)):
        with pytest.raises(IncompleteBody):
            json_object(environ(body, CONTENT_TYPE="application/json") | {"wsgi.input": BytesIO(body[:end])})


@RELAXED
@given(st.binary(max_size=60) | st.text(alphabet='{}[]":,\\u0dD8aeE+-.1nftrs \n', max_size=40).map(str.encode))
def test_hostile_json_is_answered(body):
    """A hostile body would be a 500."""
    with suppress(BadJson, BadText):
        assert isinstance(read_json(body), dict)


@RELAXED
@given(st.binary(max_size=100))
def test_base64_is_exact(content):
    """The bytes stored would not be the bytes meant."""
    assert decode_base64(b64encode(content).decode(), len(content)) == content


@pytest.mark.parametrize(
    "text",
    ["a", "ab", "abc", "ab=", "ab==c", "=", "====", "a===", "ab cd===", "abcd\n", " abcd", "ab-_", "a!cd", "äbcd",
     "ab==ab==", "YWJj====", "YQ", "YR==", "YWK=", "\ud800abc", "YWJj\x00", "abcd=", "ab=c"],
)  # fmt: skip
def test_bad_base64(text):
    """Case 37: one content would have two spellings, or a cut one would pass as whole."""
    with pytest.raises(BadBase64):
        decode_base64(text, 1000)


@pytest.mark.parametrize("size", [0, 1, 2, 3, 4, 5, 6, 100])
def test_base64_is_bounded_to_the_byte(size):
    """Case 37: the limit would depend on the padding."""
    text = b64encode(bytes(size)).decode()
    assert len(decode_base64(text, size)) == size
    if size:
        with pytest.raises(FileTooLarge):
            decode_base64(text, size - 1)
