"""The lines of a page that people type, and the answers that it shows."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_BLOCK = re.compile(r"^```console\n(.*?)^```$", re.MULTILINE | re.DOTALL)
ADDRESS = "http://127.0.0.1:5000"
"""Where the pages have the service."""
VOLATILE = {
    "an id": r"[0-9A-Za-z]{8}|[0-9A-Za-z]{22}",
    "the end of a key": r"[0-9A-Za-z]{4}",
    "an id of a request": r"[0-9a-f]{16}",
    "a time": r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ",
    "an API key": r"bs_k[0-9A-Za-z]{49}",
    "a login token": r"eyJ[\w-]+\.eyJ[\w-]+\.[\w-]{43}",
    "a ticket": r"\d+\.\d{10}\.[\w-]{43}",
    "a link with a ticket": rf"{ADDRESS}/auth/\w+#ticket=\d+\.\d{{10}}\.[\w-]{{43}}",
    "a short link": rf"{ADDRESS}/s/[0-9A-Za-z]{{8}}",
    "a client": r"curl/[\d.]+",
}
"""What is another one each time."""
PLACEHOLDERS = {"key": "KEY", "access_token": "TOKEN", "ticket": "TICKET", "id": "ID"}
"""How a page writes what an earlier answer had under that name."""


@dataclass(frozen=True)
class Line:
    """One command of a page, and what it prints there."""

    page: Path
    command: str
    shown: str


def lines(page: Path) -> Iterator[Line]:
    """Every command of its blocks `console`, in order; a backslash at the end goes on with the next line."""
    for block in _BLOCK.findall(page.read_text(encoding="utf-8")):
        for part in re.split(r"^\$ ", block.replace("\\\n", ""), flags=re.MULTILINE)[1:]:
            command, _, shown = part.partition("\n")
            yield Line(page, command, shown.strip("\n"))


def same(shown: str, said: str) -> bool:
    """Whether a page shows what was said, but for what is another one each time."""
    return shown == said or _same(_json(shown), _json(said))


def _json(text: str) -> Any:
    """The value, an object as a list of pairs: their order is shown too. The text itself when it is no JSON."""
    try:
        return json.loads(text, object_pairs_hook=list)
    except ValueError:
        return text


def _same(shown: Any, said: Any) -> bool:
    if isinstance(shown, (list, tuple)) and type(shown) is type(said):
        return len(shown) == len(said) and all(map(_same, shown, said))
    if isinstance(shown, str) and isinstance(said, str) and shown != said:
        return any(re.fullmatch(form, shown) and re.fullmatch(form, said) for form in VOLATILE.values())
    return bool(shown == said) and type(shown) is type(said)


def learned(said: str) -> dict[str, str]:
    """What later lines mean by KEY, TOKEN, TICKET and ID, after this answer: the first there is of each."""
    found: dict[str, str] = {}
    for name, value in _members(_json(said)):
        if name in PLACEHOLDERS and isinstance(value, str):
            found.setdefault(PLACEHOLDERS[name], value)
    return found


def _members(value: Any) -> Iterator[tuple[str, Any]]:
    """Every name with its value, at any depth."""
    for inside in value if isinstance(value, list) else ():
        if isinstance(inside, tuple):
            yield inside
        yield from _members(list(inside) if isinstance(inside, tuple) else inside)
