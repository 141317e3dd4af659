"""Where a request's body ends: by Content-Length, or by the chunked coding that the server undid.

Whatever the server, a body is complete only when it has as many bytes as Content-Length says.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Final

from blobstore.errors import (
    IncompleteBody,
    Invalid,
    LengthRequired,
    UnsupportedContentEncoding,
    UnsupportedTransferCoding,
)

if TYPE_CHECKING:
    from wsgiref.types import WSGIEnvironment

PIECE_BYTES: Final = 1 << 20

_LENGTH = re.compile(r"[0-9]{1,18}")


def length(environ: WSGIEnvironment) -> int | None:
    """The bytes that the body must have, None when it is chunked.

    Raises LengthRequired without either, and what its coding deserves: UnsupportedTransferCoding,
    UnsupportedContentEncoding.
    """
    if environ.get("HTTP_CONTENT_ENCODING", "").strip().lower() not in ("", "identity"):
        raise UnsupportedContentEncoding("send the bytes as they are: a Content-Encoding is not undone")
    declared, coding = environ.get("CONTENT_LENGTH") or "", environ.get("HTTP_TRANSFER_ENCODING")
    if coding is not None:
        _check_chunked(coding, declared, terminated=bool(environ.get("wsgi.input_terminated")))
        return None
    if not declared:
        raise LengthRequired("a body with Content-Length, or a chunked one, is needed")
    if not _LENGTH.fullmatch(declared):
        raise Invalid("Content-Length is a number of bytes")
    return int(declared)


def _check_chunked(coding: str, declared: str, *, terminated: bool) -> None:
    if coding.strip().lower() != "chunked":
        raise UnsupportedTransferCoding("the only Transfer-Encoding is chunked")
    if declared:
        raise Invalid("Content-Length and Transfer-Encoding exclude each other (RFC 9112, section 6.1)")
    if not terminated:
        # Such a server hands the chunked coding through, or its input never ends (PEP 3333).
        raise LengthRequired("chunked bodies are not read by this server; send Content-Length")


def raw(environ: WSGIEnvironment, piece_bytes: int = PIECE_BYTES) -> Iterator[bytes]:
    """The body in pieces of at most `piece_bytes`.

    Raises what `length` raises at once, and IncompleteBody when it is cut.
    """
    return _pieces(environ["wsgi.input"].read, length(environ), piece_bytes)


def _pieces(read: Callable[[int], bytes], expected: int | None, piece_bytes: int) -> Iterator[bytes]:
    left = expected
    while left != 0:
        piece = read(piece_bytes if left is None else min(piece_bytes, left))
        if not piece:
            if left:
                raise IncompleteBody(f"the body ended {left} bytes before its Content-Length")
            return
        if left is not None:
            left -= len(piece)
        yield piece
