"""Contents, who has them, under which names, and which of them are banned."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import (
    CheckConstraint,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    Integer,
    text,
)
from sqlalchemy.orm import Mapped, mapped_column

from blobstore.models.base import Base, Ordered


class Blob(Base):
    """One content, whoever has it. Written by core/blobs.py."""

    __tablename__ = "blobs"
    __table_args__ = (
        CheckConstraint("digest ~ '^[0-9a-f]{64}$'", "blobs_digest"),
        CheckConstraint("size_bytes >= 0", "blobs_size"),
        CheckConstraint("refs >= 0", "blobs_refs"),
        CheckConstraint("published_at IS NULL OR location IS NOT NULL", "blobs_published"),
        Index("blobs_unused", "digest", postgresql_where=text("refs = 0")),
        Index(
            "blobs_verified",
            text("COALESCE(verified_at, published_at)"),
            "digest",
            postgresql_where=text("published_at IS NOT NULL"),
        ),
        Index("blobs_damaged", "digest", postgresql_where=text("damaged_at IS NOT NULL")),
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
    folder: Mapped[str]
    visibility: Mapped[str]
