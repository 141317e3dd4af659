"""Requests a minute, by user and, for whoever is nobody, by address: one statement each, and none without a limit.

A window begins with the first request in it, which the others do not prolong. When the database does not count,
requests go on uncounted: this limit is for fairness, and the one of logins, which closes then, for safety.
"""

from __future__ import annotations

import logging
import math
import time
from dataclasses import dataclass

from blobstore.core.gate import Caller
from blobstore.core.limits import Limiter
from blobstore.core.store import Store
from blobstore.errors import TooManyRequests, Unavailable

WINDOW_SECONDS = 60
PAUSE_SECONDS = 10.0
"""How long nothing is counted after the database has not: else each request would wait for it in vain."""
REMEMBERED = 10_000
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Allowance:
    """What a limit leaves its caller in the window of the request that was just counted."""

    policy: str
    limit: int
    hits: int
    ends_in_seconds: int

    @property
    def left(self) -> int:
        """How many more requests are let through."""
        return max(self.limit - self.hits, 0)

    def check(self) -> None:
        """Raise TooManyRequests when this request is one too many."""
        if self.hits > self.limit:
            raise TooManyRequests(self.ends_in_seconds)


class Allowances:
    """One worker's view of the limits, which hold for all workers; it remembers only who has nothing left."""

    def __init__(self, store: Store) -> None:
        self._limiter = Limiter(store.database)
        self._per_user = store.settings.requests_per_minute
        self._per_address = store.settings.requests_per_minute_per_address
        self._spent: dict[tuple[str, str], float] = {}
        self._paused_until = 0.0

    @property
    def on(self) -> bool:
        """Whether there is any limit."""
        return bool(self._per_user or self._per_address)

    def spend(self, caller: Caller | None, address: str) -> Allowance | None:
        """Count one request of the caller, or of the address when there is none; None when it was not counted."""
        policy, who = ("user", str(caller.user_id)) if caller else ("address", address)
        limit = self._per_user if caller else self._per_address
        if not limit or time.monotonic() < self._paused_until:
            return None
        return self._refused(policy, who, limit) or self._count(policy, who, limit)

    def _refused(self, policy: str, who: str, limit: int) -> Allowance | None:
        """A flood costs no more statements once it is refused: until the window ends nothing can be left in it."""
        left = self._spent.get((policy, who), 0.0) - time.monotonic()
        return Allowance(policy, limit, limit + 1, math.ceil(left)) if left > 0 else None

    def _count(self, policy: str, who: str, limit: int) -> Allowance | None:
        try:
            hits, seconds = self._limiter.count(limit, WINDOW_SECONDS, "requests", policy, who)
        except Unavailable as error:
            self._paused_until = time.monotonic() + PAUSE_SECONDS
            _log.warning("requests are not counted for %d s: %s", PAUSE_SECONDS, error.detail)
            return None
        if hits > limit:
            self._remember(policy, who, seconds)
        return Allowance(policy, limit, hits, max(math.ceil(seconds), 1))

    def _remember(self, policy: str, who: str, seconds: float) -> None:
        if len(self._spent) >= REMEMBERED:
            self._spent.clear()
        self._spent[policy, who] = time.monotonic() + seconds
