"""What a client says of a file in a query, a form or JSON -> Changes. One reading for every way in."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from flask import request

from blobstore.core.files import Changes
from blobstore.core.names import check_text, parse_folder, parse_name
from blobstore.core.tickets import Purpose
from blobstore.errors import BadExpires, BadOption

MAX_TAGS, MAX_TAG_BYTES = 32, 64
MAX_EXPIRES = timedelta(days=36_525)
_SECONDS = re.compile(r"[0-9]{1,10}")
_RFC_3339 = re.compile(r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(\.\d{1,9})?([Zz]|[+-]\d\d:\d\d)", re.ASCII)
FIELDS = ("name", "folder", "visibility", "expires_in", "expires_at", "tags")
"""What may be said of a file on upload, anywhere."""


def query(*allowed: str) -> dict[str, str]:
    """The query's parameters. Raises BadOption for one that this route does not know, or that stands there twice."""
    found: dict[str, str] = {}
    for name, values in request.args.lists():
        if name not in allowed:
            raise BadOption(name, "there is no such parameter here; known are: " + ", ".join(allowed))
        if len(values) > 1:
            raise BadOption(name, "is given more than once")
        check_text(values[0])
        found[name] = values[0]
    return found


def flag(values: Mapping[str, str], name: str) -> bool:
    """A yes or no of the query: absent, 0 and false are no; 1, true, yes and no value are yes. Raises BadOption."""
    text = values.get(name, "0").lower()
    if text in ("", "1", "true", "yes"):
        return True
    if text in ("0", "false", "no"):
        return False
    raise BadOption(name, "is 1 or 0")


def changes(values: Mapping[str, str]) -> Changes:
    """What a query or a form says of a file. Raises BadName, BadText, BadExpires, BadOption."""
    given = Changes()
    if "name" in values:
        given["name"] = parse_name(values["name"])
    if "folder" in values:
        given["folder"] = parse_folder(values["folder"])
    if "visibility" in values:
        given["visibility"] = visibility(values["visibility"])
    if "expires_in" in values or "expires_at" in values:
        given["expires_at"] = _expiry(values.get("expires_in"), values.get("expires_at"))
    if "tags" in values:
        given["tags"] = tags(part for part in values["tags"].split(","))
    return given


def visibility(text: str) -> str:
    """`public` or `private`. Raises BadOption."""
    if text not in ("public", "private"):
        raise BadOption("visibility", "is public or private")
    return text


def purpose(values: Mapping[str, str]) -> Purpose:
    """What a ticket is `for`. Raises BadOption."""
    given = values.get("for", Purpose.PASSWORD)
    if given not in tuple(Purpose):
        raise BadOption("for", "is password or email")
    return Purpose(given)


def tags(parts: Iterable[str]) -> list[str]:
    """Up to 32 labels of at most 64 bytes, each once. Raises BadOption, BadText."""
    found: list[str] = []
    for part in parts:
        tag = part.strip()
        check_text(tag)
        if len(tag.encode()) > MAX_TAG_BYTES or not tag.isprintable():
            raise BadOption("tags", f"a tag is printable text of at most {MAX_TAG_BYTES} bytes")
        if tag and tag not in found:
            found.append(tag)
    if len(found) > MAX_TAGS:
        raise BadOption("tags", f"there are at most {MAX_TAGS}")
    return found


def expires_in(seconds: int) -> datetime:
    """The moment so many seconds from now. Raises BadExpires unless it is within a hundred years."""
    if not 0 < seconds <= MAX_EXPIRES.total_seconds():
        raise BadExpires("expires_in is a number of seconds, from 1 to a hundred years")
    return datetime.now(UTC) + timedelta(seconds=seconds)


def moment(name: str, text: str) -> datetime:
    """The moment that the parameter `name` says, in RFC 3339 with its zone. Raises BadOption."""
    try:
        return _moment(text)
    except (ValueError, OverflowError) as error:
        raise BadOption(name, "is a time like 2030-01-31T12:00:00Z, with its zone") from error


def expires_at(text: str) -> datetime:
    """A future moment in RFC 3339, with its zone. Raises BadExpires."""
    try:
        moment = _moment(text)
    except (ValueError, OverflowError) as error:
        raise BadExpires("expires_at is a time like 2030-01-31T12:00:00Z, with its zone") from error
    if not datetime.now(UTC) < moment <= datetime.now(UTC) + MAX_EXPIRES:
        raise BadExpires("expires_at is in the future, within a hundred years")
    return moment


def _moment(text: str) -> datetime:
    if not _RFC_3339.fullmatch(text):
        raise ValueError(text)
    return datetime.fromisoformat(text.upper()).astimezone(UTC)


def limit(values: Mapping[str, str], default: int = 100, most: int = 1000) -> int:
    """`?limit=`. Raises BadOption."""
    text = values.get("limit", str(default))
    if not re.fullmatch(r"[0-9]{1,4}", text, re.ASCII) or not 1 <= int(text) <= most:
        raise BadOption("limit", f"is a number from 1 to {most}")
    return int(text)


def _expiry(seconds: str | None, moment: str | None) -> datetime:
    if seconds is not None and moment is not None:
        raise BadExpires("give expires_in or expires_at, not both")
    if moment is not None:
        return expires_at(moment)
    if not _SECONDS.fullmatch(seconds or ""):
        raise BadExpires("expires_in is a number of seconds, from 1 to a hundred years")
    return expires_in(int(seconds or 0))


def changes_from_json(given: Mapping[str, Any]) -> Changes:
    """What a JSON object, whose types are checked already, says of a file; `expires_at` null: never."""
    texts = {name: given[name] for name in FIELDS if isinstance(given.get(name), str)}
    found = changes(texts)
    if "expires_in" in given:
        if "expires_at" in given:
            raise BadExpires("give expires_in or expires_at, not both")
        found["expires_at"] = expires_in(given["expires_in"])
    elif "expires_at" in given and given["expires_at"] is None:
        found["expires_at"] = None
    if "tags" in given:
        found["tags"] = tags(given["tags"])
    return found
