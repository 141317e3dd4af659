"""PostgreSQL as the code asks it: what a transaction is, and what happens when the server does not answer."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import psutil
import pytest
from sqlalchemy import TextClause, text
from sqlalchemy.exc import IntegrityError

from blobstore import embedded
from blobstore.database import CommitUnknown, Database, DatabaseStalled, Prepared, retrying
from blobstore.environment import load
from blobstore.errors import Busy, DatabaseUnavailable
from tests.children import query, until
from tests.served import environment

ONE = Prepared("one", ("bigint",), "SELECT $1 + 1")
END = text("SELECT pg_terminate_backend(pg_backend_pid())")


def connect(url: str, **given: object) -> Database:
    """A database with these settings."""
    return Database(url, load({name: str(value) for name, value in given.items()}, None))


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    """An empty database."""
    database = connect(database_url)
    yield database
    database.dispose()


def add(name: str) -> TextClause:
    """A statement that adds a lease."""
    return text(f"INSERT INTO leases VALUES ('{name}', 'x', now())")


def fail_after(_: object) -> None:
    """Fail for a reason that is not the database's."""
    raise ZeroDivisionError


def names(url: str) -> list[object]:
    """The leases, as another connection sees them."""
    return [row[0] for row in query(url, "SELECT name FROM leases ORDER BY name")]


def test_a_block_is_a_transaction(database: Database, database_url: str) -> None:
    """Half of a change would stay when the other half fails."""
    with database.transaction() as session:
        session.execute(add("kept"))
        assert names(database_url) == []
    with pytest.raises(ZeroDivisionError), database.transaction() as session:
        fail_after(session.execute(add("lost")))
    assert names(database_url) == ["kept"]


def test_a_broken_rule_is_told_as_it_is(database: Database, database_url: str) -> None:
    """A name that is taken would look like an outage."""
    with pytest.raises(IntegrityError), database.transaction() as session:
        session.execute(text("INSERT INTO leases SELECT 'a', 'x', now() FROM generate_series(1, 2)"))
    assert names(database_url) == []


def test_what_is_promised_of_a_connection(database: Database) -> None:
    """An acknowledged commit could be lost in a power cut, and the checked protocol is one for READ COMMITTED."""
    wanted = {"synchronous_commit": "on", "TimeZone": "UTC", "transaction_isolation": "read committed"}
    wanted |= {"lock_timeout": "2s", "statement_timeout": "2250ms", "idle_in_transaction_session_timeout": "1min"}
    with database.transaction() as session:
        assert {name: session.scalar(text(f"SHOW {name}")) for name in wanted} == wanted


def test_nothing_is_connected_before_it_is_asked() -> None:
    """The service could not start while the database is away."""
    away = connect("postgresql+psycopg2://a:b@127.0.0.1:1/c")
    for ask in (lambda: away.fetch(ONE, 1), lambda: away.transaction().__enter__().execute(END)):
        with pytest.raises(DatabaseUnavailable):
            use(away, ask)


def use(database: Database, ask: object) -> None:
    """Ask within a transaction's rules for errors."""
    with database.transaction():
        ask()  # type: ignore[operator]


def test_a_statement_is_prepared_once_a_connection(database: Database) -> None:
    """The hot path would parse and plan at each request, or fail at the second."""
    assert [database.fetch(ONE, number) for number in (1, 2, 3)] == [(2,), (3,), (4,)]
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(lambda number: database.fetch(ONE, number), range(20))) == [(n + 1,) for n in range(20)]
    assert database.fetch(Prepared("none", ("bigint",), "SELECT 1 WHERE $1 = 0"), 1) is None


def test_a_look_is_one_round_trip(database: Database, database_url: str) -> None:
    """Each look would ask the server twice: leaving autocommit made the driver reset the isolation level."""
    # By its number: the backend of an earlier test may still be ending.
    row = database.fetch(Prepared("pid", ("bigint",), "SELECT pg_backend_pid() + $1"), 0)
    assert row is not None
    for number in (1, 2):
        database.fetch(ONE, number)
        asked = query(database_url, f"SELECT query FROM pg_stat_activity WHERE pid = {row[0]}")
        assert asked == [(f"EXECUTE one ({number})",)]


def test_a_look_survives_a_connection_that_died_unnoticed(database: Database, database_url: str) -> None:
    """After each restart of PostgreSQL every idle connection would cost one failed request."""
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda number: database.fetch(ONE, number), range(8)))
    ended = "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity WHERE application_name = 'blobstore'"
    query(database_url, ended)
    assert database.fetch(ONE, 1) == (2,)
    assert database.fetch(ONE, 1) == (2,)


def end(url: str, pid: int | None) -> None:
    """End another connection's backend."""
    query(url, f"SELECT pg_terminate_backend({pid}, 10000)")


def test_a_lost_commit_is_told_as_unknown(database: Database, database_url: str) -> None:
    """An upload of which nobody knows whether it happened would be called failed, or done."""
    with pytest.raises(CommitUnknown), database.transaction() as session:
        end(database_url, session.scalar(text("SELECT pg_backend_pid()")))
    with pytest.raises(DatabaseUnavailable) as raised, database.transaction() as session:
        session.execute(END)
    assert not isinstance(raised.value, CommitUnknown)
    with database.transaction() as session:
        session.execute(add("b"))
    assert names(database_url) == ["b"]


