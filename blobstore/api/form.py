"""A multipart/form-data body -> fields and files, as they arrive (RFC 7578).

No byte is added or lost, and a form is whole only when its closing boundary was seen.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final
from urllib.parse import unquote_to_bytes

from multipart import (
    MultipartError,
    MultipartSegment,
    ParserLimitReached,
    PushMultipartParser,
    parse_options_header,
)

from blobstore.api.framing import raw
from blobstore.errors import BadMultipart, BadText, FormTooLarge, TooManyFiles, UnsupportedMediaType

if TYPE_CHECKING:
    from wsgiref.types import WSGIEnvironment

PIECE_BYTES: Final = 256 << 10
"""The parser copies a piece that follows an end like \\r: with 1 MiB that cost a third of the speed."""
MAX_FILES: Final = 100
MAX_FIELDS: Final = 100
MAX_FIELDS_BYTES: Final = 64 << 10
MAX_PART_HEADER_BYTES: Final = 4 << 10
MAX_OVERHEAD_BYTES: Final = 1 << 20
"""What a form may have beside its files: boundaries, headers, fields, and parts that nobody read."""

_BOUNDARY = re.compile(r"[\x20-\x7e]{0,69}[\x21-\x7e]")
_EXTENDED_FILENAME = re.compile(r";\s*filename\*\s*=\s*([^;\s]*)", re.IGNORECASE)
_EXTENDED_VALUE = re.compile(r"UTF-8'[A-Za-z0-9-]*'((?:[A-Za-z0-9!#$&+.^_`|~-]|%[0-9A-Fa-f]{2})*)", re.IGNORECASE)
_QUOTED = re.compile(r'"(?:\\.|[^"\\])*(?:"|\\?$)', re.DOTALL)
"""A quoted string, or one that never ends: without that each quote in it would be tried anew."""


@dataclass(frozen=True, slots=True)
class Field:
    """A part of a form without a filename."""

    name: str
    value: str


@dataclass(frozen=True, slots=True)
class FilePart:
    """A part of a form with a filename, as it was sent: "" is what a browser sends for no file.

    `pieces` is read before the next part is asked for; what is left of it then is skipped.
    """

    name: str
    filename: str
    pieces: Iterator[bytes]


def parts(environ: WSGIEnvironment) -> Iterator[Field | FilePart]:
    """The parts of a multipart/form-data body, as they arrive (RFC 7578).

    The form is whole only when this iterator has ended: store nothing before. Raises at once what `raw` raises,
    UnsupportedMediaType, and BadMultipart for the boundary; while it goes on BadMultipart, BadText, FormTooLarge,
    TooManyFiles, IncompleteBody.
    """
    parser = PushMultipartParser(
        _boundary(environ),
        max_header_size=MAX_PART_HEADER_BYTES,
        max_segment_count=MAX_FILES + MAX_FIELDS,
    )
    return _read_parts(_Form(parser, raw(environ, PIECE_BYTES)))


def _boundary(environ: WSGIEnvironment) -> str:
    kind, options = parse_options_header(environ.get("CONTENT_TYPE", ""))
    if kind != "multipart/form-data":
        raise UnsupportedMediaType("the form must be multipart/form-data")
    boundary: str = options.get("boundary", "")
    if not _BOUNDARY.fullmatch(boundary):
        raise BadMultipart("the boundary has 1 to 70 characters (RFC 2046, section 5.1.1)")
    return boundary


class _Form:
    """The events of the parser (a segment, its bytes, None at its end), and what the limits need to know."""

    def __init__(self, parser: PushMultipartParser, pieces: Iterator[bytes]) -> None:
        self._parser = parser
        self._pieces = pieces
        self._received_bytes = 0
        self._file_bytes = 0
        self.present: MultipartSegment | None = None
        self.events = self._parse()

    def _parse(self) -> Iterator[MultipartSegment | bytes | None]:
        # Not strict: strictness there depends on how the body was cut into pieces.
        try:
            for piece in self._pieces:
                self._received_bytes += len(piece)
                yield from self._parser.parse(piece)
                self._check_overhead()
            self._parser.close()
        except ParserLimitReached as error:
            raise FormTooLarge("the form has too many parts, or a part too many headers") from error
        except MultipartError as error:
            raise BadMultipart(f"not a multipart body: {error.args[0]}") from error

    def _check_overhead(self) -> None:
        if self._received_bytes - self._file_bytes > MAX_OVERHEAD_BYTES:
            raise FormTooLarge(f"beside its files a form may have at most {MAX_OVERHEAD_BYTES} bytes")

    def pieces(self, segment: MultipartSegment) -> Iterator[bytes]:
        """The bytes of the segment. Raises RuntimeError once a later one was asked for: they would be its bytes."""
        while True:
            if self.present is not segment:
                raise RuntimeError("the pieces of a part are read before the next part is asked for")
            piece = next(self.events)
            if piece is None:
                return
            yield piece

    def file_pieces(self, segment: MultipartSegment) -> Iterator[bytes]:
        """The same, counted as read by somebody who wants them."""
        for piece in self.pieces(segment):
            self._file_bytes += len(piece)
            yield piece


def _read_parts(form: _Form) -> Iterator[Field | FilePart]:
    files = fields = fields_bytes = 0
    for event in form.events:
        if not isinstance(event, MultipartSegment):
            continue
        form.present = event
        filename = _checked_filename(event)
        if filename is not None:
            files += 1
            if files > MAX_FILES:
                raise TooManyFiles(f"a form may have at most {MAX_FILES} files")
            yield FilePart(event.name, filename, form.file_pieces(event))
            continue
        fields += 1
        if fields > MAX_FIELDS:
            raise FormTooLarge(f"a form may have at most {MAX_FIELDS} fields")
        field, size = _field(event, form.pieces(event), MAX_FIELDS_BYTES - fields_bytes)
        fields_bytes += size
        yield field
    form.present = None


def _checked_filename(segment: MultipartSegment) -> str | None:
    """The part's filename, None for a field. Raises for what RFC 7578 has abandoned and we never decode."""
    names = [name for name, _ in segment.headerlist]
    if sum(len(name) + len(value) for name, value in segment.headerlist) > MAX_PART_HEADER_BYTES:
        raise FormTooLarge(f"the headers of a part may have at most {MAX_PART_HEADER_BYTES} bytes")
    if names.count("Content-Disposition") != 1 or names.count("Content-Type") > 1:
        raise BadMultipart("a part has one Content-Disposition and at most one Content-Type")
    if segment.header("Content-Transfer-Encoding", "binary").strip().lower() not in ("binary", "8bit", "7bit"):
        raise BadMultipart("Content-Transfer-Encoding is not decoded (RFC 7578, section 4.7)")
    if segment.content_type == "multipart/mixed":
        raise BadMultipart("multipart/mixed is not read: send each file as a part of its own (RFC 7578, section 4.3)")
    if not segment.name or segment.name == "_charset_":
        raise BadMultipart("each part has a name, and it is not _charset_: a form is UTF-8")
    return _extended_filename(segment["Content-Disposition"]) or segment.filename


