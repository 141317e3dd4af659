"""The one gate: who may do what to which file. Every reader and every writer asks it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from blobstore.core.actor import OPERATOR, Actor
from blobstore.errors import InsufficientScope, NotFound, PasswordRequired, Unauthenticated


class Scope(StrEnum):
    """What an API key may do. A password may do everything its user may."""

    READ = "read"
    WRITE = "write"
    DELETE = "delete"
    ADMIN = "admin"


ALL_SCOPES = frozenset(Scope)


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks, as of this request. `quota_bytes` None means no limit; the numbers are bytes."""

    user_id: int
    name: str
    role: str
    scopes: frozenset[Scope]
    quota_bytes: int | None
    used_bytes: int
    """Used and reserved."""
    by_password: bool
    """He has proven his password, now or at his login: not an API key."""
    session_id: str | None = None
    """The login whose token this request carries."""
    epoch: int | None = None
    """Which of the user's passwords it was that was verified just now; None for any other way in."""
    actor: Actor = OPERATOR
    """The caller as the audit log names him, with the address and the request that he asks by."""


class Guarded(Protocol):
    """What the gate must know of a file."""

    @property
    def owner_id(self) -> int: ...
    @property
    def visibility(self) -> str: ...


def require(caller: Caller | None, scope: Scope) -> Caller:
    """The caller, proven to be somebody with `scope`. Raises Unauthenticated, InsufficientScope."""
    if caller is None:
        raise Unauthenticated(
            "this needs a login: Basic with name and password, or an API key or login token as Bearer"
        )
    if scope not in caller.scopes:
        raise InsufficientScope(scope)
    return caller


def require_password(caller: Caller) -> Caller:
    """The caller, proven to be the user himself. Raises PasswordRequired for an API key."""
    if not caller.by_password:
        raise PasswordRequired("an API key may not do this; log in with your name and password")
    return caller


def delegate(caller: Caller, scopes: Iterable[Scope]) -> frozenset[Scope]:
    """The scopes for an API key that the caller issues: never more than his own. Raises InsufficientScope.

    A key issues no keys: one that was stolen would outlive its revocation, or its end. Raises PasswordRequired.
    """
    require_password(caller)
    wanted = frozenset(scopes)
    for scope in sorted(wanted - caller.scopes):
        raise InsufficientScope(scope)
    return wanted


def reader_id(caller: Caller | None) -> int | None:
    """Whose private files the caller may read: his own, if his credentials have the scope `read`, else nobody's."""
    return caller.user_id if caller and Scope.READ in caller.scopes else None


def sees(caller: Caller | None, file: Guarded) -> bool:
    """Whether the caller may know that there is such a file."""
    return file.visibility == "public" or (caller is not None and file.owner_id == caller.user_id)


def authorize(caller: Caller | None, scope: Scope, file: Guarded) -> None:
    """Raise NotFound unless the caller may do this to the file: what one may not see looks like what is not there.

    Anybody reads a public file; everything else is its owner's, with the scope. Raises InsufficientScope to an owner.
    """
    if scope is Scope.READ and file.visibility == "public":
        return
    if caller is None or file.owner_id != caller.user_id:
        raise NotFound("there is no such file")
    require(caller, scope)
