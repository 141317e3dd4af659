"""One case of bad input: what is sent, what is answered, and what it may leave behind."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tests.edge.place import Place
from tests.edge.wire import Reply
from tests.served import eventually

SNEAKED = b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n"
"""Behind a request that must end the connection: nothing may be answered to it."""


@dataclass(frozen=True)
class Case:
    """`number` is that of the table. `code` is a problem's; without one the answer is no problem."""

    number: int
    what: str
    request: bytes | Callable[[Place], bytes]
    """Or what makes it, where it takes something that only the running service has given out."""
    status: int
    code: str | None = None
    end: bool = False
    """We end our side of the connection behind the request."""
    with_body: bool = True
    unjudged: bool = False
    """No attempt is counted, and so argon2 does not run."""
    stores: int = 0
    """How many files there are more afterwards."""
    then: Callable[[Place, Reply], Any] = lambda place, reply: None
    """What else must hold."""

    def __str__(self) -> str:
        return f"case-{self.number}-{self.what}"


def check(place: Place, case: Case) -> None:
    """Send it, and look at everything that the table says of all cases."""
    request = case.request if isinstance(case.request, bytes) else case.request(place)
    before, attempts = place.kept(), place.attempts()
    reply = place.ask(request, end=case.end, with_body=case.with_body)
    assert reply.status == case.status, reply
    assert reply.status < 500 or reply.status in (501, 503)
    if case.code and case.with_body:
        assert reply.headers["content-type"] == "application/problem+json"
        problem = reply.json
        assert (problem["code"], problem["status"]) == (case.code, case.status), problem
        assert problem["request_id"] == reply.headers["x-request-id"]
        assert (bool(problem["title"]), bool(problem["detail"]), problem["type"]) == (True, True, "about:blank")
        assert reply.headers["cache-control"] == "no-store"
    for inside in (b"Traceback", b".py", b"SELECT", str(place.folder).encode()):
        assert inside not in reply.body
    assert not case.unjudged or place.attempts() == attempts
    case.then(place, reply)
    after = place.kept()
    if case.stores:
        assert after[0] == before[0] + case.stores
    else:
        assert after == before
    if case.status >= 400:
        eventually(lambda: not place.staged())
