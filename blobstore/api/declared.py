"""The digest that a client declares: in the path, X-SHA-256, Repr-Digest or Content-Digest (RFC 9530), or a field."""

from __future__ import annotations

import re
from base64 import b64decode

from werkzeug.datastructures import Headers

from blobstore.digest import Digest
from blobstore.errors import BadDigest, BadOption, DigestMismatch

_SHA_256 = re.compile(r"(?:^|,)[ \t]*sha-256[ \t]*=[ \t]*:([^:]*):[ \t]*(?=,|;|$)")
_BYTES = re.compile(r"[0-9]{1,18}", re.ASCII)


def digest(headers: Headers, path: Digest | None = None) -> Digest | None:
    """What the headers and the path declare; None without any. Raises BadDigest, also for two that differ.

    Digests by other algorithms only are refused: they would look checked and would not be.
    """
    found = {path} if path else set()
    if "X-SHA-256" in headers:
        found.add(Digest.parse(headers["X-SHA-256"].strip()))
    for name in ("Repr-Digest", "Content-Digest"):
        if name in headers:
            found.add(_of_dictionary(name, headers[name]))
    if len(found) > 1:
        raise BadDigest("two different digests are declared")
    return found.pop() if found else None


def one(headers: Headers, field: str | None) -> Digest | None:
    """What X-SHA-256 or the field of a form or JSON declares of the content. Raises BadDigest.

    Repr-Digest and Content-Digest are of the whole body, which is not the content here.
    """
    path = Digest.parse(field) if field is not None else None
    return digest(Headers({"X-SHA-256": headers["X-SHA-256"]} if "X-SHA-256" in headers else {}), path)


def compare(declared: Digest | None, received: Digest) -> None:
    """Raise DigestMismatch unless they are equal, or nothing was declared."""
    if declared and declared != received:
        raise DigestMismatch(declared.hex, received.hex)


def preflight(headers: Headers) -> tuple[Digest | None, int | None]:
    """What X-SHA-256 and X-Content-Length say of an upload to come. Raises BadDigest, BadOption."""
    text = headers.get("X-Content-Length")
    if text is not None and not _BYTES.fullmatch(text):
        raise BadOption("X-Content-Length", "is a number of bytes")
    return digest(headers), None if text is None else int(text)


def _of_dictionary(name: str, value: str) -> Digest:
    match = _SHA_256.search(value)
    if match is None:
        raise BadDigest(f"{name} has no sha-256=:…: (RFC 9530); other algorithms are not checked here")
    try:
        return Digest.from_bytes(b64decode(match[1], validate=True))
    except ValueError as error:
        raise BadDigest(f"{name} is not base64") from error
