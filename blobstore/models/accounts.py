"""Users, and what they log in with."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import (
    CheckConstraint,
    ForeignKey,
    Identity,
    Index,
    Integer,
    func,
    text,
)
from sqlalchemy.orm import Mapped, mapped_column

from blobstore.models.base import Base, Ordered


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
