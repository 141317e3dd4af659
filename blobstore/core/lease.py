"""Leases: one holder among all workers and nodes, by PostgreSQL's clock."""

from __future__ import annotations

from datetime import timedelta

from sqlalchemy import text

from blobstore.core.store import Store

_TAKE = text("""
INSERT INTO leases (name, holder, expires_at)
VALUES (:name, :holder, clock_timestamp() + CAST(:duration AS interval))
ON CONFLICT (name) DO UPDATE SET holder = EXCLUDED.holder, expires_at = EXCLUDED.expires_at
WHERE leases.expires_at <= clock_timestamp() OR leases.holder = EXCLUDED.holder
""")


def take(store: Store, name: str, holder: str, duration: timedelta) -> bool:
    """Take or renew the lease for `duration`; False while somebody else has it."""
    values = {"name": name, "holder": holder, "duration": duration}
    with store.database.transaction() as session:
        return bool(session.execute(_TAKE, values).rowcount)  # type: ignore[attr-defined]
