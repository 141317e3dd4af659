"""Logins: a token (JWT, HS256, RFC 7519), because clients expect one, and a row behind each.

The row is read on every request, so a logout, a changed password or a disabled user is felt on the next one.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import jwt
from sqlalchemy import delete, insert, select, text
from sqlalchemy.orm import Session

from blobstore.core import events
from blobstore.core.actor import OPERATOR, Actor
from blobstore.core.events import About, Action
from blobstore.core.gate import Caller
from blobstore.core.ids import random_base62
from blobstore.core.ring import ring
from blobstore.core.store import Store
from blobstore.errors import NotFound, Unauthenticated
from blobstore.models import User, UserSession

ISSUER = "blobstore"
ALGORITHM = "HS256"
ID_LENGTH = 22
MAX_AGENT_LENGTH = 200
_PURPOSE = b"blobstore login token 1"
_FORGET_EXPIRED = text("DELETE FROM sessions WHERE expires_at <= clock_timestamp()")


@dataclass(frozen=True)
class Token:
    """A login token, and how long it is good for."""

    access_token: str
    expires_in_seconds: int


@dataclass(frozen=True)
class StoredSession:
    """One session as its user sees it: when, from where, with what."""

    id: str
    created_at: datetime
    expires_at: datetime
    address: str
    agent: str


_COLUMNS = (UserSession.id, UserSession.created_at, UserSession.expires_at, UserSession.address, UserSession.agent)


def log_in(store: Store, caller: Caller, address: str, agent: str) -> Token:
    """A token for the caller, whose password has just been verified. Raises Unauthenticated if it has changed since."""
    life = timedelta(minutes=store.settings.access_token_expire_minutes)
    session_id, expires_at = random_base62(ID_LENGTH), datetime.now(UTC) + life
    values = {
        "id": session_id,
        "owner_id": caller.user_id,
        "expires_at": expires_at,
        "address": address,
        "agent": "".join(part for part in agent if part.isprintable())[:MAX_AGENT_LENGTH],
    }
    with store.database.transaction() as session:
        _hold(session, caller)
        session.execute(insert(UserSession).values(**values))
        events.note(session, caller.actor, Action.LOGIN, About(caller.user_id, target=session_id))
    claims = {"iss": ISSUER, "aud": ISSUER, "sub": str(caller.user_id), "jti": session_id, "exp": expires_at}
    return Token(jwt.encode(claims, ring(store, _PURPOSE)[0], ALGORITHM), int(life.total_seconds()))


def _hold(session: Session, caller: Caller) -> None:
    """Let nobody change the user until this login is there to be ended. Raises Unauthenticated when one was faster."""
    same = (User.id == caller.user_id, User.epoch == caller.epoch, ~User.disabled)
    if session.scalar(select(User.id).where(*same).with_for_update(read=True)) is None:
        raise Unauthenticated("wrong name or password")


def session_id(store: Store, token: str) -> str | None:
    """The session that a token names, if one of our secrets has signed it and it has not ended; no query is made."""
    for secret in ring(store, _PURPOSE):
        try:
            claims: dict[str, Any] = jwt.decode(
                token,
                secret,
                [ALGORITHM],
                audience=ISSUER,
                issuer=ISSUER,
                options={"require": ["exp", "iss", "aud", "sub", "jti"]},
            )
        except jwt.InvalidTokenError:
            continue
        return str(claims["jti"])
    return None


def sessions(store: Store, owner_id: int) -> list[StoredSession]:
    """The user's sessions that have not ended, newest first."""
    with store.database.transaction() as session:
        rows = session.execute(
            select(*_COLUMNS)
            .where(UserSession.owner_id == owner_id, UserSession.expires_at > text("clock_timestamp()"))
            .order_by(UserSession.created_at.desc(), UserSession.id)
        )
        return [StoredSession(*row) for row in rows]


def log_out(store: Store, owner_id: int, session_id: str, by: Actor = OPERATOR) -> None:
    """End one session of the user; its token is refused on the next request. Raises NotFound."""
    with store.database.transaction() as session:
        gone = session.execute(
            delete(UserSession).where(UserSession.id == session_id, UserSession.owner_id == owner_id)
        )
        if not gone.rowcount:  # type: ignore[attr-defined]
            raise NotFound("there is no such session")
        events.note(session, by, Action.LOGOUT, About(owner_id, target=session_id))


def end_all(session: Session, owner_id: int) -> None:
    """End every session of a user, in the transaction that changes his password or removes him."""
    session.execute(delete(UserSession).where(UserSession.owner_id == owner_id))


def forget_expired(store: Store) -> None:
    """Delete the sessions that have ended; upkeep calls it."""
    with store.database.transaction() as session:
        session.execute(_FORGET_EXPIRED)
