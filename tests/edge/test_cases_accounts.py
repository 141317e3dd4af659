"""Cases 76 to 81: what people may say of themselves, and who else may say it for them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from blobstore.core import keys
from tests.conftest import PASSWORD
from tests.edge import people
from tests.edge.cases import Case, check
from tests.edge.people import LOGIN, ROOT, USERS, by, json_by
from tests.edge.place import BASE_URL, DIGEST, Place
from tests.edge.wire import CLOSE, JSON, ME, Reply, ask, ask_json, basic, head

GET_ME = "GET /api/v1/me"
GIVEN = {"username": "me", "password": PASSWORD}
SIGNUP = "/api/v1/auth/signup"
NOBODY = "X-Nobody: 1"
WANTED = {"name": "somebody", "password": PASSWORD}
OBJECTS: dict[str, tuple[str, str, dict[str, object]]] = {
    "admin-create": (ROOT, f"POST {USERS}", WANTED),
    "admin-change": (ROOT, f"PATCH {USERS}/me", {"role": "user"}),
    "password": (ME, "POST /api/v1/auth/password", {"current": PASSWORD, "new": PASSWORD}),
    "login": (NOBODY, f"POST {LOGIN}", GIVEN),
    "removal": (ME, "DELETE /api/v1/me", {"password": PASSWORD}),
    "key": (ME, "POST /api/v1/keys", {"name": "k"}),
    "signup": (NOBODY, f"POST {SIGNUP}", {**WANTED, "email": "somebody@example.org"}),
    "profile": (ME, "PATCH /api/v1/me", {"email": "me@example.org", "password": PASSWORD}),
    "reset": (NOBODY, "POST /api/v1/auth/password/reset", {"username": "me"}),
    "confirm": (NOBODY, "POST /api/v1/auth/password/reset/confirm", {"ticket": "x", "new": PASSWORD}),
    "verify": (NOBODY, "POST /api/v1/auth/email/verify", {"ticket": "x"}),
    "resend": (NOBODY, "POST /api/v1/auth/email/resend", {"username": "me"}),
    "rotation": (ME, "POST /api/v1/keys/00000000/rotate", {"overlap_seconds": 0}),
}
"""Every JSON object about an account or a key: who sends it, where to, and what would be a good one."""
GOOD = {
    "admin-create": 201, "signup": 409, "key": 201, "password": 204, "rotation": 404, "reset": 403, "confirm": 403,
    "verify": 403, "resend": 403,
}  # fmt: skip
"""What a good one is answered, where that is not 200."""
FORBIDDEN: dict[str, object] = {
    "is_admin": True, "id": 1, "used_bytes": 0, "used": 0, "quota_bytes": None, "owner_id": 1, "epoch": 0,
    "password_hash": "x", "Role": "admin", "scopes ": ["admin"], "__proto__": {"role": "admin"},
}  # fmt: skip
"""Columns of ours, and what only looks like a field."""
FORWARDED = {
    "for": "X-Forwarded-For: 1.2.3.4",
    "forwarded": 'Forwarded: for=1.2.3.4;host="evil.example";proto=https',
    "real-ip": "X-Real-IP: 1.2.3.4",
    "host": "X-Forwarded-Host: evil.example",
    "proto": "X-Forwarded-Proto: https",
}
USERS_OF_PROXIES = ("X-Remote-User: root", "Remote-User: root", "X-Forwarded-User: root", "REMOTE_USER: root")
FOREIGN = {
    "cross-site": ("Sec-Fetch-Site: cross-site",),
    "same-site": ("Sec-Fetch-Site: same-site",),
    "null": ("Origin: null",),
    "evil": ("Origin: http://evil.example",),
    "other-port": ("Origin: http://localhost:1",),
    "looks-like-us": ("Origin: http://localhost.evil.example",),
    "with-a-path": ("Origin: http://localhost/",),
    "ours-but-cross-site": ("Origin: http://localhost", "Sec-Fetch-Site: cross-site"),
}
OWN_PAGE = ("Origin: http://localhost", "Sec-Fetch-Site: same-origin")
UNSAFE = {
    "put": ("PUT /upload/x", b"x"),
    "post": ("POST /upload", b"x"),
    "form": ("POST /upload", b""),
    "delete": (f"DELETE /{DIGEST}", b""),
    "patch": ("PATCH /api/v1/files/00000000", b"{}"),
    "login": (f"POST {LOGIN}", b"{}"),
    "signup": (f"POST {SIGNUP}", b"{}"),
}
BAD_USER_NAMES = {
    "empty": "", "space": " ", "space-inside": "a b", "slash": "a/b", "dots": "..", "at": "a@b", "long": "a" * 65,
    "umlaut": "j\u00f6rg", "full-width": "\uff4d\uff45", "kelvin": "\u212aelvin", "dotless": "adm\u0131n",
    "ligature": "\ufb01le", "cyrillic": "\u043ce", "zero-width": "m\u200be", "newline": "somebody\n",
    "dot-behind": "me.", "two-dots": "m..e", "hash": "0" * 64, "hash-upper": "A" * 64, "admin": "admin",
    "Admin": "Admin", "upload": "upload", "openapi": "OpenAPI.json",
}  # fmt: skip
COOKIES = {
    "made-up": "bs=x", "host": "__Host-bs=" + "0" * 43, "old-key": "bs=" + keys.make(), "nameless": "=", "odd": ";;=;,",
    "8000-bytes": "bs=" + "x" * 8000, "twice": "bs=a; bs=b", "latin-1": "bs=\xe9", "flask": "session=eyJpZCI6MX0.a.b",
}  # fmt: skip
PREFLIGHT = ("Origin: http://evil.example", "Access-Control-Request-Method: ")


def names(field: str) -> Any:
    """The problem says which field."""

    def look(_: Place, reply: Reply) -> None:
        assert reply.json["field"] == field

    return look


def from_here(place: Place, _: Reply) -> None:
    """The address of the login is the one that the connection came from."""
    logins = place.ask(ask("GET /api/v1/auth/sessions")).json["items"]
    assert {login["address"] for login in logins} == {"127.0.0.1"}


def links_to_us(_: Place, reply: Reply) -> None:
    """Links lead to the host of the settings, whatever a client says of it."""
    assert reply.json["url"].startswith(f"{BASE_URL}/")


def sets_no_cookie(_: Place, reply: Reply) -> None:
    """A cookie is nobody, and stays what it was."""
    assert "set-cookie" not in reply.headers


def admits_nobody(_: Place, reply: Reply) -> None:
    """A browser gives the page nothing of it."""
    assert [name for name in reply.headers if name.startswith("access-control-allow")] == []


def admits_readers(_: Place, reply: Reply) -> None:
    """Of a content a page may see what is public, without credentials."""
    admitted = {name: value for name, value in reply.headers.items() if name.startswith("access-control-allow")}
    assert "authorization" not in admitted.pop("access-control-allow-headers").lower()
    assert admitted == {"access-control-allow-origin": "*", "access-control-allow-methods": "GET, HEAD"}


def foreign(what: str, method: str) -> Case:
    """Case 79: a page of another site sends with the browser's own credentials."""
    line, body = UNSAFE[method]
    return Case(79, f"{method}-{what}", ask(line, *FOREIGN[what], JSON, body=body), 403, "cross_site", unjudged=True)


