"""What the service knows of itself."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import (
    Double,
    Index,
)
from sqlalchemy.orm import Mapped, mapped_column

from blobstore.models.base import Base


class RateLimit(Base):
    """Hits in the present window of one limit; a crash of PostgreSQL forgets it (unlogged). By core/limits.py."""

    __tablename__ = "rate_limits"
    __table_args__ = (Index("rate_limits_expires", "expires_at"), {"prefixes": ["UNLOGGED"]})

    key: Mapped[str] = mapped_column(primary_key=True)
    hits: Mapped[int]
    expires_at: Mapped[datetime]


class KnownStorage(Base):
    """The storage that belongs to this database. Written by core/identity.py."""

    __tablename__ = "storages"

    backend: Mapped[str] = mapped_column(primary_key=True)
    identity: Mapped[str]


class Lease(Base):
    """Who does a job that must be done once among all workers and nodes, and until when. Written by core/lease.py."""

    __tablename__ = "leases"

    name: Mapped[str] = mapped_column(primary_key=True)
    holder: Mapped[str]
    expires_at: Mapped[datetime]


class Round(Base):
    """How each job of upkeep ended the last time. Written by core/rounds.py."""

    __tablename__ = "rounds"

    job: Mapped[str] = mapped_column(primary_key=True)
    ended_at: Mapped[datetime | None]
    """When it last came to its end; None: never. The four numbers are of that round."""
    seconds: Mapped[float] = mapped_column(Double)
    handled: Mapped[int]
    """How many files it reaped, or blobs it adopted, swept or verified."""
    handled_bytes: Mapped[int]
    """How many bytes it freed, or read."""
    findings: Mapped[int]
    failed_at: Mapped[datetime | None]
    """When it last failed, unless it has come to its end since."""
    problem: Mapped[str | None]
