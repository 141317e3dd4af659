"""The schema, on one page. Who writes which table is in docs/architecture.md; core/ holds every statement."""

from __future__ import annotations

from datetime import datetime
from typing import Any, ClassVar

from sqlalchemy import (
    ARRAY,
    DDL,
    BigInteger,
    CheckConstraint,
    DateTime,
    ForeignKey,
    ForeignKeyConstraint,
    Identity,
    Index,
    Integer,
    Text,
    event,
    func,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column
from sqlalchemy.types import TypeEngine

Ordered = Text(collation="C")
"""Text compared byte by byte: digests are locked in ascending order, and ids are paged through."""


class Base(DeclarativeBase):
    """Every time is with its zone, every `str` is text, every `int` has 64 bits."""

    type_annotation_map: ClassVar[dict[type, TypeEngine[Any]]] = {
        str: Text(),
        int: BigInteger(),
        datetime: DateTime(timezone=True),
        list[str]: ARRAY(Text()),
        dict[str, Any]: JSONB(),
    }


class User(Base):
    """An account. The five counters are core/quota.py's and count every file, ready or not."""

    __tablename__ = "users"
    __table_args__ = (
        CheckConstraint("role IN ('user', 'admin')", "users_role"),
        CheckConstraint("used_bytes >= 0", "users_used"),
        CheckConstraint("reserved_bytes >= 0", "users_reserved"),
        CheckConstraint("logical_bytes >= 0 AND file_count >= 0 AND content_count >= 0", "users_counts"),
    )

    id: Mapped[int] = mapped_column(Identity(), primary_key=True)
    name: Mapped[str] = mapped_column(unique=True)
    email: Mapped[str | None] = mapped_column(unique=True)
    password_hash: Mapped[str]
    role: Mapped[str] = mapped_column(server_default="user")
    quota_bytes: Mapped[int | None]
    """None: no limit. May be lowered below what is used."""
    used_bytes: Mapped[int] = mapped_column(server_default="0")
    """The sum of the sizes of the user's claims: what the quota compares."""
    reserved_bytes: Mapped[int] = mapped_column(server_default="0")
    logical_bytes: Mapped[int] = mapped_column(server_default="0")
    """The sum of the sizes of the user's files."""
    file_count: Mapped[int] = mapped_column(server_default="0")
    content_count: Mapped[int] = mapped_column(server_default="0")
    disabled: Mapped[bool] = mapped_column(server_default=text("false"))
    epoch: Mapped[int] = mapped_column(Integer, server_default="0")
    """Raised to make every signed link of the user void."""
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())


class Blob(Base):
    """One content, whoever has it. Written by core/blobs.py."""

    __tablename__ = "blobs"
    __table_args__ = (
        CheckConstraint("digest ~ '^[0-9a-f]{64}$'", "blobs_digest"),
        CheckConstraint("size_bytes >= 0", "blobs_size"),
        CheckConstraint("refs >= 0", "blobs_refs"),
        CheckConstraint("published_at IS NULL OR location IS NOT NULL", "blobs_published"),
        Index("blobs_unused", "digest", postgresql_where=text("refs = 0")),
        Index("blobs_verified", "verified_at", postgresql_where=text("published_at IS NOT NULL")),
    )

    digest: Mapped[str] = mapped_column(Ordered, primary_key=True)
    size_bytes: Mapped[int]
    refs: Mapped[int]
    """How many claims there are."""
    location: Mapped[str | None]
    published_at: Mapped[datetime | None]
    """Set: the bytes at `location` are durable and have this digest."""
    verified_at: Mapped[datetime | None]
    damaged_at: Mapped[datetime | None]
    unreferenced_at: Mapped[datetime | None]
    """When the last claim went."""
    content_type: Mapped[str]
    """Our own sniff of the first bytes."""


class Claim(Base):
    """One user's hold on one blob, what the quota counts. Written by core/blobs.py."""

    __tablename__ = "claims"
    __table_args__ = (CheckConstraint("files > 0", "claims_files"), Index("claims_digest", "digest"))

    owner_id: Mapped[int] = mapped_column(ForeignKey("users.id"), primary_key=True)
    digest: Mapped[str] = mapped_column(Ordered, ForeignKey("blobs.digest"), primary_key=True)
    files: Mapped[int] = mapped_column(Integer)
    """How many of the owner's files name the blob."""