def named(what: str, name: str, status: int, code: str) -> Iterator[Case]:
    """Case 81: an admin makes a user of this name, or somebody signs up."""
    for how in ("admin-create", "signup"):
        who, line, whole = OBJECTS[how]
        yield Case(81, f"{how}-{what}", json_by(who, line, {**whole, "name": name}), status, code)


def twin_of_an_address(place: Place) -> bytes:
    """A second user with the first one's e-mail, in other letters."""
    people.answered(place, json_by(ROOT, f"POST {USERS}", {**WANTED, "name": "mail", "email": "Me@Example.org"}))
    return json_by(ROOT, f"POST {USERS}", {**WANTED, "name": "mail2", "email": "mE@eXample.ORG"})


CASES = [
    *(
        Case(76, f"{what}-{field}", json_by(who, line, {**whole, field: value}), 422, "unknown_field",
             then=names(field))
        for what, (who, line, whole) in OBJECTS.items()
        for field, value in FORBIDDEN.items()
    ),
    *(
        Case(77, f"login-{what}", ask_json(f"POST {LOGIN}", GIVEN, header, me=False), 200, then=from_here)
        for what, header in FORWARDED.items()
    ),
    *(
        Case(77, f"upload-{what}", ask(f"PUT /upload/{what}", header, body=what.encode()), 201, stores=1,
             then=links_to_us)
        for what, header in FORWARDED.items()
    ),
    *(
        Case(77, header.partition(":")[0], head(GET_ME, CLOSE, header), 401, "invalid_credentials")
        for header in USERS_OF_PROXIES
    ),
    *(
        Case(78, what, head(GET_ME, CLOSE, f"Cookie: {cookie}"), 401, "invalid_credentials", unjudged=True,
             then=sets_no_cookie)
        for what, cookie in COOKIES.items()
    ),
    Case(78, "8-KiB", head(GET_ME, CLOSE, "Cookie: bs=" + "x" * 8192), 431, "headers_too_large", then=sets_no_cookie),
    *(foreign(what, method) for what in FOREIGN for method in UNSAFE),
    Case(79, "our-own-page", ask("PUT /upload/own", *OWN_PAGE, body=b"own"), 201, stores=1),
    *(
        Case(80, f"{method.lower()}-{path}", head(f"OPTIONS {path}", CLOSE, PREFLIGHT[0], PREFLIGHT[1] + method), 200,
             then=admits_nobody)
        for method, path in (("GET", "/api/v1/me"), ("POST", LOGIN), ("PUT", "/upload"), ("DELETE", "/api/v1/me"))
    ),
    Case(80, "content", head(f"OPTIONS /{DIGEST}", CLOSE, PREFLIGHT[0], PREFLIGHT[1] + "DELETE"), 200,
         then=admits_readers),
    Case(80, "asked-all-the-same", ask(GET_ME, PREFLIGHT[0]), 200, then=admits_nobody),
    *(case for what, name in BAD_USER_NAMES.items() for case in named(what, name, 422, "bad_user_name")),
    *(case for name in ("me", "ME", "Me") for case in named(f"twin-{name}", name, 409, "already_exists")),
    Case(81, "one-and-the-same", by(basic("ME", PASSWORD), GET_ME), 200),
    Case(81, "e-mail-twin", twin_of_an_address, 409, "already_exists"),
]  # fmt: skip


def test_every_object_is_a_good_one(place: Place) -> None:
    """A field would be refused only because the rest was wrong already (case 76)."""
    for what, (who, line, whole) in OBJECTS.items():
        if what != "removal":
            assert place.ask(json_by(who, line, whole)).status == GOOD.get(what, 200), what


@pytest.mark.parametrize("case", CASES, ids=str)
def test_case(place: Place, case: Case) -> None:
    """A user would make himself an admin, a page act for its visitor, or one name be two people."""
    check(place, case)
