"""Whether the time of an answer tells what its text does not (S4): kinds of requests that nobody may tell apart."""

from __future__ import annotations

import hashlib
import http.client
import json
import random
import secrets
import time
from base64 import b64encode
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from statistics import median
from typing import NamedTuple

from bench.plan import Plan
from bench.report import Row
from bench.running import Server
from bench.servers import PASSWORD, USER, add_many, add_users, blobstore, direct
from blobstore.core import accounts, keys
from blobstore.core.gate import ALL_SCOPES
from blobstore.core.store import Store

OTHER = "other"
SMALL, LARGE = 4096, 1 << 20
RESAMPLES = 1000
LIFTED = {"BLOBSTORE_LOGIN_FAILURES_TOTAL": 1_000_000, "BLOBSTORE_WORKERS": 1}
"""The limit of failures comes before argon2: with it there would be nothing to measure. One worker: less noise."""


class Request(NamedTuple):
    """What is sent."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes | None = None


@dataclass(frozen=True)
class Kind:
    """Requests that are answered alike: the n-th of them, and the status that each gets."""

    what: str
    status: tuple[int, ...]
    make: Callable[[int], Request]


@dataclass
class Times:
    """One connection, and the milliseconds that requests of each kind took on it."""

    server: Server
    found: dict[str, list[float]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._http = http.client.HTTPConnection("127.0.0.1", self.server.port, timeout=60)

    def ask(self, kind: Kind, number: int) -> None:
        """Send one, and note how long its whole answer took. Raises RuntimeError for another status."""
        request = kind.make(number)
        started = time.perf_counter()
        self._http.request(request.method, request.path, request.body, request.headers)
        answer = self._http.getresponse()
        answer.read()
        self.found.setdefault(kind.what, []).append((time.perf_counter() - started) * 1000)
        if answer.status not in kind.status:
            raise RuntimeError(f"{answer.status}: {kind.what}")

    def take(self, kinds: list[Kind], samples: int) -> None:
        """So many of each kind, in an order of chance: what else the machine does hits all alike."""
        for number in range(1, samples + 1):
            for kind in random.sample(kinds, len(kinds)):
                self.ask(kind, number)


def timing(plan: Plan) -> Iterator[Row]:
    """Differences of medians between two kinds, with the interval in which 95 % of resamples lie."""
    with blobstore(plan.folder / "timing", **LIFTED) as server:
        add_users(server.folder, OTHER)
        with direct(server.folder) as store:
            for kind in ("known", "disabled"):
                add_many(store, kind, 2 * plan.samples, disabled=kind == "disabled")
            reader, owner = _key(store, OTHER), _key(store, USER)
        for kinds in (_basic(), _logins(plan.samples)):
            yield from _compared(server, kinds, plan.samples)
        there = _send_private(server, owner, [secrets.token_bytes(SMALL) for _ in range(50)])
        for who, shown in (("nobody", {}), ("another", _bearer(reader))):
            yield from _compared(server, _downloads(who, shown, there), plan.samples)
        yield from _compared(server, _uploads(server, owner, reader, SMALL, plan.samples), plan.samples)
        few = max(plan.samples // 10, 20)
        yield from _compared(server, _uploads(server, owner, reader, LARGE, few), few)


def _key(store: Store, name: str) -> str:
    return keys.issue(store, accounts.get(store, name).id, "bench", ALL_SCOPES)[1]


def _compared(server: Server, kinds: list[Kind], samples: int) -> Iterator[Row]:
    """Each kind against the first one."""
    times = Times(server)
    first, *others = kinds
    times.take(kinds, samples)
    for other in others:
        mine, theirs = times.found[other.what], times.found[first.what]
        low, high = interval(mine, theirs)
        what = f"{other.what}, less {first.what}: {samples:,} each, 95 % in {low:+.3f} to {high:+.3f} ms"
        yield Row(what, median(mine) - median(theirs), "ms", "the latter's median", median(theirs), "within 1 ms")


def interval(mine: list[float], theirs: list[float]) -> tuple[float, float]:
    """The middle 95 % of the differences of medians between samples drawn anew from each (bootstrap)."""
    chance = random.Random(0)
    drawn = sorted(
        median(chance.choices(mine, k=len(mine))) - median(chance.choices(theirs, k=len(theirs)))
        for _ in range(RESAMPLES)
    )
    return drawn[RESAMPLES // 40], drawn[-RESAMPLES // 40]


def _basic() -> list[Kind]:
    def asking(name: str, password: str) -> Request:
        shown = "Basic " + b64encode(f"{name}:{password}".encode()).decode()
        return Request("GET", "/api/v1/me/quota", {"Authorization": shown})

    return _people("Basic", asking, 0)


def _logins(after: int) -> list[Kind]:
    def asking(name: str, password: str) -> Request:
        body = json.dumps({"username": name, "password": password}).encode()
        return Request("POST", "/api/v1/auth/login", {"Content-Type": "application/json"}, body)

    return _people("login", asking, after)


def _people(how: str, asking: Callable[[str, str], Request], after: int) -> list[Kind]:
    """Every password is a new one: a wrong one is remembered for a minute."""
    return [
        Kind(f"{how} with a wrong password", (401,), lambda n: asking(f"known{after + n}", secrets.token_hex(8))),
        Kind(f"{how} of an unknown name", (401,), lambda n: asking(f"unknown{after + n}", secrets.token_hex(8))),
        Kind(f"{how} of a disabled user, right", (401,), lambda n: asking(f"disabled{after + n}", PASSWORD)),
    ]


def _downloads(who: str, shown: dict[str, str], there: list[str]) -> list[Kind]:
    """By somebody who may not: of what nobody has, and of what its owner keeps to himself."""
    return [
        Kind(f"GET by {who} of no file's hash", (404,), lambda _: Request("GET", f"/{secrets.token_hex(32)}", shown)),
        Kind(f"GET by {who} of a private hash", (404,), lambda n: Request("GET", f"/{there[n % len(there)]}", shown)),
    ]


def _uploads(server: Server, owner: str, reader: str, size: int, samples: int) -> list[Kind]:
    """Private uploads of what nobody has, and of what somebody else has."""
    had = [secrets.token_bytes(size) for _ in range(samples + 1)]
    _send_private(server, owner, had)

    def sending(content: bytes) -> Request:
        return Request("PUT", "/upload/x?visibility=private", _bearer(reader), content)

    what = f"upload of {size >> 10:,} KiB"
    return [
        Kind(f"{what} that nobody has", (201,), lambda _: sending(secrets.token_bytes(size))),
        Kind(f"{what} that another has", (201,), lambda n: sending(had[n])),
    ]


def _bearer(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"}


def _send_private(server: Server, key: str, contents: list[bytes]) -> list[str]:
    """The hashes of private files."""
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)
    for content in contents:
        connection.request("PUT", "/upload/x?visibility=private", content, _bearer(key))
        answer = connection.getresponse()
        answer.read()
        if answer.status != 201:
            raise RuntimeError(f"a private upload is answered {answer.status}")
    return [hashlib.sha256(content).hexdigest() for content in contents]