class File(Base):
    """A user's name for a blob. Written by core/upload.py, core/files.py, core/delete.py, core/counters.py."""

    __tablename__ = "files"
    __table_args__ = (
        ForeignKeyConstraint(["owner_id", "digest"], ["claims.owner_id", "claims.digest"]),
        CheckConstraint("visibility IN ('public', 'private')", "files_visibility"),
        Index("files_digest", "digest", "ready_at", "id"),
        Index("files_same", "owner_id", "digest"),
        Index("files_listed", "owner_id", "ready_at", "id", postgresql_where=text("ready_at IS NOT NULL")),
        Index("files_folder", "owner_id", "folder", "ready_at", "id", postgresql_where=text("ready_at IS NOT NULL")),
        Index("files_pending", "reserved_at", postgresql_where=text("ready_at IS NULL")),
        Index("files_expiring", "expires_at", postgresql_where=text("expires_at IS NOT NULL")),
    )

    id: Mapped[str] = mapped_column(Ordered, primary_key=True)
    """Random base62, chosen before the row is inserted: a crash of PostgreSQL may reuse a sequence's numbers."""
    owner_id: Mapped[int]
    digest: Mapped[str] = mapped_column(Ordered)
    name: Mapped[str]
    folder: Mapped[str]
    visibility: Mapped[str]
    tags: Mapped[list[str]] = mapped_column(server_default=text("'{}'"))
    reserved_at: Mapped[datetime] = mapped_column(server_default=text("clock_timestamp()"))
    ready_at: Mapped[datetime | None]
    """Set: the upload was acknowledged, or is about to be."""
    expires_at: Mapped[datetime | None]
    downloads: Mapped[int] = mapped_column(server_default="0")
    last_downloaded_at: Mapped[datetime | None]


class ApiKey(Base):
    """A user's long-lived credential; only its hash is here. Written by core/keys.py."""

    __tablename__ = "api_keys"
    __table_args__ = (Index("api_keys_owner", "owner_id"),)

    id: Mapped[str] = mapped_column(Ordered, primary_key=True)
    owner_id: Mapped[int] = mapped_column(ForeignKey("users.id"))
    name: Mapped[str]
    key_hash: Mapped[str] = mapped_column(unique=True)
    """The SHA-256 of the key, in hex."""
    last_four: Mapped[str]
    scopes: Mapped[list[str]]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    expires_at: Mapped[datetime | None]
    last_used_at: Mapped[datetime | None]


class UserSession(Base):
    """One login of a user that has not ended; its token is not kept. Written by core/sessions.py."""

    __tablename__ = "sessions"
    __table_args__ = (Index("sessions_owner", "owner_id"), Index("sessions_expires", "expires_at"))

    id: Mapped[str] = mapped_column(Ordered, primary_key=True)
    owner_id: Mapped[int] = mapped_column(ForeignKey("users.id"))
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    expires_at: Mapped[datetime]
    address: Mapped[str]
    agent: Mapped[str]


class Ban(Base):
    """A content that nobody gets and nobody may bring. Written by core/banned.py."""

    __tablename__ = "bans"
    __table_args__ = (
        CheckConstraint("digest ~ '^[0-9a-f]{64}$'", "bans_digest"),
        Index("bans_listed", "created_at", "digest"),
    )

    digest: Mapped[str] = mapped_column(Ordered, primary_key=True)
    reason: Mapped[str]
    """For everybody to read."""
    banned_by: Mapped[str | None]
    """An admin's name; None: at the command line."""
    created_at: Mapped[datetime] = mapped_column(server_default=text("clock_timestamp()"))


class BannedFile(Base):
    """A file that went with a ban: what its own address must know to say so. Written by core/banned.py."""

    __tablename__ = "banned_files"
    __table_args__ = (Index("banned_files_digest", "digest"), Index("banned_files_owner", "owner_id"))

    id: Mapped[str] = mapped_column(Ordered, primary_key=True)
    digest: Mapped[str] = mapped_column(Ordered, ForeignKey("bans.digest", ondelete="CASCADE"))
    owner_id: Mapped[int] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"))
    visibility: Mapped[str]


class Event(Base):
    """Something that somebody did; never changed, deleted by age alone. Written by core/events.py."""

    __tablename__ = "events"
    __table_args__ = (
        Index("events_user", "user_name", "at", "id"),
        Index("events_owner", "owner_id", "at", "id"),
        Index("events_action", "action", "at", "id"),
    )

    at: Mapped[datetime] = mapped_column(server_default=text("clock_timestamp()"), primary_key=True)
    id: Mapped[int] = mapped_column(Identity(), primary_key=True)
    user_name: Mapped[str | None]
    """Who did it, or whose password was tried; None: nobody was logged in."""
    owner_id: Mapped[int | None]
    """Whose account or file it concerns; he may be gone, so that this is no reference."""
    action: Mapped[str]
    digest: Mapped[str | None] = mapped_column(Ordered)
    file_id: Mapped[str | None] = mapped_column(Ordered)
    target: Mapped[str | None]
    """The user, API key or session that it was done to."""
    address: Mapped[str]
    request_id: Mapped[str]
    details: Mapped[dict[str, Any]]


KEEP_EVENTS = DDL(  # type: ignore[no-untyped-call]
    """
CREATE FUNCTION keep_events() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'UPDATE' OR current_setting('blobstore.retention', true) IS DISTINCT FROM 'on' THEN
        RAISE EXCEPTION 'events are added to, and nothing else';
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER keep_events BEFORE UPDATE OR DELETE OR TRUNCATE ON events
    FOR EACH STATEMENT EXECUTE FUNCTION keep_events()
"""
)
"""Whoever must delete says so for his transaction: SET LOCAL blobstore.retention = 'on'."""
event.listen(Event.__table__, "after_create", KEEP_EVENTS)


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