def test_an_exhausted_pool_is_busy(database_url: str) -> None:
    """Requests would wait for each other for ever, or be told that the database is away."""
    small = connect(database_url, POOL_SIZE=1, MAX_OVERFLOW=1, POOL_TIMEOUT=0.1)
    with small.transaction() as one, small.transaction() as two:
        assert one.scalar(text("SELECT 1")) == two.scalar(text("SELECT 1")) == 1
        with pytest.raises(Busy):
            small.fetch(ONE, 1)
        with pytest.raises(Busy), small.transaction() as third:
            third.execute(text("SELECT 1"))
    assert small.fetch(ONE, 1) == (2,)
    small.dispose()


def test_a_lock_that_others_hold_is_busy(database_url: str) -> None:
    """A request would wait for as long as another one stands still; or lose its connection for it."""
    query(database_url, "INSERT INTO leases VALUES ('a', '', now())")
    hasty = connect(database_url, BLOBSTORE_DATABASE_TIMEOUT_SECONDS=0.5)
    look = Prepared("locked", ("text",), "SELECT holder FROM leases WHERE name = $1 FOR UPDATE")
    pid = Prepared("own_pid", ("bigint",), "SELECT pg_backend_pid() + $1")
    before = hasty.fetch(pid, 0)
    with hasty.transaction() as holder:
        holder.execute(text("SELECT FROM leases FOR UPDATE"))
        with pytest.raises(Busy), hasty.transaction() as session:
            session.execute(text("UPDATE leases SET holder = 'x'"))
        with pytest.raises(Busy):
            hasty.fetch(look, "a")
    assert hasty.fetch(pid, 0) == before
    hasty.dispose()


def test_a_slow_statement_is_ended_and_not_tried_again(database_url: str) -> None:
    """What nobody waits for any more would go on in the server, twice, and hold its locks."""
    hasty = connect(database_url, BLOBSTORE_DATABASE_TIMEOUT_SECONDS=0.5)
    query(database_url, "CREATE SEQUENCE asked")
    slow = Prepared("slow", ("double precision",), "SELECT nextval('asked'), pg_sleep($1)")
    try:
        with pytest.raises(DatabaseStalled):
            hasty.fetch(slow, 60)
        assert query(database_url, "SELECT last_value FROM asked") == [(1,)]
        with pytest.raises(DatabaseStalled), hasty.transaction() as session:
            session.execute(text("SELECT pg_sleep(60)"))
        assert query(database_url, "SELECT 1 FROM pg_stat_activity WHERE wait_event = 'PgSleep'") == []
    finally:
        hasty.dispose()
        query(database_url, "DROP SEQUENCE asked")


def test_a_deadlock_reaches_nobody(database: Database, database_url: str) -> None:
    """Two deletes that cross would fail for one of the two clients."""
    query(database_url, "INSERT INTO leases VALUES ('a', '', now()), ('b', '', now())")
    both, over = threading.Barrier(2), threading.Event()
    attempts: list[str] = []

    @retrying
    def cross(first: str, second: str) -> None:
        attempts.append(first)
        again = len(attempts) > 2
        assert not again or over.wait(60)
        with database.transaction() as session:
            touch = text("UPDATE leases SET holder = holder || :by WHERE name = :name")
            session.execute(touch, {"name": first, "by": first})
            if not again:
                both.wait(60)
            session.execute(touch, {"name": second, "by": first})
        over.set()

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(cross, "ab", "ba"))
    assert len(attempts) == 3
    assert {"".join(sorted(str(row[0]))) for row in query(database_url, "SELECT holder FROM leases")} == {"ab"}


def test_a_conflict_that_does_not_end_is_busy(database: Database) -> None:
    """A request would be tried for ever, or end in an error of ours."""
    attempts = []

    @retrying
    def conflict() -> None:
        attempts.append(1)
        with database.transaction() as session:
            session.execute(text("DO $$ BEGIN RAISE SQLSTATE '40P01'; END $$"))

    with pytest.raises(Busy):
        conflict()
    assert len(attempts) == 3


def test_a_server_that_goes_and_comes_is_used_again(tmp_path: Path) -> None:
    """After an outage of PostgreSQL every node would have to be restarted."""
    with embedded.running(tmp_path, "18", durable=False) as url:
        database = connect(url)
        assert database.fetch(ONE, 1) == (2,)
        embedded.stop(tmp_path)
        for _ in range(2):
            with pytest.raises(DatabaseUnavailable):
                database.fetch(ONE, 1)
            with pytest.raises(DatabaseUnavailable), database.transaction() as session:
                session.execute(text("SELECT 1"))
        embedded.start(tmp_path, "18", durable=False)
        assert database.fetch(ONE, 1) == (2,)
        with database.transaction() as session:
            assert session.scalar(text("SELECT 1")) == 1
        database.dispose()


