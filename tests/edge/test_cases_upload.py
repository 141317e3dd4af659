"""Cases 21 to 43: what a body says, and what it is said to be."""

from __future__ import annotations

from base64 import b64encode
from hashlib import md5, sha256
from typing import Any

import pytest

from tests.edge.cases import Case, check
from tests.edge.place import Place
from tests.edge.wire import FORM, Reply, ask, ask_form, ask_json, file_part, form, part

EMPTY = sha256().hexdigest()
SCRIPT = b"<script>alert(1)</script>"
POLYGLOTS = {
    "gif-js": b"GIF89a/*" + SCRIPT + b"*/=1;",
    "pdf-zip": b"%PDF-1.7\nPK\x03\x04" + SCRIPT,
    "png-script": b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR" + SCRIPT,
}
PARSED_BY_OTHERS = {
    "svg": b'<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>',
    "entity": b'<?xml version="1.0"?><!DOCTYPE a [<!ENTITY b SYSTEM "file:///etc/passwd">]><a>&b;</a>',
    "laughs": b'<!DOCTYPE a [<!ENTITY b "ha"><!ENTITY c "&b;&b;&b;&b;&b;&b;&b;&b;">]><a>&c;&c;&c;</a>',
}
BAD_JSON = {
    "31-nothing": b"", "31-brace": b"{", "31-latin-1": b"\xff", "31-utf-16": '{"name":"x"}'.encode("utf-16"),
    "31-bom": b'\xef\xbb\xbf{"name":"x"}', "32-nested": b"[" * 60_000, "32-nested-keys": b'{"a":' * 12_000,
    "33-nan": b'{"name":NaN}', "33-infinity": b'{"name":-Infinity}', "33-1e999": b'{"name":1e999}',
    "34-twice": b'{"name":"x","name":"y"}',
}  # fmt: skip
BAD_BASE64 = {
    "alphabet": "a!cd", "whitespace": "YWJj YWJj", "newline": "YWJj\n", "no-padding": "YQ", "short-padding": "YQ=",
    "long-padding": "YQ===", "padding-inside": "YQ==YQ==", "urlsafe-mix": "ab-_", "last-bits": "YR==",
    "letters": "äöü=",
}  # fmt: skip
BAD_EXPIRES = {
    "past": ("expires_at", "2020-01-01T00:00:00Z"), "zero": ("expires_in", "0"), "negative": ("expires_in", "-5"),
    "huge": ("expires_in", "1000000000000"), "no-such-day": ("expires_at", "2099-02-30T00:00:00Z"),
    "no-zone": ("expires_at", "2099-01-30T00:00:00"), "nan": ("expires_in", "NaN"), "float": ("expires_in", "1e3"),
    "arabic-digits": ("expires_in", "%D9%A1%D9%A2"), "empty": ("expires_at", ""),
    "overflow": ("expires_at", "9999-12-31T23:59:59-23:59"),
    "both": ("expires_in=5&expires_at", "2099-01-30T00:00:00Z"),
}  # fmt: skip


def base64(content: bytes) -> str:
    """As JSON carries it."""
    return b64encode(content).decode()


def repr_digest(content: bytes, name: str = "sha-256") -> str:
    """The header that declares it."""
    return f"Repr-Digest: {name}=:{base64(sha256(content).digest())}:"


def of_json(what: str, document: object, code: str, field: str | None = None, number: int = 0) -> Case:
    """A case of a small JSON object, at the route that makes an API key."""

    def names_the_field(_: Place, reply: Reply) -> None:
        assert reply.json.get("field") == field

    digits, _, words = what.partition("-")
    request = ask_json("POST /api/v1/keys", document)
    return Case(number or int(digits), words, request, 400, code, then=names_the_field)


def served(content: bytes, *, inline: bool = False) -> Any:
    """What was stored is served as the same bytes, never for a browser to run."""

    def look(place: Place, reply: Reply) -> None:
        answer = place.ask(ask(f"GET /{reply.json['sha256']}/x.html", me=False))
        assert answer.body == content
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["content-security-policy"] == "default-src 'none'; sandbox"
        kind = answer.headers["content-type"]
        assert "html" not in kind or not inline
        assert answer.headers["content-disposition"].startswith("inline" if inline else "attachment")

    return look


def outcomes(*statuses: int) -> Any:
    """Each file of a form has its own outcome."""

    def look(_: Place, reply: Reply) -> None:
        assert [file["status"] for file in reply.json["files"]] == list(statuses)

    return look


def costs_nothing(place: Place, reply: Reply) -> None:
    """It is the empty content, and charged as such."""
    assert (reply.json["sha256"], reply.json["size"]) == (EMPTY, 0)
    assert reply.json["quota"]["used"] == place.kept()[4]


