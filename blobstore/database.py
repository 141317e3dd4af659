"""PostgreSQL: the engine, the one way to open a transaction, the green wait with a deadline, migrations.

Three ways to ask it something, nowhere else:

    with database.transaction() as session: …      READ COMMITTED, committed at the end of the block
    database.fetch(statement, …)                   one SELECT on the hot path: prepared, in autocommit
    @retrying                                       a function that opens one transaction, repeated on a deadlock
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

import psycopg2
from gevent import Timeout
from gevent.socket import wait_read, wait_write
from psycopg2 import extensions
from sqlalchemy import create_engine, text
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError, ProgrammingError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.orm import Session
from sqlalchemy.pool import PoolProxiedConnection

from blobstore.errors import Busy, DatabaseUnavailable
from blobstore.settings import Settings

if TYPE_CHECKING:
    from alembic.config import Config

P = ParamSpec("P")
T = TypeVar("T")

DEADLOCK, SERIALIZATION = "40P01", "40001"
NO_TABLE, NO_COLUMN = "42P01", "42703"
ATTEMPTS = 3
OPTIONS = (
    # Not as SQLAlchemy's isolation_level: the driver would reset it, in a round trip of its own, after each `fetch`.
    r"-c default_transaction_isolation=read\ committed "
    "-c synchronous_commit=on -c timezone=UTC -c idle_in_transaction_session_timeout=60000"
)
"""What every connection promises, whatever the server's own defaults are."""
MIGRATIONS_LOCK = 0x626C6F62
"""The advisory lock around migrations: "blob"."""


class CommitUnknown(DatabaseUnavailable):
    """The connection was lost during COMMIT: the transaction may have happened, or may still."""


class DeadlineExceeded(psycopg2.OperationalError):
    """PostgreSQL did not answer one statement in time; the connection is closed."""


@dataclass(frozen=True)
class Prepared:
    """A statement of the hot path: `sql` with $1, $2 … of the given PostgreSQL `types`."""

    name: str
    types: tuple[str, ...]
    sql: str

    @property
    def prepare(self) -> str:
        return f"PREPARE {self.name} ({', '.join(self.types)}) AS {self.sql}"

    @property
    def execute(self) -> str:
        return f"EXECUTE {self.name} ({', '.join(['%s'] * len(self.types))})"


class Database:
    """The pool of connections to one PostgreSQL. Nothing is connected before the first use."""

    def __init__(self, url: str, settings: Settings) -> None:
        seconds = settings.database_timeout_seconds
        self.engine = create_engine(
            url,
            pool_size=settings.pool_size,
            max_overflow=settings.max_overflow,
            pool_timeout=settings.pool_timeout,
            pool_recycle=settings.pool_recycle,
            pool_pre_ping=settings.pool_pre_ping,
            pool_use_lifo=settings.pool_use_lifo,
            use_native_hstore=False,
            connect_args={
                "connection_factory": type("Connection", (extensions.connection,), {"timeout_seconds": seconds}),
                "connect_timeout": max(2, int(seconds)),
                "application_name": "blobstore",
                "options": OPTIONS,
            },
        )

    @contextmanager
    def transaction(self) -> Iterator[Session]:
        """A session in a transaction that is committed, synchronously, when the block ends, else rolled back.

        Raises DatabaseUnavailable, Busy when the pool is exhausted, CommitUnknown when COMMIT itself got no answer.
        """
        session = Session(self.engine, expire_on_commit=False)
        with _domain_errors():
            try:
                yield session
                _commit(session)
            finally:
                with suppress(DBAPIError):
                    session.close()

    def fetch(self, statement: Prepared, *values: Any) -> Any | None:
        """The first row of a SELECT as a tuple, or None. Tried again once on a connection that had died unnoticed."""
        with _domain_errors():
            try:
                return self._fetch(statement, values)
            except DeadlineExceeded:
                raise
            except (OperationalError, psycopg2.OperationalError, psycopg2.InterfaceError):
                self.engine.dispose()
                return self._fetch(statement, values)

    def _fetch(self, statement: Prepared, values: tuple[Any, ...]) -> Any | None:
        connection = self.engine.raw_connection()
        try:
            raw: Any = connection.dbapi_connection
            raw.autocommit = True
            with raw.cursor() as cursor:
                self._prepare(connection, cursor, statement)
                cursor.execute(statement.execute, values)
                row = cursor.fetchone()
            raw.autocommit = False
        except BaseException:
            connection.invalidate()
            raise
        connection.close()
        return row

    @staticmethod
    def _prepare(connection: PoolProxiedConnection, cursor: Any, statement: Prepared) -> None:
        prepared = connection.info.setdefault("prepared", set())
        if statement.name not in prepared:
            cursor.execute(statement.prepare)
            prepared.add(statement.name)

    @property
    def in_use(self) -> int:
        """How many connections are in use."""
        return int(self.engine.pool.checkedout())  # type: ignore[attr-defined]

    def dispose(self) -> None:
        """Close every idle connection."""
        self.engine.dispose()


