"""pgbench on blobstore's own PostgreSQL: what a transaction of two writing statements costs at least."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import psycopg2
from sqlalchemy import make_url

from bench.loads import CONNECTIONS, run
from bench.running import clean

DATABASE = "bench"
_TPS = re.compile(r"tps = ([\d.]+) \(without")
_TRANSACTION = r"""
\set id random(1, 10000)
BEGIN;
UPDATE accounts SET used = used + 1 WHERE id = :id;
INSERT INTO files (account, name) VALUES (:id, 'a name');
COMMIT;
"""
_TABLES = """
CREATE TABLE accounts (id bigint PRIMARY KEY, used bigint);
INSERT INTO accounts SELECT n, 0 FROM generate_series(1, 10000) n;
CREATE TABLE files (id bigserial PRIMARY KEY, account bigint, name text);
"""


class Pgbench:
    """Transactions per second, with as many clients as the other loads have connections."""

    def __init__(self, database_url: str, folder: Path) -> None:
        self._url, self._script = make_url(database_url), folder / "transaction.sql"
        self._script.write_text(_TRANSACTION, encoding="ascii")
        self._say(self._url.database, f"CREATE DATABASE {DATABASE}")
        self._say(DATABASE, _TABLES)

    @staticmethod
    def installed() -> bool:
        """Whether there is a pgbench."""
        return shutil.which("pgbench") is not None

    def run(self, seconds: int) -> float:
        """So many transactions per second."""
        query = self._url.query
        environ = {
            "PGHOST": query["host"],
            "PGPORT": query["port"],
            "PGUSER": self._url.username,
            "PGDATABASE": DATABASE,
        }
        environ |= {"PGPASSWORD": self._url.password}
        named = {name: str(value) for name, value in environ.items()}
        command = ["pgbench", "-n", "-f", str(self._script), f"-c{CONNECTIONS}", "-j2", f"-T{seconds}"]
        said = run(command, seconds + 60, {**clean(), **named})
        found = _TPS.search(said)
        if not found:
            raise RuntimeError(said)
        return float(found[1])

    def _say(self, database: str | None, statement: str) -> None:
        url = self._url.set(drivername="postgresql", database=database)
        connection = psycopg2.connect(url.render_as_string(hide_password=False))
        try:
            connection.autocommit = True
            with connection.cursor() as cursor:
                cursor.execute(statement)
        finally:
            connection.close()
