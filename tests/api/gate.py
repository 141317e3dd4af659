"""Everybody who may ask, a private file that only some may see, and what becomes of asking every route as everybody."""

from __future__ import annotations

import re
import secrets
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from types import MappingProxyType
from typing import Any

from flask import Flask
from werkzeug.test import TestResponse

from blobstore.core import accounts, bans, keys, new_email, sessions, tickets, upload
from blobstore.core.accounts import Account
from blobstore.core.actor import OPERATOR
from blobstore.core.credentials import Credentials
from blobstore.core.files import Changes
from blobstore.core.gate import ALL_SCOPES, Caller, Scope
from blobstore.core.store import Store
from blobstore.digest import Digest
from tests.api.test_auth import basic, bearer
from tests.api.wire import sha256
from tests.conftest import PASSWORD

CALLERS = ("nobody", "other", "owner", "token", "admin", "reader", "writer", "expired", "ended", "elsewhere")
"""Without credentials; another user; the owner by password and by login token; an admin; the owner's keys that only
read, only write, have expired; the token of his that has ended; his key for another folder, with every scope there is
for files. Users without another word come by password."""
STRANGERS = ("nobody", "other", "admin", "expired", "ended", "elsewhere")
MARK = "only-mine-7f0c1de2"
FILES = (Scope.READ, Scope.WRITE, Scope.DELETE)
SECRET, NAME = f"{MARK}, these bytes".encode(), f"{MARK}.txt"
BANNED = "b" * 64
LETTERS = {401: "A", 403: "F", 404: "N"}
"""Not authenticated, forbidden, not found; everything else is I: got in, whatever the answer is then."""
PROBES: tuple[dict[str, str], ...] = (
    {"Range": "bytes=0-20"},
    {"Range": "bytes=9999-"},
    {"If-None-Match": f'"{sha256(SECRET)}"'},
    {"If-None-Match": "*"},
    {"If-Match": '"other"'},
    {"Want-Digest": "sha-256"},
    {"Accept": "application/json"},
)
"""What makes another answer of a content: whoever may not see it must not notice."""
Table = Mapping[tuple[str, str], str]
Route = tuple[str, str]


def routes(app: Flask) -> Iterator[Route]:
    """(method, rule) of everything in the URL map; OPTIONS is Flask's own."""
    for rule in app.url_map.iter_rules():
        for method in sorted((rule.methods or set()) - {"OPTIONS"}):
            yield method, rule.rule


