"""No secret of a run is in a log, a database or an error page (S8). A run that tells one fails.

    logs         of every service that the run has started: all of its temporary folder, when the run is over
    databases    every row, before it is emptied for the next test, and before the server is stopped
    error pages  wherever a test reads one: `look_at_page`

Looked for are the secrets that were recorded (what the tests call PASSWORD, every password that was hashed in this
process, what services made for themselves), as they are and as they travel; and by their form API keys, login tokens,
tickets and signatures, whoever made them.
"""

from __future__ import annotations

import json
import re
from base64 import b64encode
from collections import defaultdict
from contextlib import closing
from functools import cache
from pathlib import Path
from urllib.parse import quote

import psycopg2
from sqlalchemy import make_url

from blobstore.core import keys, passwords

LOGS = ("*.log", "*.log.*", "*.jsonl", "log")
MADE = ("secret.key", "postgres.password")
"""What a service keeps in its data folder for itself."""
MIN_LENGTH = 8
"""What is shorter is found everywhere."""
FORMS = {
    "a login token": re.compile(rb"eyJ[\w-]{10,}\.eyJ[\w-]{10,}\.[\w-]{43}"),
    "a ticket": re.compile(rb"\b[0-9]{1,18}\.[0-9]{10,12}\.[\w-]{43}\b"),
    "a signature": re.compile(rb"signature=[\w-]{43}"),
}
_KEY = re.compile(rb"bs_k[0-9A-Za-z]{49}")
_recorded: set[str] = set()
_found: list[str] = []


def record(*secrets: str) -> None:
    """From now on these are looked for."""
    _recorded.update(secret for secret in secrets if len(secret) >= MIN_LENGTH)


def record_made(folder: Path) -> None:
    """The same with what the services below a folder have made."""
    for name in MADE:
        record(*(path.read_text(encoding="ascii") for path in folder.rglob(name) if path.is_file()))


def record_database(url: str) -> None:
    """The same with the password of a database's address."""
    record(str(make_url(url).password or ""))


@cache
def spellings(secret: str) -> tuple[bytes, ...]:
    """The secret as it is, in JSON, in a URL, in hex, and in base64 wherever it may begin."""
    plain = secret.encode()
    found = {plain, json.dumps(secret)[1:-1].encode(), quote(secret, safe="").encode(), plain.hex().encode()}
    for shift in range(3):
        # The characters at both ends are mixed with what stands beside it.
        whole = b64encode(bytes(shift) + plain).rstrip(b"=")
        found.add(whole[(0, 2, 3)[shift] : len(whole) - ((shift + len(plain)) % 3 > 0)])
    return tuple(found)


def told(text: bytes) -> list[str]:
    """What kinds of secrets are in it."""
    found = [what for what, form in FORMS.items() if form.search(text)]
    if any(keys.is_well_formed(key.decode()) for key in _KEY.findall(text)):
        found.append("an API key")
    if any(spelling in text for secret in _recorded for spelling in spellings(secret)):
        found.append("a recorded secret")
    return found


def told_by_database(url: str) -> list[str]:
    """The same of every row of every table, with the table's name."""
    with closing(psycopg2.connect(url.replace("+psycopg2", "", 1))) as connection, connection.cursor() as cursor:
        cursor.execute("SET lock_timeout = '30s'")
        cursor.execute("SELECT string_agg(format('SELECT %L, t::text FROM %I t', tablename, tablename), ' UNION ALL ')"
                       " FROM pg_tables WHERE schemaname = 'public'")  # fmt: skip
        (question,) = cursor.fetchone() or (None,)
        cursor.execute(question or "SELECT '', '' WHERE false")
        rows = defaultdict(list)
        for table, row in cursor:
            rows[table].append(row)
    return [f"{what} in the table {table}" for table in rows for what in told("\n".join(rows[table]).encode())]


def told_by_logs(folder: Path) -> list[str]:
    """The same of every log below a folder, with its path."""
    logs = sorted({path for name in LOGS for path in folder.rglob(name) if path.is_file()})
    return [f"{what} in {log}" for log in logs for what in told(log.read_bytes())]


def look_at_page(status: int, page: bytes) -> None:
    """Look at an answer's head and body, if it is an error's."""
    if status >= 400:
        _found.extend(f"{what} in an error page: {page[:200]!r}" for what in told(page))


def look_at_database(url: str) -> None:
    """Look at all that is in it now."""
    _found.extend(told_by_database(url))


def look_at_logs(folder: Path) -> None:
    """Look at all that is in the logs below it."""
    record_made(folder)
    _found.extend(told_by_logs(folder))


def record_what_is_hashed() -> None:
    """From now on every password that this process hashes is looked for."""
    hash_password = passwords.hash_password

    def recording(password: str) -> str:
        record(password)
        return hash_password(password)

    passwords.hash_password = recording


def found() -> list[str]:
    """What was seen so far."""
    return list(_found)
