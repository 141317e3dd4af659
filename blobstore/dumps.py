"""PostgreSQL's own tools: pg_dump and pg_restore, of the right version, without a password on a command line."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import psycopg2
from psycopg2.extensions import connection, make_dsn
from sqlalchemy import make_url

from blobstore.cluster import BINARIES, EmbeddedError, binary

_VERSION = re.compile(r"\(PostgreSQL\) (\d+)")
_LOOK = "SELECT count(*) FROM pg_tables WHERE schemaname = 'public' AND tablename = 'users'"
_USERS = "SELECT count(*) FROM users"


class DumpError(Exception):
    """The database could not be dumped or restored; one line for people."""


def dump(url: str, path: Path) -> None:
    """Write all of the database, as of one moment, while others use it. The file is whole or the older one stays.

    Raises DumpError.
    """
    made = path.with_name(f"{path.name}.new")
    options = ("--format=custom", "--no-owner", "--no-privileges", "--no-unlogged-table-data")
    _run(url, "pg_dump", *options, f"--file={made}")
    with made.open("rb") as file:
        os.fsync(file.fileno())
    made.replace(path)


def restore(url: str, path: Path) -> None:
    """Put what `dump` wrote in the place of all that is in the database, or change nothing. Raises DumpError."""
    options = ("--clean", "--if-exists", "--single-transaction", "--no-owner", "--no-privileges")
    _run(url, "pg_restore", *options, str(path), database=True)


def is_in_use(url: str) -> bool:
    """Whether the database has users, and so would lose something. Raises DumpError."""
    with _connected(url) as made, made.cursor() as cursor:
        cursor.execute(_LOOK)
        if cursor.fetchone() == (0,):
            return False
        cursor.execute(_USERS)
        return bool(cursor.fetchone() != (0,))


@contextmanager
def _connected(url: str) -> Iterator[connection]:
    try:
        with closing(psycopg2.connect(_dsn(url, password=True), connect_timeout=10)) as made:
            yield made
    except psycopg2.Error as error:
        raise DumpError(f"the database cannot be asked: {str(error).strip().partition(chr(10))[0]}") from error


def _run(url: str, name: str, *arguments: str, database: bool = False) -> None:
    where = _dsn(url, password=False)
    command = [str(_program(name, _major(url))), *arguments, *([f"--dbname={where}"] if database else [where])]
    environ = {key: value for key, value in os.environ.items() if key in ("PATH", "HOME", "TMPDIR") or key[:2] == "PG"}
    environ |= {"LC_ALL": "C", "PGPASSWORD": make_url(url).password or environ.get("PGPASSWORD", "")}
    done = subprocess.run(command, check=False, capture_output=True, text=True, env=environ, umask=0o077)
    if done.returncode:
        said = (done.stderr.strip() or "no reason given").splitlines()
        raise DumpError(f"{name} failed: {next((line for line in said if 'error' in line), said[0])}")


def _dsn(url: str, *, password: bool) -> str:
    """The address as libpq reads it."""
    given = make_url(url)
    parts = given.get_dialect()().create_connect_args(given)[1]
    if not password:
        parts.pop("password", None)
    return str(make_dsn(**parts))


def _major(url: str) -> int:
    """The server's version."""
    with _connected(url) as made:
        return int(made.server_version // 10000)


def _program(name: str, major: int) -> Path:
    """The one of the server's version, or the next newer: an older one cannot, a newer one may say what it cannot."""
    found = {version: path for path in _installed(name) if (version := _version(path)) >= major}
    if not found:
        raise DumpError(f"there is no {name} here for PostgreSQL {major}: install postgresql-client-{major}")
    return found[min(found)]


def _installed(name: str) -> Iterator[Path]:
    for version in BINARIES:
        try:
            yield binary(version, name)
        except EmbeddedError:
            continue
    if other := shutil.which(name):
        yield Path(other)


def _version(path: Path) -> int:
    try:
        said = subprocess.run([path, "--version"], check=False, capture_output=True, text=True).stdout
    except OSError:
        return 0
    found = _VERSION.search(said)
    return int(found[1]) if found else 0
