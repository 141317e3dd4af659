"""Cases 53 to 64: hashes, ids, ranges and conditions."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

import pytest

from tests.edge.cases import Case, check
from tests.edge.place import DIGEST, TEN, Place
from tests.edge.wire import Reply, ask

WIDE = "".join(chr(ord(digit) + 0xFEE0) if digit.isdigit() else digit for digit in DIGEST)
ETAG = f'"{DIGEST}"'
IDS = ("1e3", "-1", str(1 << 63), "0x1", quote("１"), "0", "%00", "..", "a" * 3000, "'--", "%25", quote("\U0001f600"))
NO_RANGES = ("bytes=abc", "bytes=5-2", "items=0-1", "bytes=", "bytes=--1", "bytes=-", "bytes", "bytes=\xb2-\xb3",
             "bytes=1-2x", "bytes=0x0-5", "bytes= 0 - 1")  # fmt: skip
SEVERAL = {"two": "bytes=0-1,3-4", "overlapping": "bytes=0-,0-,0-", "500": "bytes=" + ",".join(["0-1"] * 500)}
LONG_LIST = ", ".join(f'"{number:060}"' for number in range(125))


def whole(_: Place, reply: Reply) -> None:
    """All bytes, and no sign of a range."""
    assert reply.body == TEN
    assert "content-range" not in reply.headers


def part(content_range: str, body: bytes) -> Any:
    """This slice."""

    def look(_: Place, reply: Reply) -> None:
        assert (reply.headers["content-range"], reply.body) == (f"bytes {content_range}/10", body)

    return look


def of_size(size: int) -> Any:
    """A 416 that says how large the file is."""

    def look(_: Place, reply: Reply) -> None:
        assert reply.headers["content-range"] == f"bytes */{size}"

    return look


def without_body(_: Place, reply: Reply) -> None:
    """Only the head, and the entity tag in it."""
    assert reply.body == b""
    assert reply.headers.get("content-length", "0") == "0"
    assert reply.headers["etag"] == ETAG


def get(*headers: str, path: str = DIGEST, method: str = "GET") -> bytes:
    """A download by nobody."""
    return ask(f"{method} /{path}", *headers, me=False)


def ranged(number: int, what: str, value: str, content_range: str, body: bytes) -> Case:
    """A case of a satisfiable range."""
    return Case(number, what, get(f"Range: {value}"), 206, then=part(content_range, body))


CASES = [
    *(
        Case(53, what, get(path=path), 404, "not_found")
        for what, path in {
            "63": DIGEST[:-1], "65": DIGEST + "0", "g": DIGEST[:-1] + "g", "full-width": quote(WIDE),
            "newline": DIGEST + "%0a", "below": DIGEST + "/..", "slash": DIGEST + "/", "prefix": DIGEST[:12],
            "under-a-shard": f"{DIGEST[:2]}/{DIGEST}", "unknown": "f" * 64, "double-slash": "/" + DIGEST,
        }.items()
        if what != "below"
    ),
    Case(53, "below", get(path=DIGEST + "/.."), 400, "bad_name"),
    Case(53, "upper-case", get(path=DIGEST.upper()), 200, then=whole),
    *(Case(54, f"file-{n}", ask(f"GET /api/v1/files/{one}"), 404, "not_found") for n, one in enumerate(IDS)),
    *(Case(54, f"short-{n}", ask(f"GET /s/{one}"), 404, "not_found") for n, one in enumerate(IDS)),
    *(Case(54, f"key-{n}", ask(f"DELETE /api/v1/keys/{one}"), 404, "not_found") for n, one in enumerate(IDS)),
    Case(54, "slash-in-an-id", ask("GET /s/a%2fb"), 404, "not_found"),
    ranged(55, "first", "bytes=0-0", "0-0", b"0"),
    ranged(55, "all", "bytes=0-", "0-9", TEN),
    ranged(55, "last", "bytes=-1", "9-9", b"9"),
    ranged(55, "from-9", "bytes=9-", "9-9", b"9"),
    ranged(55, "beyond", "bytes=8-99", "8-9", b"89"),
    ranged(55, "any-case", "Bytes=2-3", "2-3", b"23"),
    ranged(56, "long-suffix", "bytes=-100", "0-9", TEN),
    Case(57, "from-10", get("Range: bytes=10-"), 416, "range_not_satisfiable", then=of_size(10)),
    Case(57, "empty-suffix", get("Range: bytes=-0"), 416, "range_not_satisfiable", then=of_size(10)),
    *(Case(58, f"ignored-{n}", get(f"Range: {one}"), 200, then=whole) for n, one in enumerate(NO_RANGES)),
    *(Case(59, what, get(f"Range: {one}"), 200, then=whole) for what, one in SEVERAL.items()),
    ranged(60, "2-to-the-64", "bytes=0-18446744073709551616", "0-9", TEN),
    ranged(60, "5000-digits", "bytes=0-" + "9" * 5000, "0-9", TEN),
    ranged(60, "leading-zeros", "bytes=" + "0" * 5000 + "1-2", "1-2", b"12"),
    Case(60, "5000-digits-first", get("Range: bytes=" + "9" * 5000 + "-"), 416, "range_not_satisfiable"),
    Case(60, "10000-digits", get("Range: bytes=0-" + "9" * 10_000), 431, "headers_too_large"),
    Case(61, "weak", get("Range: bytes=0-0", f"If-Range: W/{ETAG}"), 200, then=whole),
    Case(61, "other", get("Range: bytes=0-0", 'If-Range: "x"'), 200, then=whole),
    Case(61, "date", get("Range: bytes=0-0", "If-Range: Sat, 31 Jan 2026 12:00:00 GMT"), 200, then=whole),
    Case(61, "same", get("Range: bytes=0-0", f"If-Range: {ETAG}"), 206, then=part("0-0", b"0")),
    Case(62, "miss", get('If-Match: "x"'), 412, then=without_body),
    Case(62, "weak", get(f"If-Match: W/{ETAG}"), 412, then=without_body),
    Case(62, "garbage", get("If-Match: x"), 412, then=without_body),
    Case(62, "hit", get(f'If-Match: "x", {ETAG}'), 200, then=whole),
    Case(62, "any", get("If-Match: *"), 200, then=whole),
    Case(63, "any", get("If-None-Match: *"), 304, then=without_body),
    Case(63, "hit", get(f"If-None-Match: {ETAG}"), 304, then=without_body),
    Case(63, "weak-in-a-list", get(f'If-None-Match: "x", W/{ETAG}'), 304, then=without_body),
    Case(63, "long-list", get(f"If-None-Match: {LONG_LIST}"), 200, then=whole),
    Case(63, "long-list-hit", get(f"If-None-Match: {LONG_LIST[:7000]}\", {ETAG}"), 304, then=without_body),
    Case(63, "10-KiB-list", get(f"If-None-Match: {LONG_LIST * 2}"), 431, "headers_too_large"),
    Case(63, "garbage", get('If-None-Match: "x, y'), 200, then=whole),
    Case(63, "not-there", get("If-None-Match: *", path="f" * 64), 404, "not_found"),
    *(
        Case(64, f"head-{n}", get(*headers, method="HEAD"), status, with_body=False)
        for n, (headers, status) in enumerate(
            [((), 200), (("Range: bytes=0-0",), 200), ((f"If-None-Match: {ETAG}",), 304), (('If-Match: "x"',), 412)]
        )
    ),
    Case(64, "head-not-there", get(path="f" * 64, method="HEAD"), 404, "not_found", with_body=False),
]  # fmt: skip


@pytest.mark.parametrize("case", CASES, ids=str)
def test_case(place: Place, case: Case) -> None:
    """Something else than the exact hash, range or condition would be answered, or the service fail."""
    check(place, case)


def test_any_range_of_an_empty_file_is_beyond_it(place: Place) -> None:
    """A client that resumes an empty file would wait for bytes, or take an error for one (case 57)."""
    digest = place.ask(ask("PUT /upload/empty", body=b"")).json["sha256"]
    for value in ("bytes=0-", "bytes=0-0", "bytes=-1", "bytes=-0"):
        reply = place.ask(get(f"Range: {value}", path=digest))
        assert (reply.status, reply.headers["content-range"]) == (416, "bytes */0")


def test_a_stranger_never_learns_by_a_condition(place: Place) -> None:
    """A 304 or a 412 would tell that somebody has the content (case 63)."""
    digest = place.ask(ask("PUT /upload/secret?visibility=private", body=b"secret")).json["sha256"]
    for header in (f'If-None-Match: "{digest}"', "If-None-Match: *", 'If-Match: "x"', "Range: bytes=99-"):
        for method in ("GET", "HEAD"):
            reply = place.ask(get(header, path=digest, method=method), with_body=method == "GET")
            assert reply.status == 404
    assert place.ask(ask(f"GET /{digest}", f'If-None-Match: "{digest}"')).status == 304