def of_form() -> list[Case]:
    """Cases 22 to 29, and what else a form may be."""
    whole = form(file_part(b"x"))
    types = {"without": "", "empty": "; boundary=", "long": "; boundary=" + "b" * 71, "control": '; boundary="a\tb"'}
    cases = [
        Case(22, name, ask("POST /upload", FORM.partition(";")[0] + more, body=whole), 400, "bad_multipart")
        for name, more in types.items()
    ]
    two = [file_part(b"one", "1"), file_part(b"two", "2")]
    field = part(b"x", 'name="file"')
    nested = part(b"x", 'name="file"', more=("Content-Type: multipart/mixed; boundary=c",))
    encoded = part(b"eA==", 'name="file"', 'filename="a"', more=("Content-Transfer-Encoding: base64",))
    many_headers = part(b"x", 'name="a"', more=("X: a",) * 100)
    long_header = part(b"x", f'name="{"a" * 10240}"')
    return [
        *cases,
        Case(23, "no-part", ask_form(), 400, "missing_file"),
        Case(23, "another-part", ask_form(part(b"x", 'name="other"', 'filename="a"')), 400, "missing_file"),
        Case(23, "no-filename", ask_form(field), 400, "missing_file"),
        Case(23, "empty-filename", ask_form(part(b"", 'name="file"', 'filename=""')), 400, "missing_file"),
        Case(24, "two", ask_form(*two), 201, stores=2, then=outcomes(201, 201)),
        Case(24, "two-that-differ", ask_form(file_part(b"one", "1"), file_part(b"three", "3")), 207, stores=1,
             then=outcomes(200, 201)),
        Case(24, "101", ask_form(*[file_part(b"x")] * 101), 400, "too_many_files"),
        Case(25, "2000-parts", ask_form(file_part(b"x"), *[part(b"x", 'name="tags"')] * 2000), 400, "bad_option"),
        Case(25, "2000-unnamed", ask_form(*[part(b"x", f'name="a{n}"') for n in range(2000)]), 400, "bad_option"),
        Case(25, "10-KiB-header", ask_form(file_part(b"x"), long_header), 413, "form_too_large"),
        Case(25, "100-headers", ask_form(many_headers, file_part(b"x")), 413, "form_too_large"),
        Case(26, "no-closing-boundary", ask("POST /upload", FORM, body=form(file_part(b"x"), end=b"")), 400,
             "bad_multipart"),
        Case(26, "half-a-boundary", ask("POST /upload", FORM, body=whole[:-4]), 400, "bad_multipart"),
        Case(26, "line-feeds", ask("POST /upload", FORM, body=whole.replace(b"\r\n", b"\n")), 400, "bad_multipart"),
        Case(27, "base64", ask_form(encoded), 400, "bad_multipart"),
        Case(28, "50-MiB-field", ask_form(part(bytes(50 << 20), 'name="name"')), 413, "form_too_large"),
        Case(29, "charset", ask_form(part(b"latin-1", 'name="_charset_"'), file_part(b"x")), 400, "bad_multipart"),
        Case(29, "mixed", ask_form(nested), 400, "bad_multipart"),
    ]  # fmt: skip


def of_declared() -> list[Case]:
    """Case 38."""
    wrong = sha256(b"other").hexdigest()
    md5_of = base64(md5(b"x").digest())
    bad = {
        "short": ("X-SHA-256: " + wrong[:-1],), "md5-in-hex": ("X-SHA-256: " + md5(b"x").hexdigest(),),
        "not-hex": ("X-SHA-256: " + "g" * 64,), "md5": (f"Repr-Digest: md5=:{md5_of}:",),
        "garbage": ("Repr-Digest: x",),
        "not-base64": ("Repr-Digest: sha-256=:ä!:",), "short-base64": (f"Content-Digest: sha-256=:{md5_of}:",),
        "two-that-differ": (f"X-SHA-256: {wrong}", repr_digest(b"x")),
    }  # fmt: skip
    cases = [Case(38, what, ask("PUT /upload/x", *lines, body=b"x"), 400, "bad_digest") for what, lines in bad.items()]
    right = sha256(b"upper").hexdigest().upper()
    return [
        *cases,
        Case(38, "wrong-path", ask(f"PUT /{wrong}", body=b"x"), 409, "digest_mismatch"),
        Case(38, "wrong-hex", ask("PUT /upload/x", f"X-SHA-256: {wrong}", body=b"x"), 409, "digest_mismatch"),
        Case(38, "wrong-base64", ask("POST /upload", repr_digest(b"y"), body=b"x"), 409, "digest_mismatch"),
        Case(38, "wrong-field", ask_form(file_part(b"x"), part(wrong.encode(), 'name="sha256"')), 409,
             "digest_mismatch"),
        Case(38, "wrong-in-json", ask_json("POST /upload", {"data": "eA==", "sha256": wrong}), 409, "digest_mismatch"),
        Case(38, "upper-case", ask("PUT /upload/u", f"X-SHA-256: {right}", body=b"upper"), 201, stores=1),
    ]  # fmt: skip


