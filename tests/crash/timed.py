"""A hammer with a stopwatch: what each answer was, how long it took, and whether a refusal was a proper one.

Times are for the table. No judgement depends on them: a slow machine is no fault.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import pairwise

from tests.crash.judging import Harm
from tests.crash.places import Place
from tests.races.clients import Connection, final_look
from tests.races.stress import Hammer, tidy

DEFAULTS = {"database_timeout_seconds": 2.5, "POOL_TIMEOUT": 2.0, "graceful_timeout_seconds": 5}
"""Not patient, but as a service is without any setting."""
TOLD = {200, 201, 404}


@dataclass(frozen=True)
class Answered:
    """One answer; status 0: there was none. The code is a refusal's."""

    status: int
    code: str
    retry_after: str | None
    seconds: float
    ended: float

    @property
    def proper(self) -> bool:
        """It says what is true, or that nothing was promised, and when to come back."""
        return self.status in TOLD or (self.status == 503 and bool(self.retry_after))


@dataclass
class Watch:
    """Everything that was answered, in no order."""

    answers: list[Answered] = field(default_factory=list)

    def connect(self, port: int, key: str) -> Connection:
        """A connection that notes its answers here."""
        return _Timed(port, key, self.answers.append)

    def refused(self) -> list[Answered]:
        return [answer for answer in self.answers if answer.status == 503]

    def improper(self) -> set[str]:
        """What was answered that should not be."""
        wrong = (answer for answer in self.answers if not answer.proper)
        return {f"answered {answer.status} {answer.code}, Retry-After: {answer.retry_after}" for answer in wrong}

    def slowest_refusal(self) -> float:
        """In seconds; 0 when nothing was refused."""
        return max((answer.seconds for answer in self.refused()), default=0.0)

    def told_since(self, moment: float) -> list[float]:
        """How long after `moment` each answer came that says what is true, ascending."""
        told = (answer.ended - moment for answer in self.answers if answer.status in TOLD)
        return sorted(seconds for seconds in told if seconds > 0)

    def longest_wait(self, moment: float) -> float:
        """The longest time between two answers that say what is true, from `moment` on."""
        return max((after - before for before, after in pairwise([0.0, *self.told_since(moment)])), default=0.0)


class _Timed(Connection):
    def __init__(self, port: int, key: str, note: Callable[[Answered], None]) -> None:
        super().__init__(port, key)
        self._note = note

    def ask(self, method: str, path: str, body: bytes | None = None) -> tuple[int, bytes]:
        began = time.monotonic()
        status, content = 0, b""
        try:
            status, content = super().ask(method, path, body)
        finally:
            ended = time.monotonic()
            code = json.loads(content)["code"] if status >= 400 else ""
            again = self.headers.get("Retry-After") if status else None
            self._note(Answered(status, code, again, ended - began, ended))
        return status, content


@contextmanager
def hammering(place: Place, name: str, clients: int = 16, *, tidying: bool = False) -> Iterator[tuple[Hammer, Watch]]:
    """Clients who do everything while the block runs; `name` is of this place's users and was never used."""
    watch = Watch()
    hammer = Hammer(place.running, place.store, clients, connect=watch.connect, name=name)
    with hammer.running(tidying=tidying):
        yield hammer, watch


def judge(place: Place, hammer: Hammer, watch: Watch) -> Harm:
    """What of all the answers was not true, not proper, or has left something."""
    # Connections of a server that is gone.
    place.store.database.dispose()
    final_look(place.running.port, hammer.users, hammer.history)
    return Harm(lost=set(hammer.history.violations()), leaked=set(tidy(place.store)) | watch.improper())
