"""Basic or Bearer -> Caller.

No Authorization is nobody; one that does not verify, of whatever scheme, is 401 even where none is needed.
"""

from __future__ import annotations

import binascii
import hmac
from base64 import b64decode
from dataclasses import replace

from flask import request

from blobstore.addresses import network
from blobstore.api import allowances
from blobstore.api.context import parts, store
from blobstore.core import gate
from blobstore.core.actor import Actor
from blobstore.core.gate import Caller, Scope
from blobstore.errors import EmailUnverified, NotFound, Unauthenticated


def anybody() -> Caller | None:
    """Who asks; None without credentials.

    Raises Unauthenticated, EmailUnverified, TooManyAttempts, TooManyRequests.
    """
    header = request.headers.get("Authorization")
    try:
        caller = None if header is None else _verified(header)
    except (Unauthenticated, EmailUnverified):
        allowances.spend(None, client_address)
        raise
    allowances.spend(caller, client_address)
    return caller


def _verified(header: str) -> Caller:
    scheme, _, rest = header.partition(" ")
    return _present(_by_scheme(scheme.lower(), rest.strip()))


def somebody(scope: Scope) -> Caller:
    """Who asks, proven to have `scope` for the whole account.

    Raises Unauthenticated, InsufficientScope, TooManyAttempts, TooManyRequests, and OutsideFolder for a key of one
    folder.
    """
    return gate.require_account(owner(scope))


def owner(scope: Scope) -> Caller:
    """Who asks about files of his, proven to have `scope`; perhaps only for one folder.

    Raises Unauthenticated, InsufficientScope, TooManyAttempts, TooManyRequests.
    """
    return gate.require(anybody(), scope)


def in_person(name: str, password: str) -> Caller:
    """Whose name and password a body carries: no API key in its place.

    Raises Unauthenticated, EmailUnverified, TooManyAttempts.
    """
    return _present(parts().credentials.by_password(name, password, client_address(), keys_too=False))


def actor(name: str | None = None) -> Actor:
    """This request as the audit log names it; without a name nobody is logged in."""
    return Actor(name, client_address(), request.environ.get("blobstore.request_id", ""))


def is_operator() -> bool:
    """Whether the request carries BLOBSTORE_METRICS_TOKEN; no database is asked, which may be what is wrong."""
    token = store().settings.metrics_token
    scheme, _, given = request.headers.get("Authorization", "").partition(" ")
    if token is None or scheme.lower() != "bearer":
        return False
    return any(hmac.compare_digest(given.strip().encode(), one.encode()) for one in token.get_secret_value().split(","))


def operator() -> None:
    """Raise NotFound when there is no BLOBSTORE_METRICS_TOKEN, Unauthenticated when the request does not carry it."""
    if store().settings.metrics_token is None:
        raise NotFound("there are no metrics: BLOBSTORE_METRICS_TOKEN is not set")
    if not is_operator():
        raise Unauthenticated("this needs BLOBSTORE_METRICS_TOKEN as a Bearer token", by_name=False)


def client_address() -> str:
    """The client's address, as the limits count it."""
    return network(request.remote_addr or "unknown")


def _present(caller: Caller) -> Caller:
    request.environ["blobstore.user"] = caller.name
    return replace(caller, actor=actor(caller.name))


def _by_scheme(scheme: str, rest: str) -> Caller:
    credentials = parts().credentials
    if scheme == "bearer":
        return credentials.by_key(rest) if rest.startswith("bs_") else credentials.by_token(rest)
    if scheme != "basic":
        raise Unauthenticated("only Basic and Bearer are known here")
    name, password = _basic(rest)
    return credentials.by_password(name, password, client_address())


def _basic(rest: str) -> tuple[str, str]:
    """(name, password) of RFC 7617, in UTF-8. Raises Unauthenticated."""
    try:
        name, colon, password = b64decode(rest, validate=True).decode().partition(":")
    except (binascii.Error, ValueError) as error:
        raise Unauthenticated("this is not HTTP Basic (RFC 7617)") from error
    if not colon:
        raise Unauthenticated("this is not HTTP Basic (RFC 7617)")
    return name, password
