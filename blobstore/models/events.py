"""The audit log."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import (
    DDL,
    Identity,
    Index,
    event,
    text,
)
from sqlalchemy.orm import Mapped, mapped_column

from blobstore.models.base import Base, Ordered


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
