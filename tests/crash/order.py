"""In which order a worker makes an upload durable, as strace sees it (F4 of the fault suite).

write < fsync of the file < its names < fsync of the folder < the row that vouches for it < COMMIT < the answer
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from itertools import groupby

CALLS = "write,pwrite64,writev,fsync,fdatasync,linkat,renameat,renameat2,sendto,sendmsg"
STEPS = ["write", "fsync of the file", "name", "fsync of the folder", "vouch", "COMMIT", "answer"]
_STEPS = {
    "write": re.compile(r"p?writev?(64)? \d+<[^>]*/store/"),
    "fsync of the folder": re.compile(r"f(data)?sync \d+<[^>]*/store/[0-9a-f]{2}>$"),
    "fsync of the file": re.compile(r"f(data)?sync \d+<[^>]*/store/"),
    "name": re.compile(r"(linkat|renameat2?) .*/store/[0-9a-f]{2}>"),
    "vouch": re.compile(r"send(to|msg) (?P<connection>\d+)<.*UPDATE blobs SET published_at"),
    "COMMIT": re.compile(r"send(to|msg) (?P<connection>\d+)<.*COMMIT"),
    "answer": re.compile(r"send(to|msg) .*HTTP/1.1 20[01] "),
}


def steps(calls: Iterable[tuple[str, str, str]]) -> list[str]:
    """What STEPS has, in the order in which it happened; many of the same one after the other are one."""
    return [step for step, _ in groupby(_steps(calls))]


def _steps(calls: Iterable[tuple[str, str, str]]) -> Iterator[str]:
    """Other transactions of the worker commit too: the one that counts has vouched before, on its connection."""
    vouching = None
    for call, arguments, result in calls:
        if result.startswith("-"):
            continue
        for step, expression in _STEPS.items():
            if found := expression.match(f"{call} {arguments}"):
                if step == "vouch":
                    vouching = found["connection"]
                if step != "COMMIT" or found["connection"] == vouching:
                    yield step
                break
