"""How each job of upkeep ended the last time: for operators, who would not see otherwise that it stopped long ago."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from datetime import datetime
from time import monotonic

from sqlalchemy import text

from blobstore.core.store import Store
from blobstore.errors import BlobstoreError

JOBS = ("reap", "adopt", "sweep", "verify")

_ENDED = text("""
INSERT INTO rounds (job, ended_at, seconds, handled, handled_bytes, findings)
VALUES (:job, clock_timestamp(), :seconds, :handled, :handled_bytes, :findings)
ON CONFLICT (job) DO UPDATE SET
    ended_at = EXCLUDED.ended_at, seconds = EXCLUDED.seconds, handled = EXCLUDED.handled,
    handled_bytes = EXCLUDED.handled_bytes, findings = EXCLUDED.findings, failed_at = NULL, problem = NULL
""")
_FAILED = text("""
INSERT INTO rounds (job, seconds, handled, handled_bytes, findings, failed_at, problem)
VALUES (:job, 0, 0, 0, 0, clock_timestamp(), :problem)
ON CONFLICT (job) DO UPDATE SET failed_at = EXCLUDED.failed_at, problem = EXCLUDED.problem
""")
_LAST = text("""
SELECT job, ended_at, seconds, handled, handled_bytes, findings, failed_at, problem FROM rounds ORDER BY job
""")


@dataclass
class Tally:
    """What a round has done: how many files or blobs, how many bytes freed or read, how many found damaged."""

    handled: int = 0
    handled_bytes: int = 0
    findings: int = 0


@dataclass(frozen=True)
class Round:
    """The last round of a job that came to its end (`ended_at` None: none has), and why a later one did not."""

    job: str
    ended_at: datetime | None
    seconds: float
    handled: int
    handled_bytes: int
    findings: int
    failed_at: datetime | None
    problem: str | None


@contextmanager
def noted(store: Store, job: str) -> Iterator[Tally]:
    """Around one round of a job: note what the tally says at its end, or why it failed."""
    tally, started = Tally(), monotonic()
    try:
        yield tally
    except BlobstoreError as error:
        # A database that does not answer cannot be told so.
        with suppress(BlobstoreError), store.database.transaction() as session:
            session.execute(_FAILED, {"job": job, "problem": error.detail})
        raise
    with store.database.transaction() as session:
        session.execute(_ENDED, {"job": job, "seconds": monotonic() - started, **asdict(tally)})


def last(store: Store) -> dict[str, Round]:
    """The last round of every job that was ever run, by its job. Raises DatabaseUnavailable."""
    with store.database.transaction() as session:
        return {row.job: Round(*row) for row in session.execute(_LAST)}
