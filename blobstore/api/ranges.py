"""A file -> 200, 206, 304, 412 or 416, by the conditions and the range of a request (RFC 9110, sections 13 and 14).

We send no Last-Modified, so a date never matches: If-Modified-Since and If-Unmodified-Since are ignored (13.1.3,
13.1.4), an If-Range with a date is false (13.1.5). Several ranges are ignored, which 14.2 allows: a list of
overlapping ones has been a cheap attack on many servers.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal, Protocol

_ENTITY_TAG = re.compile(r'[ \t,]*(W/)?("[\x21\x23-\x7e\x80-\xff]*")[ \t]*(?=,|$)')
_RANGE = re.compile(r"bytes=[ \t]*([0-9]*)-([0-9]*)[ \t]*", re.IGNORECASE)
_MAX_DIGITS = 18
_BEYOND = 10**_MAX_DIGITS
"""Stands for every position too long to be read as a number: larger than any file."""


class Headers(Protocol):
    """A request's headers: a dict with the usual spellings, or any case-insensitive mapping."""

    def get(self, key: str, /) -> str | None: ...


@dataclass(frozen=True, slots=True)
class Selection:
    """What is answered: `length` bytes from `start` of a file of `size` bytes; none with 304, 412 and 416."""

    status: Literal[200, 206, 304, 412, 416]
    start: int
    length: int
    size: int

    @property
    def content_range(self) -> str | None:
        """The Content-Range that 206 and 416 carry, None for the others."""
        if self.status == 206:
            return f"bytes {self.start}-{self.start + self.length - 1}/{self.size}"
        return f"bytes */{self.size}" if self.status == 416 else None


def select(method: str, headers: Headers, etag: str, size: int) -> Selection:
    """Judge a request for a file of `size` bytes, in the order of RFC 9110, section 13.2.2.

    `etag` is strong and quoted. The file exists and the caller may see it: a stranger's 404 comes before this.
    """
    if_match, if_none_match = headers.get("If-Match"), headers.get("If-None-Match")
    if if_match is not None and not _names(if_match, etag, weakly=False):
        return Selection(412, 0, 0, size)
    if if_none_match is not None and _names(if_none_match, etag, weakly=True):
        return Selection(304 if method in ("GET", "HEAD") else 412, 0, 0, size)
    asked = headers.get("Range")
    if method == "GET" and asked is not None and _is_unchanged(headers.get("If-Range"), etag):
        return _slice(asked, size)
    return Selection(200, 0, size, size)


def _names(field: str, etag: str, *, weakly: bool) -> bool:
    """Whether `*` or a list of entity tags names `etag`; a malformed list names nothing."""
    if field.strip(" \t") == "*":
        return True
    position, end, found = 0, len(field.rstrip(" \t,")), False
    while position < end:
        tag = _ENTITY_TAG.match(field, position)
        if not tag:
            return False
        found = found or (tag[2] == etag and (weakly or not tag[1]))
        position = tag.end()
    return found


def _is_unchanged(if_range: str | None, etag: str) -> bool:
    return if_range is None or if_range.strip(" \t") == etag


def _slice(asked: str, size: int) -> Selection:
    found = _RANGE.fullmatch(asked.strip(" \t"))
    if not found or not (found[1] or found[2]):
        return Selection(200, 0, size, size)
    first, last = _position(found[1]), _position(found[2])
    if first is None:
        first, last = max(size - (last or 0), 0), size - 1
    elif last is not None and last < first:
        return Selection(200, 0, size, size)
    if first >= size:
        return Selection(416, 0, 0, size)
    end = size if last is None else min(last + 1, size)
    return Selection(206, first, end - first, size)


def _position(digits: str) -> int | None:
    """A byte position, None when there is none; never reads a long number, which would cost quadratic time."""
    if not digits:
        return None
    significant = digits.lstrip("0")
    return int(significant or "0") if len(significant) <= _MAX_DIGITS else _BEYOND
