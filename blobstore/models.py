"""The schema, on one page. Who writes which table is in docs/architecture.md; core/ holds every statement."""

from __future__ import annotations

from datetime import datetime
from typing import Any, ClassVar

from sqlalchemy import (
    ARRAY,
    BigInteger,
    CheckConstraint,
    DateTime,
    Double,
    ForeignKey,
    ForeignKeyConstraint,
    Identity,
    Index,
    Integer,
    Text,
    func,
    text,
)
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
    }


class User(Base):
    """An account. The five counters are core/quota.py's and count every file, ready or not."""

    __tablename__ = "users"
    __table_args__ = (
        CheckConstraint("role IN ('user', 'admin')", "users_role"),
        CheckConstraint("used_bytes >= 0", "users_used"),
        CheckConstraint("reserved_bytes >= 0", "users_reserved"),
        CheckConstraint("logical_bytes >= 0 AND file_count >= 0 AND content_count >= 0", "users_counts"),
        Index("users_email", "email", unique=True, postgresql_where=text("verified")),
        Index("users_waiting", "created_at", postgresql_where=text("NOT admitted")),
    )

    id: Mapped[int] = mapped_column(Identity(), primary_key=True)
    name: Mapped[str] = mapped_column(unique=True)
    email: Mapped[str | None]
    """Whose it is, is proven only when it is verified; anybody may claim it until then."""
    verified: Mapped[bool] = mapped_column(server_default=text("true"))
    """By a link that was sent to the e-mail, or by the word of an admin."""
    email_epoch: Mapped[int] = mapped_column(Integer, server_default="0")
    """Raised with every change of the e-mail, to make the tickets that went to the old one void."""
    admitted: Mapped[bool] = mapped_column(server_default=text("true"))
    """May log in: an admin made him, he has verified an e-mail once, or nothing had to be verified."""
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
    folder: Mapped[str] = mapped_column(server_default="/")
    """Only the files there and below it are the key's."""
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    expires_at: Mapped[datetime | None]
    last_used_at: Mapped[datetime | None]
    rotated_at: Mapped[datetime | None]
    """When another key took its place; it goes on until `expires_at`."""


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


class Mail(Base):
    """A mail that the SMTP server has not taken yet; it holds no secret. Written by core/mails.py."""

    __tablename__ = "mails"
    __table_args__ = (
        CheckConstraint("kind IN ('verify', 'reset', 'moved')", "mails_kind"),
        Index("mails_due", "due_at", "id"),
    )

    id: Mapped[int] = mapped_column(Identity(), primary_key=True)
    kind: Mapped[str]
    who: Mapped[str]
    """The name or e-mail of a user, as it was asked for; there may be none."""
    address: Mapped[str | None]
    """Where to, if not to the e-mail that the user has when it is sent."""
    attempts: Mapped[int] = mapped_column(Integer, server_default="0")
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    due_at: Mapped[datetime] = mapped_column(server_default=func.now())


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
