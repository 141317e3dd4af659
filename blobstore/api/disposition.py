"""Content-Disposition of a download, by RFC 6266 and RFC 8187."""

from __future__ import annotations

import re
import unicodedata
from typing import Literal
from urllib.parse import quote

_NOT_PLAIN = re.compile(r'[^ -~]|["\\%/]')
_ATTR_CHAR = "!#$&+-.^_`|~"
"""What RFC 8187, section 3.2.1 leaves unencoded beside letters and digits."""


def content_disposition(kind: Literal["attachment", "inline"], name: str) -> str:
    """The header for a file called `name`: always `filename` in plain ASCII, `filename*` when that says less.

    The plain one has no quote, backslash, percent, slash or control character: every client reads it alike.
    """
    plain = _plain(name)
    header = f'{kind}; filename="{plain}"'
    if plain == name:
        return header
    return f"{header}; filename*=UTF-8''{quote(name, safe=_ATTR_CHAR, errors='replace')}"


def _plain(name: str) -> str:
    """`name` without accents, and with `_` for all that is then not plain."""
    letters = "".join(c for c in unicodedata.normalize("NFKD", name) if not unicodedata.combining(c))
    plain = _NOT_PLAIN.sub("_", letters)
    return plain if plain.strip(" .") else "download"
