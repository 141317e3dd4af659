"""Cases 65 to 75: what is shown as a credential, and what it is worth."""

from __future__ import annotations

from base64 import b64encode, urlsafe_b64encode
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from blobstore.core import keys
from tests.conftest import PASSWORD
from tests.edge import people
from tests.edge.cases import Case, check
from tests.edge.people import LOGIN, by
from tests.edge.place import DIGEST, TEN, Place
from tests.edge.wire import CLOSE, ME, Reply, ask, ask_json, basic, bearer, exchange, head, read_reply
from tests.live import service

GET_ME = "GET /api/v1/me"
PAIR = ME.partition(": ")[2]
NO_PAIRS = {
    "alone": "Basic", "space": "Basic ", "alphabet": "Basic !!!", "no-padding": "Basic bWU6eA", "empty": "",
    "no-colon": "Basic " + b64encode(b"nocolon").decode(), "two": f"{PAIR}, {PAIR}", "no-scheme": "x",
    "other-scheme": "Digest x",
}  # fmt: skip
"""Values of Authorization that are no name and password at all."""
PAIRS: dict[str, tuple[str | bytes, str | bytes]] = {
    "both-empty": ("", ""), "no-password": ("me", ""), "no-name": ("", PASSWORD), "bad-utf-8": (b"\xff", b"\xff"),
    "latin-1": ("me", PASSWORD.encode() + b"\xe9"), "surrogate": ("me", b"\xed\xa0\x80"),
}  # fmt: skip
CLAIMS = b'{"sub":"1","jti":"x","iss":"blobstore","aud":"blobstore","exp":9999999999}'
UNSIGNED = b".".join(urlsafe_b64encode(part).rstrip(b"=") for part in (b'{"alg":"none"}', CLAIMS, b"")).decode()
BAD_TOKENS = {
    "alone": "", "two-words": "a b", "8000-characters": "x" * 8000, "8000-as-a-key": "bs_k" + "x" * 8000,
    "wrong-prefix": "bs_q" + keys.make()[4:], "bad-checksum": "bs_k" + "0" * 48 + "1", "cut": keys.make()[:-1],
    "longer": keys.make() + "0", "unsigned": UNSIGNED, "dots": "a.b.c", "password": PASSWORD, "latin-1": "\xe9",
}  # fmt: skip
"""What stands behind Bearer."""
EXACT = " lead:c\u00f6l:on "
SPELT = {
    "as-it-is": EXACT, "stripped": EXACT.strip(), "decomposed": EXACT.replace("\u00f6", "o\u0308"),
    "to-the-colon": " lead", "doubled": EXACT + EXACT,
}  # fmt: skip
"""A password with everything that is easily lost on the way; then others that a careless reader takes for it."""
LONG = "x" * 1025


def refused(number: int, what: str, request: bytes) -> Case:
    """401, and no run of argon2."""
    return Case(number, what, request, 401, "invalid_credentials", unjudged=True)


def shown(value: str) -> bytes:
    """A request with this value of Authorization."""
    return by(f"Authorization: {value}", GET_ME)


def logging_in(name: str, password: str) -> bytes:
    """A login with JSON, in which both may be longer than in a header."""
    return ask_json(f"POST {LOGIN}", {"username": name, "password": password}, me=False)


def spelt(what: str) -> Case:
    """Case 68: a user of its own for each, because failures are limited."""

    def make(place: Place) -> bytes:
        people.add(place, f"exact-{what}", EXACT)
        return by(basic(f"EXACT-{what}", SPELT[what]), GET_ME)

    right = SPELT[what] == EXACT
    return Case(68, what, make, 200 if right else 401, None if right else "invalid_credentials")


def revoked_key(place: Place) -> str:
    given = people.key(place)
    assert place.ask(ask(f"DELETE /api/v1/keys/{given['id']}")).status == 204
    return str(given["key"])


def expired_key(place: Place) -> str:
    given = people.key(place, expires_in=3600)
    place.say(f"UPDATE api_keys SET expires_at = clock_timestamp() WHERE id = '{given['id']}'")
    return str(given["key"])


