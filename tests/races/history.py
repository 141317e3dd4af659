"""What clients were told, judged: is there one order of all requests that explains every answer?

A key is one owner's one content: there or not. Every answer says what the key was and what it is now; its request
took effect at one instant between its begin and its end. A request without an answer took effect later, or never.
"""

from __future__ import annotations

import threading
import time
from collections import Counter, defaultdict
from collections.abc import Hashable, Iterable, Iterator
from dataclasses import dataclass

NEVER = 1 << 63


@dataclass(frozen=True)
class Request:
    """One request for one key: `was` must have been so, `then` is so afterwards; None: any, and as it was."""

    said: str
    was: bool | None
    then: bool | None
    began: int
    ended: int = NEVER


Known = tuple[bool, frozenset[int], tuple[int, int]]
"""What may be: there or not; which of the requests under way took effect; how many of the lost deletes and uploads."""


class History:
    """All requests of all clients; safe to use from many threads."""

    def __init__(self) -> None:
        self.answers: Counter[str] = Counter()
        self._requests: dict[Hashable, list[Request]] = defaultdict(list)
        self._lock = threading.Lock()

    @staticmethod
    def now() -> int:
        return time.monotonic_ns()

    def add(self, keys: Iterable[tuple[Hashable, Request]], answer: str) -> None:
        """Note one answer, and what it says about each of the keys."""
        with self._lock:
            self.answers[answer] += 1
            for key, request in keys:
                self._requests[key].append(request)

    def violations(self) -> Iterator[str]:
        """Every key whose answers no order explains."""
        for key, requests in self._requests.items():
            found = _unexplained(requests)
            if found:
                yield f"{key}: no order explains {found.said}"


def _unexplained(requests: list[Request]) -> Request | None:
    """The first request whose answer cannot be true, None when all can. Nothing is there in the beginning."""
    begins = [(request.began, 0, number) for number, request in enumerate(requests)]
    ends = [(request.ended, 1, number) for number, request in enumerate(requests) if request.ended != NEVER]
    possible: set[Known] = {(False, frozenset(), (0, 0))}
    under_way: set[int] = set()
    lost = [0, 0]
    for _, ended, number in sorted(begins + ends):
        request = requests[number]
        if ended:
            reached = _reachable(possible, requests, under_way, lost)
            possible = {(there, done - {number}, used) for there, done, used in reached if number in done}
            under_way.remove(number)
            if not possible:
                return request
        elif request.ended != NEVER:
            under_way.add(number)
        elif request.then is not None:
            lost[request.then] += 1
    return None


def _reachable(possible: set[Known], requests: list[Request], under_way: set[int], lost: list[int]) -> set[Known]:
    reached, fresh = set(possible), list(possible)
    while fresh:
        for following in _steps(fresh.pop(), requests, under_way, lost):
            if following not in reached:
                reached.add(following)
                fresh.append(following)
    return reached


def _steps(known: Known, requests: list[Request], under_way: set[int], lost: list[int]) -> Iterator[Known]:
    there, done, (deletes, uploads) = known
    for number in under_way - done:
        request = requests[number]
        if request.was in (None, there):
            yield there if request.then is None else request.then, done | {number}, (deletes, uploads)
    if there and deletes < lost[False]:
        yield False, done, (deletes + 1, uploads)
    if not there and uploads < lost[True]:
        yield True, done, (deletes, uploads + 1)
