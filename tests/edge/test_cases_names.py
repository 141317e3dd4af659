"""Cases 44 to 52: the names that people give, and those that they should not."""

from __future__ import annotations

import re
from hashlib import sha256
from typing import Any
from urllib.parse import quote

import pytest

from blobstore.core.names import parse_name
from tests.edge.cases import Case, check
from tests.edge.place import Place
from tests.edge.wire import Reply, ask, ask_form, ask_json, file_part

EMOJI = "\U0001f600"
XSS = "<img src=x onerror=alert(1)>\"'&.txt"
SAME = {"cafe\u0301": "caf\u00e9", "a\u202egnp.exe": "agnp.exe", "a\u200bb\ufeffc": "abc", "\u0430dmin": "\u0430dmin"}
"""A name, and what it is kept as; the last is a Cyrillic twin of another name, and stays one."""
DOS = ("CON", "aux.txt", "a:b", "trailing.", "LPT1")
HEADER = ('a"b.txt', "a;b.txt", "a%22b.txt", "é.txt", "a'b.txt", "100%.txt", "a=b, c.txt")


def upload(path: str, name: str) -> bytes:
    """An upload with a content of its own."""
    return ask(f"PUT /upload/{path}", body=name.encode("utf-8", "replace") or b"x")


def called(name: str, folder: str = "/") -> Any:
    """The file has this name; a download offers it, and nothing on the disk has it."""

    def look(place: Place, reply: Reply) -> None:
        assert (reply.json["name"], reply.json["folder"]) == (name, folder)
        digest = reply.json["sha256"]
        line = place.ask(ask(f"GET /{digest}", me=False)).headers["content-disposition"]
        assert line.isascii()
        assert f"filename*=UTF-8''{quote(name, safe='!#$&+-.^_`|~')}" in line or line.endswith(f'filename="{name}"')
        assert place.ask(ask(f"GET /{digest}/{quote(name, safe='')}", me=False)).status == 200
        assert all(re.fullmatch("[0-9a-f]{64}", kept) for kept in place.kept()[-1])

    return look


def escaped(place: Place, reply: Reply) -> None:
    """The name is text in the page of its short link."""
    page = place.ask(ask(f"GET /s/{reply.json['id']}?output=html", me=False))
    assert page.headers["content-type"].startswith("text/html")
    assert b"<img" not in page.body
    assert b"&lt;img" in page.body
    called(XSS)(place, reply)


def kept_as(number: int, what: str, path: str, name: str, folder: str = "/") -> Case:
    """A case of a path that is taken, under this name."""
    return Case(number, what, upload(path, what), 201, stores=1, then=called(name, folder))


def refused(number: int, what: str, path: str, code: str = "bad_name") -> Case:
    """A case of a path that is not."""
    return Case(number, what, upload(path, what), 400, code)


CASES = [
    kept_as(44, "dots", "../../etc/passwd", "passwd"),
    kept_as(44, "encoded-dots", "%2e%2e%2f%2e%2e%2fetc%2fshadow", "shadow"),
    kept_as(44, "dots-inside", "a/../../b", "b"),
    kept_as(44, "backslashes", "..%5C..%5Cx", "x"),
    kept_as(44, "drive", "C:%5Cx", "x"),
    kept_as(44, "absolute", "/abs", "abs"),
    kept_as(44, "absolute-encoded", "%2Fetc%2Fhosts", "hosts"),
    Case(44, "in-a-form", ask_form(file_part(b"in a form", "../../etc/passwd2")), 201, stores=1,
         then=called("passwd2")),
    Case(44, "in-json", ask_json("POST /upload", {"data": "aW4ganNvbg==", "name": "..\\..\\y"}), 201, stores=1,
         then=called("y")),
    *(refused(45, f"u{code:02x}", "a" + quote(chr(code)) + "b") for code in (0, 7, 9, 10, 13, 27, 0x7F, 0x80, 0x9F)),
    refused(45, "header-injection", "x%0d%0aSet-Cookie:%20a=b"),
    refused(45, "line-separator", "a%E2%80%A8b"),
    Case(45, "in-a-form", ask_form(file_part(b"x", "a\tb")), 400, "bad_name"),
    Case(45, "in-a-download", ask(f"GET /{'0' * 64}/a%0d%0aX:%20b", me=False), 400, "bad_name"),
    refused(46, "dot", "%2e"),
    refused(46, "dots", ".."),
    refused(46, "spaces", "%20%20"),
    refused(46, "dots-and-spaces", "%20.%20."),
    refused(46, "query-empty", "x?name="),
    refused(46, "zero-width-only", "%E2%80%8B%E2%80%8B"),
    kept_as(47, "255-bytes", "a" * 251 + ".txt", "a" * 251 + ".txt"),
    refused(47, "256-bytes", "a" * 252 + ".txt"),
    Case(47, "10-KiB", ask_json("POST /upload", {"data": "", "name": "a" * 10_240}), 400, "bad_name"),
    Case(47, "10-KiB-in-a-form", ask_form(file_part(b"x", "a" * 3_000)), 400, "bad_name"),
    kept_as(47, "63-emoji", quote(EMOJI * 63), EMOJI * 63),
    refused(47, "64-emoji", quote(EMOJI * 64)),
    Case(47, "255-emoji", ask_json("POST /upload", {"data": "", "name": EMOJI * 255}), 400, "bad_name"),
    *(kept_as(48, f"twin-{number}", quote(sent), kept) for number, (sent, kept) in enumerate(SAME.items())),
    *(kept_as(49, name, quote(name), name) for name in DOS),
    *(kept_as(50, name, quote(name), name) for name in HEADER),
    kept_as(50, "backslash", quote("a\\b.txt"), "b.txt"),
    refused(51, "ff", "%ff", "bad_encoding"),
    refused(51, "surrogate", "%ed%a0%80", "bad_encoding"),
    refused(51, "overlong", "%c0%ae%c0%ae", "bad_encoding"),
    refused(51, "in-the-query", "x?name=%ff", "bad_encoding"),
    Case(51, "raw-byte", ask("PUT /upload/\xff", body=b"x"), 400, "bad_request"),
    Case(51, "in-a-download", ask(f"GET /{'0' * 64}/%ff", me=False), 400, "bad_encoding"),
    Case(51, "in-a-form", ask_form(file_part(b"x", "\xff")), 400, "bad_multipart"),
    Case(52, "markup", upload(quote(XSS), "markup"), 201, stores=1, then=escaped),
    Case(52, "markup-in-an-error", ask(f"PUT /upload/x?{quote(XSS)}=1", body=b"x"), 400, "bad_option",
         then=lambda place, reply: reply.headers["x-content-type-options"] == "nosniff"),
]  # fmt: skip


@pytest.mark.parametrize("case", CASES, ids=str)
def test_case(place: Place, case: Case) -> None:
    """A name would become a path, a header, a page or another name."""
    check(place, case)


def test_a_name_of_two_spellings_is_one_file(place: Place) -> None:
    """The same name typed on two systems would make two files (case 48)."""
    first = place.ask(ask("PUT /upload/re%CC%81sume%CC%81", body=b"resume"))
    again = place.ask(ask("PUT /upload/r%C3%A9sum%C3%A9", body=b"resume"))
    assert (first.status, again.status, first.json["id"]) == (201, 200, again.json["id"])
    assert sha256(b"resume").hexdigest() == again.json["sha256"]
    assert parse_name("re\u0301sume\u0301") == again.json["name"]
