"""Basic or Bearer -> Caller.

No Authorization is nobody; one that does not verify, of whatever scheme, is 401 even where none is needed.
"""

from __future__ import annotations

import binascii
from base64 import b64decode
from dataclasses import replace

from flask import request

from blobstore.addresses import network
from blobstore.api.context import parts
from blobstore.core import gate
from blobstore.core.actor import Actor
from blobstore.core.gate import Caller, Scope
from blobstore.errors import Unauthenticated


def anybody() -> Caller | None:
    """Who asks; None without credentials. Raises Unauthenticated, TooManyAttempts."""
    header = request.headers.get("Authorization")
    if header is None:
        return None
    scheme, _, rest = header.partition(" ")
    return _present(_by_scheme(scheme.lower(), rest.strip()))


def somebody(scope: Scope) -> Caller:
    """Who asks, proven to have `scope`. Raises Unauthenticated, InsufficientScope, TooManyAttempts."""
    return gate.require(anybody(), scope)


def in_person(name: str, password: str) -> Caller:
    """Whose name and password a body carries: no API key in its place. Raises Unauthenticated, TooManyAttempts."""
    return _present(parts().credentials.by_password(name, password, client_address(), keys_too=False))


def actor(name: str | None = None) -> Actor:
    """This request as the audit log names it; without a name nobody is logged in."""
    return Actor(name, client_address(), request.environ.get("blobstore.request_id", ""))


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
