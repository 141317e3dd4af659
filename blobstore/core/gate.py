"""The one gate: who may do what to which file. Every reader and every writer asks it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Protocol

from blobstore.core.actor import OPERATOR, Actor
from blobstore.errors import InsufficientScope, NotFound, OutsideFolder, PasswordRequired, Unauthenticated


class Scope(StrEnum):
    """What an API key may do. A password may do everything its user may."""

    READ = "read"
    WRITE = "write"
    DELETE = "delete"
    ADMIN = "admin"


ALL_SCOPES = frozenset(Scope)
ROOT = "/"


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
    key_id: str | None = None
    """The API key that this request carries."""
    folder: str = ROOT
    """The only one whose files, and those below it, are his: an API key may be for one folder."""
    actor: Actor = OPERATOR
    """The caller as the audit log names him, with the address and the request that he asks by."""


class Guarded(Protocol):
    """What the gate must know of a file."""

    @property
    def owner_id(self) -> int: ...
    @property
    def visibility(self) -> str: ...
    @property
    def folder(self) -> str: ...


class Changeable(Guarded, Protocol):
    """What it must know of a file that is to be changed, besides what the changes name."""

    @property
    def expires_at(self) -> datetime | None: ...


def require(caller: Caller | None, scope: Scope) -> Caller:
    """The caller, proven to be somebody with `scope`. Raises Unauthenticated, InsufficientScope."""
    if caller is None:
        raise Unauthenticated(
            "this needs a login: Basic with name and password, or an API key or login token as Bearer"
        )
    if scope not in caller.scopes:
        raise InsufficientScope(scope)
    return caller


def require_account(caller: Caller) -> Caller:
    """The caller, proven to speak for the whole account. Raises OutsideFolder for an API key of one folder."""
    if caller.folder != ROOT:
        raise OutsideFolder(caller.folder)
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
    """Whose private files the caller may read: his own, if his credentials have the scope `read`, else nobody's.

    Of these only the ones `within` his folder.
    """
    return caller.user_id if caller and Scope.READ in caller.scopes else None


def sees(caller: Caller | None, file: Guarded) -> bool:
    """Whether the caller may know that there is such a file."""
    return file.visibility == "public" or owns(caller, file)


def within(folder: str) -> str:
    """What `folder` and all below it begin with, once a slash is added to them: `/a` is no part of `/ab`.

    In SQL: starts_with(folder || '/', …).
    """
    return folder.rstrip("/") + "/"


def owns(caller: Caller | None, file: Guarded) -> bool:
    """Whether the file is the caller's, as far as these credentials reach."""
    return caller is not None and file.owner_id == caller.user_id and _is_in(file.folder, caller)


def check_folder(caller: Caller, folder: str) -> None:
    """Raise OutsideFolder unless the caller may put a file there."""
    if not _is_in(folder, caller):
        raise OutsideFolder(caller.folder)


def check_changes(caller: Caller, file: Changeable, changes: Mapping[str, object]) -> None:
    """Raise InsufficientScope when the changes alter a file for somebody who may not delete it.

    Whoever may only add may let what is there live longer: nothing else, for a file that is renamed, hidden, published
    or about to expire is not what it was. `changes` are named like the attributes of the file.
    """
    altered = {name for name, value in changes.items() if value != getattr(file, name)}
    if "expires_at" in altered and _is_later(changes["expires_at"], file.expires_at):
        altered.remove("expires_at")
    if altered and Scope.DELETE not in caller.scopes:
        raise InsufficientScope(
            Scope.DELETE, "this would change a file that is there, and the API key lacks the scope 'delete'"
        )


def authorize(caller: Caller | None, scope: Scope, file: Guarded) -> None:
    """Raise NotFound unless the caller may do this to the file: what one may not see looks like what is not there.

    Anybody reads a public file; everything else is its owner's, with the scope. Raises InsufficientScope to an owner.
    """
    if scope is Scope.READ and file.visibility == "public":
        return
    if not owns(caller, file):
        raise NotFound("there is no such file")
    require(caller, scope)


def _is_in(folder: str, caller: Caller) -> bool:
    return within(folder).startswith(within(caller.folder))


def _is_later(end: object, present: datetime | None) -> bool:
    """Whether the end of a file is put off; None is never."""
    return present is not None and (end is None or (isinstance(end, datetime) and end > present))
