"""Who goes on guessing behind an address where the password is at work, after the limit of failures was reached.

A password that is remembered as right passes without being counted, so that nobody is locked out of the clients he has
by the guesses of others. To whoever guesses from the same address that answer would tell which password is right. So
after as many *different* refused ones as there may be failures, nothing is remembered there until the window is over.
A client that repeats one old password locks nobody out. API keys and login tokens go on in any case.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field

MOST_PAIRS = 10_000


@dataclass(slots=True)
class _Refused:
    until: float
    guesses: set[bytes] = field(default_factory=set)


class Guesses:
    """One worker's memory of them, by name and address; `most` different ones in `seconds`."""

    def __init__(self, most: int, seconds: int) -> None:
        self._most, self._seconds = most, seconds
        self._refused: dict[tuple[str, str], _Refused] = {}

    def note(self, who: tuple[str, str], guess: bytes) -> None:
        """A password was refused unseen; `guess` tells it from others."""
        refused = self._at(who)
        if refused is None:
            if len(self._refused) >= MOST_PAIRS:
                self._refused.clear()
            refused = self._refused[who] = _Refused(time.monotonic() + self._seconds)
        if len(refused.guesses) < self._most:
            refused.guesses.add(guess)

    def abound(self, who: tuple[str, str]) -> bool:
        """Whether there were so many that a right one must not be told from them."""
        refused = self._at(who)
        return refused is not None and len(refused.guesses) >= self._most

    def _at(self, who: tuple[str, str]) -> _Refused | None:
        refused = self._refused.get(who)
        if refused is not None and refused.until < time.monotonic():
            del self._refused[who]
            return None
        return refused