def _extended_filename(disposition: str) -> str | None:
    """`filename*`, which RFC 7578 forbids and .NET sends, with a mangled `filename` beside it."""
    found = _EXTENDED_FILENAME.search(_QUOTED.sub('""', disposition))
    if not found:
        return None
    value = _EXTENDED_VALUE.fullmatch(found[1])
    if not value:
        raise BadMultipart("filename* is UTF-8''… (RFC 8187)")
    return _utf8(unquote_to_bytes(value[1]), "filename*")


def _field(segment: MultipartSegment, pieces: Iterator[bytes], limit_bytes: int) -> tuple[Field, int]:
    """The field, and its size in bytes. Raises FormTooLarge as soon as it passes the limit."""
    if (segment.charset or "utf-8").lower() not in ("utf-8", "utf8", "us-ascii"):
        raise BadMultipart(f"the field '{segment.name}' must be UTF-8")
    value = bytearray()
    for piece in pieces:
        value += piece
        if len(value) > limit_bytes:
            raise FormTooLarge(f"the fields of a form may have at most {MAX_FIELDS_BYTES} bytes")
    text = _utf8(bytes(value), f"the field '{segment.name}'")
    if "\x00" in text:
        raise BadText(f"the field '{segment.name}' has a NUL character")
    return Field(segment.name, text), len(value)


def _utf8(value: bytes, what: str) -> str:
    try:
        return value.decode()
    except UnicodeDecodeError as error:
        raise BadMultipart(f"{what} is not UTF-8") from error
