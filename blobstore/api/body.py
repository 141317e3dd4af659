"""A request's body -> pieces, never the whole: raw, a form, or a small JSON object."""

from __future__ import annotations

import json
import math
import re
from base64 import b64decode, b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final, NoReturn
from urllib.parse import parse_qsl

from multipart import parse_options_header

from blobstore.api.form import MAX_FILES, Field, FilePart, parts
from blobstore.api.framing import length, raw
from blobstore.errors import (
    BadBase64,
    BadJson,
    BadOption,
    BadText,
    BodyTooLarge,
    Busy,
    FileTooLarge,
    LengthRequired,
    UnsupportedMediaType,
)

if TYPE_CHECKING:
    from wsgiref.types import WSGIEnvironment

__all__ = [
    "MAX_FILES",
    "Field",
    "FilePart",
    "WholeBodies",
    "decode_base64",
    "fields",
    "json_object",
    "length",
    "parts",
    "raw",
]

MAX_JSON_BYTES: Final = 64 << 10

_UNREADABLE = re.compile("[\x00\ud800-\udfff]")


class WholeBodies:
    """What one worker holds of bodies that must be in memory as a whole: base64 in JSON.

    For a moment there are three of each: the bytes, their text, and the text that is in it.
    """

    COPIES: Final = 3

    def __init__(self, limit_bytes: int = 96 << 20) -> None:
        self._free_bytes = limit_bytes

    @contextmanager
    def holding(self, size_bytes: int) -> Iterator[None]:
        """Count a body while it is received and decoded. Raises Busy when others fill the memory for them."""
        needed = self.COPIES * size_bytes
        if needed > self._free_bytes:
            raise Busy("too many large JSON uploads at once; send the file itself, which needs no memory")
        self._free_bytes -= needed
        try:
            yield
        finally:
            self._free_bytes += needed


def json_object(environ: WSGIEnvironment, limit_bytes: int = MAX_JSON_BYTES) -> dict[str, Any]:
    """The JSON object in the body, read strictly: UTF-8, no key twice, finite numbers, text that PostgreSQL can hold.

    Raises UnsupportedMediaType unless it is declared as application/json, BodyTooLarge, BadJson, BadText,
    IncompleteBody. A body of no stated length is an empty one.
    """
    kind, options = parse_options_header(environ.get("CONTENT_TYPE", ""))
    if kind != "application/json" or options.get("charset", "utf-8").lower() not in ("utf-8", "utf8"):
        raise UnsupportedMediaType("the body must be application/json, in UTF-8")
    text = _collect(environ, limit_bytes)
    try:
        value = json.loads(
            text.decode(), object_pairs_hook=_object, parse_constant=_not_finite, parse_float=_finite_float
        )
    except (ValueError, RecursionError) as error:
        raise BadJson("the body is not JSON, or nested too deeply") from error
    if not isinstance(value, dict):
        raise BadJson("the body is a JSON object: {…}")
    if b"\\u" in text:
        # Only an escape can write what is looked for: literally it is neither UTF-8 nor JSON.
        _check_strings(value)
    return value


def optional_json_object(environ: WSGIEnvironment, limit_bytes: int = MAX_JSON_BYTES) -> dict[str, Any]:
    """The same where everything has a default: without a body it is an empty object."""
    stated = environ.get("CONTENT_TYPE") or environ.get("HTTP_TRANSFER_ENCODING")
    if not stated and environ.get("CONTENT_LENGTH", "0") in ("", "0"):
        return {}
    return json_object(environ, limit_bytes)


def fields(environ: WSGIEnvironment, limit_bytes: int = MAX_JSON_BYTES) -> dict[str, Any]:
    """The fields of a small form (application/x-www-form-urlencoded), each once, or of a JSON object.

    Raises what json_object raises, and BadOption for a field that stands there twice.
    """
    kind, _ = parse_options_header(environ.get("CONTENT_TYPE", ""))
    if kind != "application/x-www-form-urlencoded":
        return json_object(environ, limit_bytes)
    try:
        pairs = parse_qsl(
            _collect(environ, limit_bytes).decode("ascii"), keep_blank_values=True, errors="strict", max_num_fields=100
        )
    except ValueError as error:
        raise BadText("the form is not UTF-8, or has too many fields") from error
    found = dict(pairs)
    if len(found) != len(pairs):
        raise BadOption("body", "a field is given more than once")
    _check_strings(found)
    return found


def _collect(environ: WSGIEnvironment, limit_bytes: int) -> bytes:
    try:
        expected = length(environ)
    except LengthRequired:
        return b""
    if expected is not None and expected > limit_bytes:
        raise BodyTooLarge(limit_bytes)
    collected = bytearray()
    for piece in raw(environ):
        collected += piece
        if len(collected) > limit_bytes:
            raise BodyTooLarge(limit_bytes)
    return bytes(collected)


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise BadJson("an object has a key twice")
    return found


def _not_finite(text: str) -> NoReturn:
    raise BadJson(f"{text} is not JSON")


def _finite_float(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise BadJson("a number is too large")
    return value


def _check_strings(value: Any) -> None:
    """Raises BadText for a NUL or a lone surrogate in any string or key. Iterative: depth is the client's."""
    pending = [value]
    while pending:
        found = pending.pop()
        if isinstance(found, dict):
            pending += [*found.keys(), *found.values()]
        elif isinstance(found, list):
            pending += found
        elif isinstance(found, str) and _UNREADABLE.search(found):
            raise BadText("a string has a NUL or a lone surrogate")


def decode_base64(text: str, limit_bytes: int) -> bytes:
    """The bytes of canonical base64 (RFC 4648, section 4): padded, no whitespace, no stray bits.

    Raises BadBase64, and FileTooLarge when it stands for more than `limit_bytes`.
    """
    if len(text) // 4 * 3 - text[-2:].count("=") > limit_bytes:
        raise FileTooLarge(limit_bytes)
    try:
        decoded = b64decode(text, validate=True)
    except ValueError as error:
        raise BadBase64("not base64 (RFC 4648, section 4)") from error
    if b64encode(decoded).decode() != text:
        raise BadBase64("base64 has one spelling for each content, and this is another (RFC 4648, section 3.5)")
    return decoded