def logged_out(place: Place) -> str:
    given = people.token(place)
    people.log_out(place, given)
    return given


def session_over(place: Place) -> str:
    given = people.token(place)
    place.say("UPDATE sessions SET expires_at = clock_timestamp()")
    return given


def key_of_a_disabled_user(place: Place) -> str:
    people.add(place, "gone-with-a-key")
    given = people.key(place, name="gone-with-a-key")
    people.change(place, "gone-with-a-key", disabled=True)
    return str(given["key"])


def token_of_a_disabled_user(place: Place) -> str:
    people.add(place, "gone-with-a-token")
    given = people.token(place, "gone-with-a-token")
    people.change(place, "gone-with-a-token", disabled=True)
    return given


OVER = (revoked_key, expired_key, logged_out, session_over, key_of_a_disabled_user, token_of_a_disabled_user)


def link(place: Place) -> str:
    """A request line for a private file of `me`, by a signed link."""
    file_id = place.ask(ask("PUT /upload/linked?visibility=private", body=b"linked")).json["id"]
    url = str(place.ask(ask(f"GET /api/v1/files/{file_id}/download?mode=url")).json["download_url"])
    return "GET /api/v1/" + url.partition("/api/v1/")[2]


def with_a_link(what: str, who: Callable[[Place], str], status: int, code: str | None = None) -> Case:
    """Case 74: a link that is good, and credentials beside it."""
    return Case(74, what, lambda place: by(who(place), link(place)), status, code)


def is_me(_: Place, reply: Reply) -> None:
    """The caller is `me`, whatever else was shown."""
    assert reply.json["name"] == "me"


def one_too_many(place: Place) -> bytes:
    """The eleventh wrong password of a user, after ten."""
    people.add(place, "guessed")
    for number in range(10):
        assert place.ask(by(basic("guessed", f"wrong {number}"), GET_ME)).status == 401
    return by(basic("guessed", "wrong 10"), GET_ME)


def only_here(place: Place, reply: Reply) -> None:
    """It says when to come again; and who has the right password comes in from elsewhere."""
    assert 0 < int(reply.headers["retry-after"]) <= 301
    assert int(reply.headers["retry-after"]) == reply.json["retry_after_seconds"]
    right = by(basic("guessed", PASSWORD), GET_ME)
    assert [place.ask(right, address=address).status for address in ("127.0.0.1", "127.0.0.2")] == [429, 200]