def of_base64() -> list[Case]:
    """Case 37."""
    cases = [
        Case(37, what, ask_json("POST /upload", {"data": data}), 400, "bad_base64") for what, data in BAD_BASE64.items()
    ]
    over = ask_json("POST /upload", {"data": base64(bytes((16 << 20) + 1))})
    whole = bytes(range(256)) * 65536
    return [
        *cases,
        Case(37, "over-16-MiB", over, 413, "file_too_large"),
        Case(37, "16-MiB", ask_json("POST /upload", {"data": base64(whole)}), 201, stores=1, then=served(whole)),
    ]


CASES = [
    Case(21, "raw", ask("PUT /upload/empty", body=b""), 201, stores=1, then=costs_nothing),
    Case(21, "form", ask_form(file_part(b"", "nothing")), 201, stores=1, then=costs_nothing),
    Case(21, "json", ask_json("POST /upload", {"data": "", "name": "void"}), 201, stores=1, then=costs_nothing),
    *of_form(),
    *(
        Case(30, kind, ask("POST /api/v1/keys", f"Content-Type: {kind}", body=b'{"name":"x"}'), 415,
             "unsupported_media_type")
        for kind in ("text/plain", "application/x-www-form-urlencoded", "application/json; charset=latin-1")
    ),
    *(of_json(what, body, "bad_json") for what, body in BAD_JSON.items()),
    Case(32, "nested-100000", ask_json("POST /api/v1/keys", b"[" * 100_000), 413, "body_too_large"),
    Case(32, "nested-upload", ask_json("POST /upload", b"[" * 100_000), 400, "bad_json"),
    Case(32, "nested-in-data", ask_json("POST /upload", b'{"data":' + b"[" * 100_000), 400, "bad_json"),
    of_json("35-surrogate", b'{"name":"\\ud800"}', "bad_text"),
    of_json("35-nul", b'{"name":"a\\u0000b"}', "bad_text"),
    of_json("35-nul-in-a-key", b'{"a\\u0000":1}', "bad_text"),
    Case(35, "in-an-upload", ask_json("POST /upload", b'{"data":"","name":"\\ud800"}'), 400, "bad_text"),
    of_json("36-number", {"name": 5}, "bad_option", "name"),
    of_json("36-null", {"name": None}, "bad_option", "name"),
    of_json("36-bool", {"name": "x", "expires_in": True}, "bad_option", "expires_in"),
    of_json("36-huge", b'{"name":"x","expires_in":1%b}' % (b"0" * 400), "bad_option", "expires_in"),
    of_json("36-longer-than-any", b'{"name":"x","expires_in":1%b}' % (b"0" * 5000), "bad_json"),
    of_json("36-float", {"name": "x", "expires_in": 1.5}, "bad_option", "expires_in"),
    of_json("36-list", {"name": ["x"]}, "bad_option", "name"),
    of_json("36-scopes", {"name": "x", "scopes": "read"}, "bad_option", "scopes"),
    of_json("36-inside", {"name": "x", "scopes": [1]}, "bad_option", "scopes.0"),
    *of_base64(),
    *of_declared(),
    Case(39, "html-as-png", ask("POST /upload?name=a.png", "Content-Type: image/png", body=b"<!doctype html>" + SCRIPT),
         201, stores=1, then=served(b"<!doctype html>" + SCRIPT)),
    *(
        Case(40, what, ask(f"PUT /upload/{what}", body=content), 201, stores=1,
             then=served(content, inline=not what.startswith("pdf")))
        for what, content in POLYGLOTS.items()
    ),
    *(
        Case(41, what, ask(f"PUT /upload/{what}.svg", "Content-Type: image/svg+xml", body=content), 201, stores=1,
             then=served(content))
        for what, content in PARSED_BY_OTHERS.items()
    ),
    *(
        Case(43, what, ask(f"PUT /upload/x?{name}={value}", body=b"x"), 400, "bad_expires")
        for what, (name, value) in BAD_EXPIRES.items()
    ),
    Case(43, "in-a-form", ask_form(file_part(b"x"), part(b"-1", 'name="expires_in"')), 400, "bad_expires"),
    Case(43, "in-json", ask_json("POST /upload", {"data": "", "expires_at": "2099-13-01T00:00:00Z"}), 400,
         "bad_expires"),
]  # fmt: skip


@pytest.mark.parametrize("case", CASES, ids=str)
def test_case(place: Place, case: Case) -> None:
    """A body would be stored as what it is not, or half; or a hostile one fail the service."""
    check(place, case)
