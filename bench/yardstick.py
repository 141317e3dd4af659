"""pgbench on blobstore's own PostgreSQL: what a transaction of two writing statements costs at least."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

from bench import database
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
        self._script = folder / "transaction.sql"
        self._script.write_text(_TRANSACTION, encoding="ascii")
        self._url = database.create(database_url, DATABASE)
        database.say(self._url, _TABLES)

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
