"""Pages of lists, and cursors of those that time orders: the time and key of the last item, opaque to clients."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Generic, TypeVar

from blobstore.errors import BadCursor

T = TypeVar("T")
ID = re.compile("[A-Za-z0-9]{1,64}", re.ASCII)
NUMBER = re.compile("[0-9]{1,18}", re.ASCII)


@dataclass(frozen=True)
class Page(Generic[T]):
    """One page of a list; `next` is the cursor of the next one, None on the last."""

    items: list[T]
    next: str | None


def cut(found: list[T], limit: int, cursor: Callable[[T], str]) -> Page[T]:
    """The page of what was found up to one beyond the limit; `cursor` is that of what comes after an item."""
    return Page(found[:limit], cursor(found[limit - 1]) if len(found) > limit else None)


def write(at: datetime, key: str) -> str:
    """The cursor of whatever comes after this item."""
    return base64.urlsafe_b64encode(json.dumps([at.isoformat(), key]).encode()).decode().rstrip("=")


def read(cursor: str, key: re.Pattern[str] = ID) -> tuple[datetime, str]:
    """The time and the key; the key is what `key` matches. Raises BadCursor."""
    try:
        at, found = json.loads(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
        if not isinstance(found, str) or not key.fullmatch(found):
            raise ValueError(found)
        return datetime.fromisoformat(at), found
    except (ValueError, TypeError, RecursionError) as error:
        raise BadCursor("this cursor is not one that a list has handed out") from error