def _commit(session: Session) -> None:
    try:
        session.commit()
    except DBAPIError as error:
        if error.connection_invalidated or isinstance(error, (OperationalError, InterfaceError)):
            raise CommitUnknown("the database connection was lost during COMMIT") from error
        raise


@contextmanager
def _domain_errors() -> Iterator[None]:
    try:
        yield
    except PoolTimeout as error:
        raise Busy("every database connection of this worker is in use") from error
    except (OperationalError, InterfaceError, psycopg2.OperationalError, psycopg2.InterfaceError) as error:
        if _sqlstate(error) in (DEADLOCK, SERIALIZATION):
            raise
        raise DatabaseUnavailable("the database does not answer") from error
    except (ProgrammingError, psycopg2.ProgrammingError) as error:
        if _sqlstate(error) not in (NO_TABLE, NO_COLUMN):
            raise
        raise DatabaseUnavailable("the database has not this version's schema: run `blobstore db upgrade`") from error


def _sqlstate(error: BaseException) -> str | None:
    return getattr(getattr(error, "orig", error), "pgcode", None)


def retrying(call: Callable[P, T]) -> Callable[P, T]:
    """Repeat `call`, which opens exactly one transaction, when PostgreSQL broke a deadlock by ending it."""

    @functools.wraps(call)
    def attempts(*args: P.args, **kwargs: P.kwargs) -> T:
        for _ in range(ATTEMPTS - 1):
            try:
                return call(*args, **kwargs)
            except OperationalError as error:
                if _sqlstate(error) not in (DEADLOCK, SERIALIZATION):
                    raise
        try:
            return call(*args, **kwargs)
        except OperationalError as error:
            raise Busy("too many conflicting changes at once") from error

    return attempts


def like_literally(part: str) -> str:
    """Text as LIKE takes it literally."""
    return part.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")


def make_green() -> None:
    """Let every wait for PostgreSQL run other greenlets, and end after `database_timeout_seconds`.

    Without a deadline a frozen backend hangs its request for ever, and libpq's connect_timeout is ignored.
    """
    extensions.set_wait_callback(_wait)


def _wait(connection: Any) -> None:
    seconds = getattr(connection, "timeout_seconds", 3.0)
    waits = {extensions.POLL_READ: wait_read, extensions.POLL_WRITE: wait_write}
    with Timeout(seconds, DeadlineExceeded(f"PostgreSQL did not answer within {seconds} s")):
        while (state := connection.poll()) != extensions.POLL_OK:
            waits[state](connection.fileno())


def upgrade(url: str) -> None:
    """Bring the schema up to date; many may call it at once, one does it."""
    from alembic import command

    engine = create_engine(url)
    with engine.connect() as connection, connection.begin():
        connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": MIGRATIONS_LOCK})
        config = _alembic()
        config.attributes["connection"] = connection
        command.upgrade(config, "head")
    engine.dispose()


def is_current(database: Database) -> bool:
    """Whether the schema is the one this code was written for."""
    from alembic.runtime.migration import MigrationContext

    with database.transaction() as session:
        return MigrationContext.configure(session.connection()).get_current_revision() == _newest()


@functools.cache
def _newest() -> str | None:
    """The schema that the migrations lead to."""
    from alembic.script import ScriptDirectory

    return ScriptDirectory.from_config(_alembic()).get_current_head()


def _alembic() -> Config:
    """The migrations stand beside the package in a checkout, inside it in a wheel."""
    from alembic.config import Config

    here = Path(__file__).resolve().parent
    folder = here / "migrations"
    config = Config()
    config.set_main_option("script_location", str(folder if folder.is_dir() else here.parent / "migrations"))
    return config
