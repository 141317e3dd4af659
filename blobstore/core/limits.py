"""Rate limits that hold for any number of workers and nodes: the `limits` library over one table of PostgreSQL."""

from __future__ import annotations

import time

from limits import RateLimitItem, RateLimitItemPerSecond
from limits.storage import Storage as LimitStorage
from limits.strategies import FixedWindowRateLimiter
from sqlalchemy import text

from blobstore.database import Database, Prepared
from blobstore.errors import TooManyAttempts

_HIT = Prepared(
    "rate_limit_hit",
    ("text", "bigint", "double precision"),
    """
    INSERT INTO rate_limits (key, hits, expires_at)
    VALUES ($1, GREATEST($2, 0), clock_timestamp() + make_interval(secs => $3))
    ON CONFLICT (key) DO UPDATE SET
        hits = CASE WHEN rate_limits.expires_at <= clock_timestamp() THEN GREATEST($2, 0)
                    ELSE GREATEST(rate_limits.hits + $2, 0) END,
        expires_at = CASE WHEN rate_limits.expires_at <= clock_timestamp() THEN EXCLUDED.expires_at
                          ELSE rate_limits.expires_at END
    RETURNING hits, extract(epoch FROM expires_at - clock_timestamp())""",
)
"""One round trip. A window begins with its first hit, and the row's lock puts all hits in a line."""
_GET = text("SELECT hits FROM rate_limits WHERE key = :key AND expires_at > clock_timestamp()")
_EXPIRY = text("SELECT extract(epoch FROM expires_at) FROM rate_limits WHERE key = :key")
_CLEAR = text("DELETE FROM rate_limits WHERE key = :key")
_RESET = text("DELETE FROM rate_limits")
_FORGET_EXPIRED = text("DELETE FROM rate_limits WHERE expires_at <= clock_timestamp()")


class PostgresStorage(LimitStorage):
    """The storage class that `limits` does not ship: fixed windows, one atomic upsert a hit, PostgreSQL's clock."""

    STORAGE_SCHEME = ["blobstore"]  # noqa: RUF012 (the library's own declaration)

    def __init__(self, database: Database) -> None:
        super().__init__()
        self._database = database

    @property
    def base_exceptions(self) -> type[Exception]:
        return Exception

    def count(self, key: str, seconds: int, amount: int = 1) -> tuple[int, float]:
        """The hits in the window with these `amount`, and the seconds until it ends."""
        row = self._database.fetch(_HIT, key, amount, seconds)
        assert row is not None, "an upsert returns its row"  # noqa: S101
        return int(row[0]), float(row[1])

    def incr(self, key: str, expiry: int, amount: int = 1) -> int:
        return self.count(key, expiry, amount)[0]

    def get(self, key: str) -> int:
        with self._database.transaction() as session:
            return int(session.execute(_GET, {"key": key}).scalar() or 0)

    def get_expiry(self, key: str) -> float:
        with self._database.transaction() as session:
            return float(session.execute(_EXPIRY, {"key": key}).scalar() or time.time())

    def check(self) -> bool:
        return True

    def reset(self) -> int | None:
        with self._database.transaction() as session:
            return int(session.execute(_RESET).rowcount)  # type: ignore[attr-defined]

    def clear(self, key: str) -> None:
        with self._database.transaction() as session:
            session.execute(_CLEAR, {"key": key})


class Limiter:
    """Counts attempts by names; a limit is `amount` in `seconds`."""

    def __init__(self, database: Database) -> None:
        self._storage = PostgresStorage(database)
        self._strategy = FixedWindowRateLimiter(self._storage)

    def hit(self, amount: int, seconds: int, *names: str) -> bool:
        """Count one attempt; False when that is more than `amount` in the window."""
        return self._strategy.hit(_limit(amount, seconds), *names)

    def take(self, what: str, amount: int, seconds: int, *names: str) -> None:
        """Count one attempt at `what`, in the plural. Raises TooManyAttempts when that is more than `amount`."""
        if not self.hit(amount, seconds, *names):
            raise TooManyAttempts(self.retry_after_seconds(amount, seconds, *names), what)

    def count(self, amount: int, seconds: int, *names: str) -> tuple[int, float]:
        """Count one attempt: how many that makes in the window, and the seconds until it ends."""
        return self._storage.count(_limit(amount, seconds).key_for(*names), seconds)

    def give_back(self, amount: int, seconds: int, *names: str) -> None:
        """Take one attempt back, because it succeeded."""
        self._storage.incr(_limit(amount, seconds).key_for(*names), seconds, -1)

    def retry_after_seconds(self, amount: int, seconds: int, *names: str) -> int:
        """Whole seconds until the window of these names ends, at least 1."""
        reset_at = self._strategy.get_window_stats(_limit(amount, seconds), *names).reset_time
        return max(1, int(reset_at - time.time()) + 1)


def forget_expired(database: Database) -> int:
    """Delete the windows that are over; upkeep calls it. How many."""
    with database.transaction() as session:
        return int(session.execute(_FORGET_EXPIRED).rowcount)  # type: ignore[attr-defined]


def _limit(amount: int, seconds: int) -> RateLimitItem:
    return RateLimitItemPerSecond(amount, seconds, namespace="blobstore")