@dataclass
class World:
    """An application in which everybody has what he needs to ask."""

    app: Flask
    store: Store
    bodies: Mapping[Route, Callable[[World], dict[str, Any]]]
    headers: dict[str, dict[str, str]] = field(default_factory=dict)
    there: dict[str, str] = field(default_factory=dict)

    def restore(self) -> None:
        """Make everybody and everything that an earlier request has removed or ended."""
        known = {account.name: account for account in accounts.accounts(self.store)}
        for name in ("me", "other", "chief", "victim"):
            if name not in known:
                known[name] = accounts.add(self.store, name, PASSWORD, admin=name == "chief")
        owner = known["me"]
        self.headers = {
            "nobody": {},
            "other": basic("other", PASSWORD),
            "owner": basic("me", PASSWORD),
            "admin": basic("chief", PASSWORD),
            **self._credentials(owner),
        }
        self.there = self._things()

    def _credentials(self, owner: Account) -> dict[str, dict[str, str]]:
        ended = self._token()
        sessions.log_out(self.store, owner.id, sessions.session_id(self.store, ended) or "")
        past = datetime.now(UTC) - timedelta(hours=1)
        return {
            "token": bearer(self._token()),
            "reader": bearer(keys.issue(self.store, owner.id, "reader", [Scope.READ])[1]),
            "writer": bearer(keys.issue(self.store, owner.id, "writer", [Scope.WRITE])[1]),
            "expired": bearer(keys.issue(self.store, owner.id, "expired", ALL_SCOPES, expires_at=past)[1]),
            "ended": bearer(ended),
            "elsewhere": bearer(keys.issue(self.store, owner.id, "elsewhere", FILES, folder="/elsewhere")[1]),
        }

    def _in_person(self) -> Caller:
        credentials: Credentials = self.app.extensions["blobstore"].credentials
        return credentials.by_password("me", PASSWORD, "127.0.0.1")

    def _things(self) -> dict[str, str]:
        owner = self._in_person()
        private = Changes(name=NAME, visibility="private")
        file = upload.upload(self.store, owner, [SECRET], private).file
        key, _ = keys.issue(self.store, owner.user_id, "to be revoked", [Scope.READ])
        session_id = sessions.session_id(self.store, self._token()) or ""
        bans.ban(self.store, Digest(BANNED), "for the test", OPERATOR)
        return {"digest": file.digest.hex, "file_id": file.id, "key_id": key.id, "session_id": session_id}

    def _token(self) -> str:
        return sessions.log_in(self.store, self._in_person(), "127.0.0.1", "").access_token

    def ticket(self) -> str:
        """A ticket of somebody who has nothing to lose."""
        return tickets.issue(self.store, "victim")[0]

    def email_ticket(self) -> str:
        """A ticket of the same one, for an e-mail that he gave a moment ago."""
        address = f"{secrets.token_hex(4)}@files.example"
        new_email.set_email(self.store, "victim", address, OPERATOR)
        return tickets.issue(self.store, "victim", tickets.Purpose.EMAIL)[0]

    def ask(
        self, caller: str, route: Route, more: Mapping[str, str] = MappingProxyType({}), *, absent: bool = False
    ) -> TestResponse:
        """Ask for the owner's things, or in the same way for some that there are not."""
        method, rule = route
        always = {"_ext": "txt", "path": "a/b", "banned": BANNED, "name": "victim" if "admin" in rule else "docs.js"}
        missing = {"digest": "0" * 64, "file_id": "0" * 8, "key_id": "0" * 8, "session_id": "0" * 22}
        values = {**always, **(missing if absent else self.there)}
        path = re.sub(r"<(?:\w+:)?(\w+)>", lambda part: values[part[1]], rule)
        body = self.bodies[route](self) if route in self.bodies else {}
        headers = {"X-Request-ID": "same", **self.headers[caller], **more}
        return self.app.test_client().open(path, method=method, headers=headers, buffered=True, **body)


def letter(answer: TestResponse) -> str:
    """How the table says it; a 5xx is none of its letters."""
    return LETTERS.get(answer.status_code, "I" if answer.status_code < 500 else str(answer.status_code))


def findings(world: World, table: Table, asked: list[Route]) -> list[str]:
    """Ask these routes as everybody; each answer that is not as the table says, and each that tells too much."""
    found = [f"{method} {rule}: is not in the table" for method, rule in asked if (method, rule) not in table]
    world.restore()
    for route in asked:
        for caller, expected in zip(CALLERS, table.get(route, ""), strict=False):
            found += [f"{' '.join(route)} by {caller}: {what}" for what in _judge(world, route, caller, expected)]
    return found


def _judge(world: World, route: Route, caller: str, expected: str) -> Iterator[str]:
    answer = world.ask(caller, route)
    if letter(answer) != expected:
        yield f"{answer.status_code}, not {expected}"
    if _tells(answer, SECRET if _is_of_admins(route, caller) else MARK.encode()) and (
        caller in STRANGERS or letter(answer) != "I"
    ):
        yield "tells what is private"
    if expected != "I":
        yield from _notices(world, route, caller, answer)
    elif route[0] not in ("GET", "HEAD"):
        world.restore()


def _notices(world: World, route: Route, caller: str, refused: TestResponse) -> Iterator[str]:
    """Whether a question put in another way is answered in another way, or the thing seen to be there."""
    for probe in PROBES if route[0] in ("GET", "HEAD") else ():
        if _seen(world.ask(caller, route, probe)) != _seen(refused):
            yield f"is answered otherwise with {probe}"
    if refused.status_code == 404 and _seen(world.ask(caller, route, absent=True)) != _seen(refused):
        yield "is answered otherwise than what is not there"


def _seen(answer: TestResponse) -> tuple[int, list[tuple[str, str]], bytes]:
    return answer.status_code, sorted(answer.headers), answer.data


def _is_of_admins(route: Route, caller: str) -> bool:
    """An admin is shown the names of everybody's files, in the lists that are made for him, and never the bytes."""
    return caller == "admin" and route[1].startswith("/api/v1/admin/")


def _tells(answer: TestResponse, mark: bytes) -> bool:
    return mark in answer.data or mark.decode() in str(answer.headers)
