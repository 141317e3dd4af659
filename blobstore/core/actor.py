"""Who does something, and from where: what the audit log keeps of it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Actor:
    """`name` None: nobody is logged in. `address` is the client's, of IPv6 its network; `request_id` finds the log."""

    name: str | None
    address: str
    request_id: str


OPERATOR = Actor(None, "command line", "")
"""Whoever runs `blobstore` on the server."""
MAIL = Actor(None, "mail", "")
"""A mail that is being sent, whoever has asked for it."""
UPKEEP = Actor(None, "upkeep", "")