CASES = [
    *(refused(65, what, shown(value)) for what, value in NO_PAIRS.items()),
    *(refused(65, what, by(basic(*pair), GET_ME)) for what, pair in PAIRS.items()),
    refused(65, "two-headers", by(ME, GET_ME, ME)),
    *(refused(66, f"nul-{what}", by(basic(name, PASSWORD), GET_ME)) for what, name in
      {"behind": "me\0", "inside": "m\0e", "alone": "\0"}.items()),
    refused(66, "nul-with-a-key", by(basic("me\0", keys.make()), GET_ME)),
    Case(66, "nul-in-a-login", logging_in("me\0", PASSWORD), 400, "bad_text", unjudged=True),
    *(refused(67, f"password-of-{n}", by(basic("me", "x" * n), GET_ME)) for n in (1025, 5000)),
    *(refused(67, f"name-of-{n}", by(basic("x" * n, PASSWORD), GET_ME)) for n in (255, 5000)),
    refused(67, "name-of-128-umlauts", by(basic("\u00e4" * 128, PASSWORD), GET_ME)),
    Case(67, "header-of-10-KiB", by(basic("me", "x" * 10_240), GET_ME), 431, "headers_too_large", unjudged=True),
    refused(67, "login-password-of-10-KiB", logging_in("me", "x" * 10_240)),
    refused(67, "login-name-of-10-KiB", logging_in("x" * 10_240, PASSWORD)),
    Case(67, "login-of-1-MiB", logging_in("me", "x" * (1 << 20)), 413, "body_too_large", unjudged=True),
    refused(67, "once-more", ask_json("DELETE /api/v1/me", {"password": LONG})),
    refused(67, "present", ask_json("POST /api/v1/auth/password", {"current": LONG, "new": PASSWORD})),
    *map(spelt, SPELT),
    *(refused(69, what, shown(f"Bearer {token}")) for what, token in BAD_TOKENS.items()),
    Case(69, "9-KiB", shown("Bearer " + "x" * 9216), 431, "headers_too_large"),
    *(refused(69, f"basic-{what}", by(basic("me", token), GET_ME)) for what, token in BAD_TOKENS.items()
      if token.startswith("bs_") and len(token) < 5000),
    Case(70, "key", lambda place: by(basic("me", people.key(place, name="other")["key"]), GET_ME), 401,
         "invalid_credentials"),
    Case(70, "login-token", lambda place: by(basic("me", people.token(place, "other")), GET_ME), 401,
         "invalid_credentials"),
    *(
        Case(71, f"{what}-{method.lower()}", lambda place, show=show, method=method:
             by(show(people.key(place, "read")["key"]), f"{method} /{DIGEST}", "Content-Length: 10") + TEN,
             403, "insufficient_scope")
        for what, show in {"basic": lambda key: basic("me", key), "bearer": bearer}.items()
        for method in ("PUT", "DELETE")
    ),
    Case(71, "login", lambda place: logging_in("me", people.key(place)["key"]), 401, "invalid_credentials"),
    *(
        Case(72, make.__name__.replace("_", "-"), lambda place, make=make: by(bearer(make(place)), GET_ME), 401,
             "invalid_credentials")
        for make in OVER
    ),
    *(
        Case(73, name, lambda place, name=name: head(f"{GET_ME}?{name}={people.key(place)['key']}", CLOSE), 401,
             "invalid_credentials")
        for name in ("key", "api_key", "token", "access_token", "authorization")
    ),
    Case(73, "on-a-public-file", head(f"GET /{DIGEST}?access_token=x", CLOSE), 200,
         then=lambda _, reply: reply.body == TEN),
    Case(74, "basic-and-cookie", ask(GET_ME, "Cookie: __Host-bs=x; bs=y"), 200, then=is_me),
    Case(74, "wrong-key-and-cookie", by(bearer(keys.make()), GET_ME, "Cookie: bs=y"), 401, "invalid_credentials"),
    Case(74, "wrong-key-on-a-public-file", by(bearer(keys.make()), f"GET /{DIGEST}"), 401, "invalid_credentials"),
    Case(74, "wrong-password-on-a-public-file", by(basic("me", "x"), f"GET /{DIGEST}"), 401, "invalid_credentials"),
    with_a_link("link", lambda _: "X-Nobody: 1", 200),
    with_a_link("link-and-owner", lambda _: ME, 200),
    with_a_link("link-and-wrong-key", lambda _: bearer(keys.make()), 401, "invalid_credentials"),
    with_a_link("link-and-wrong-password", lambda _: basic("me", "y"), 401, "invalid_credentials"),
    with_a_link("link-and-stranger", lambda place: bearer(people.token(place, "other")), 404, "not_found"),
    Case(75, "eleventh", one_too_many, 429, "too_many_attempts", then=only_here),
]  # fmt: skip


@pytest.mark.parametrize("case", CASES, ids=str)
def test_case(place: Place, case: Case) -> None:
    """Somebody would get in with what is no credential, or not his; or rubbish cost a run of argon2."""
    check(place, case)


def test_what_cannot_be_a_token_costs_no_query(tmp_path: Path) -> None:
    """A flood of nonsense would reach the database (case 69); this one is away, and says so of what it is asked."""
    with service(tmp_path, "postgresql://nobody@127.0.0.1:1/none") as live:

        def status(request: bytes) -> Any:
            return read_reply(exchange(live.port, request)).status

        assert status(by(bearer(keys.make()), GET_ME)) == 503
        for token in BAD_TOKENS.values():
            assert status(shown(f"Bearer {token}")) == 401, token
        for value in NO_PAIRS.values():
            assert status(shown(value)) == 401, value