@pytest.fixture
def crashing(tmp_path: Path) -> Iterator[Database]:
    """The database of a server of its own, which is back at the end: PostgreSQL 18 does not stop while it recovers."""
    with embedded.running(tmp_path, "18", durable=False) as url:
        database = connect(url)
        yield database
        until(lambda: answers(database))
        database.dispose()


def answers(database: Database) -> bool:
    """Whether the server is there."""
    with suppress(DatabaseUnavailable):
        return database.fetch(ONE, 1) == (2,)
    return False


def crash(pid: int | None) -> TextClause:
    """Let a backend die as it does beside one that crashed: it warns its client, and is gone. A statement for it."""
    assert pid
    os.kill(pid, signal.SIGQUIT)
    until(lambda: not psutil.pid_exists(pid))
    return text("SELECT 1")


def test_a_statement_to_a_server_that_crashed_finds_it_away(crashing: Database) -> None:
    """Upkeep, or a command, would end in an error of ours when PostgreSQL crashes beside it."""
    with pytest.raises(DatabaseUnavailable) as raised, crashing.transaction() as session:
        session.execute(crash(session.scalar(text("SELECT pg_backend_pid()"))))
    assert not isinstance(raised.value, CommitUnknown)


def test_a_look_at_a_server_that_crashed_is_made_again(crashing: Database) -> None:
    """What a command looks up would end in an error of ours when PostgreSQL has crashed."""
    row = crashing.fetch(Prepared("pid", ("bigint",), "SELECT pg_backend_pid() + $1"), 0)
    assert row is not None
    crash(row[0])
    until(lambda: answers(crashing))


FROZEN = """
import atexit, os, signal
from gevent import monkey; monkey.patch_all()
import gevent
from sqlalchemy import TextClause, text
from blobstore.database import Database, DatabaseStalled, Prepared
from blobstore.green import make_green
from blobstore.environment import load
make_green()
PID = Prepared("pid", ("bigint",), "SELECT pg_backend_pid() + $1")
settings = load()
database, frozen, ticks = Database(settings.require_database(), settings), [], []
def tick():
    while True:
        ticks.append(1); gevent.sleep(0.01)
gevent.spawn(tick)

def in_a_transaction():
    with database.transaction() as session:
        freeze(session.scalar(text("SELECT pg_backend_pid()")))
        session.execute(text("SELECT 1"))

def in_a_commit():
    with database.transaction() as session:
        freeze(session.scalar(text("SELECT pg_backend_pid()")))

def in_a_look():
    freeze(database.fetch(PID, 0)[0])
    database.fetch(PID, 0)

def freeze(pid):
    os.kill(pid, signal.SIGSTOP); frozen.append(pid)

atexit.register(lambda: [os.kill(pid, signal.SIGCONT) for pid in frozen])
for ask in (in_a_transaction, in_a_look, in_a_commit):
    ticks.clear()
    try:
        ask()
        print("answered")
    except DatabaseStalled as error:
        print(type(error).__name__, len(ticks) > 10)
    print(database.fetch(PID, 0)[0] not in frozen)
"""


def test_a_frozen_backend_ends_in_time_and_stops_nobody_else(database_url: str, tmp_path: Path) -> None:
    """One stuck connection would hang its request for ever, or the whole worker with it."""
    environ = environment(tmp_path, DATABASE_URL=database_url, database_timeout_seconds=1)
    done = subprocess.run(
        [sys.executable, "-c", FROZEN], check=False, capture_output=True, text=True, env=environ, timeout=120
    )
    assert done.stdout.split() == [
        *("DatabaseStalled", "True", "True") * 2,
        *("CommitStalled", "True", "True"),
    ], done.stderr
    until(lambda: not query(database_url, "SELECT 1 FROM pg_stat_activity WHERE application_name = 'blobstore'"))


SILENT = """
import sys
from gevent import monkey; monkey.patch_all()
import gevent
from gevent.server import StreamServer
from sqlalchemy import text
from blobstore.database import Database, DatabaseStalled, Prepared
from blobstore.environment import load
from blobstore.green import make_green
make_green()
came = []
server = StreamServer(("127.0.0.1", 0), lambda *_: (came.append(1), gevent.sleep(60)))
server.start()
url = f"postgresql+psycopg2://a:b@127.0.0.1:{server.server_port}/c"
database = Database(url, load({"BLOBSTORE_DATABASE_TIMEOUT_SECONDS": "0.5"}, None))

def in_a_transaction():
    with database.transaction() as session:
        session.execute(text("SELECT 1"))

for ask in (in_a_transaction, lambda: database.fetch(Prepared("one", ("bigint",), "SELECT $1"), 1)):
    came.clear()
    try:
        ask()
    except DatabaseStalled:
        print("stalled", len(came))
"""


def test_a_server_that_lets_nobody_in_is_asked_once(tmp_path: Path) -> None:
    """A request would wait for a frozen PostgreSQL twice as long as it may."""
    done = subprocess.run(
        [sys.executable, "-c", SILENT],
        check=False,
        capture_output=True,
        text=True,
        env=environment(tmp_path),
        timeout=120,
    )
    assert done.stdout.split() == ["stalled", "1"] * 2, done.stderr
