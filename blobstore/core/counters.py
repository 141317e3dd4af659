"""Download counters: added up in the worker, written every few seconds in one statement.

A download counts once on every public file with that digest, else on the caller's own file. What a worker has not
written when it is killed is lost: the counters are statistics, not promises.
"""

from __future__ import annotations

from collections import Counter

from sqlalchemy import text

from blobstore.core.download import Found
from blobstore.core.store import Store
from blobstore.database import retrying

_ADD = text("""
WITH counted AS (
    SELECT * FROM unnest(CAST(:digests AS text[]), CAST(:ids AS text[]), CAST(:times AS bigint[])) AS c (digest, id, n)
),
locked AS MATERIALIZED (
    SELECT f.id, c.n FROM files f JOIN counted c ON f.digest = c.digest
    WHERE CASE WHEN c.id = '' THEN f.visibility = 'public' ELSE f.id = c.id END
    ORDER BY f.id FOR UPDATE OF f)
UPDATE files SET downloads = downloads + total.n, last_downloaded_at = clock_timestamp()
FROM (SELECT id, sum(n) AS n FROM locked GROUP BY id) AS total WHERE files.id = total.id
""")


class DownloadCounters:
    """One worker's downloads that are not written yet."""

    def __init__(self) -> None:
        self._pending: Counter[tuple[str, str]] = Counter()

    def add(self, found: Found) -> None:
        """Count one download."""
        self._pending[found.digest.hex, "" if found.public else found.file_id] += 1

    def flush(self, store: Store) -> None:
        """Write what was counted; kept for the next time when the database does not answer."""
        pending, self._pending = self._pending, Counter()
        if not pending:
            return
        try:
            _write(store, pending)
        except BaseException:
            self._pending.update(pending)
            raise


@retrying
def _write(store: Store, pending: Counter[tuple[str, str]]) -> None:
    rows = sorted(pending.items())
    values = {
        "digests": [digest for (digest, _), _ in rows],
        "ids": [file_id for (_, file_id), _ in rows],
        "times": [times for _, times in rows],
    }
    with store.database.transaction() as session:
        session.execute(_ADD, values)
