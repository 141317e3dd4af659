"""PostgreSQL: the engine, the one way to open a transaction, trouble as errors of the domain, migrations.

Three ways to ask it something, nowhere else:

    with database.transaction() as session: …      READ COMMITTED, committed at the end of the block
    database.fetch(statement, …)                   one statement on the hot path: prepared, in autocommit
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
from psycopg2 import extensions
from psycopg2.errors import QueryCanceled
from sqlalchemy import create_engine, text
from sqlalchemy.exc import DBAPIError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.orm import Session
from sqlalchemy.pool import PoolProxiedConnection

from blobstore.errors import Busy, DatabaseUnavailable
from blobstore.green import DeadlineExceeded
from blobstore.settings import Settings

if TYPE_CHECKING:
    from alembic.config import Config

P = ParamSpec("P")
T = TypeVar("T")

DEADLOCK, SERIALIZATION = "40P01", "40001"
NO_TABLE, NO_COLUMN = "42P01", "42703"
LOCKED = "55P03"
ATTEMPTS = 3
OPTIONS = (
    # Not as SQLAlchemy's isolation_level: the driver would reset it, in a round trip of its own, after each `fetch`.
    r"-c default_transaction_isolation=read\ committed "
    "-c synchronous_commit=on -c timezone=UTC -c idle_in_transaction_session_timeout=60000"
)
"""What every connection promises, whatever the server's own defaults are."""
STATEMENT_SHARE, LOCK_SHARE = 0.9, 0.8
"""Of `database_timeout_seconds`: PostgreSQL gives up a little earlier than we do, and so keeps the connection, holds no
locks for nobody, and can say that it was a lock."""
MAX_CONNECT_SECONDS = 10
"""Where no deadline of ours holds, as in commands."""
MIGRATIONS_LOCK = 0x626C6F62
"""The advisory lock around migrations: "blob"."""


class DatabaseStalled(DatabaseUnavailable):
    """PostgreSQL did not answer in time; whoever asks it more now would wait as long again."""


class CommitUnknown(DatabaseUnavailable):
    """The connection was lost during COMMIT: the transaction may have happened, or may still."""


class CommitStalled(CommitUnknown, DatabaseStalled):
    """COMMIT did not answer in time: the same, but not even a look will."""


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
                "connect_timeout": max(2, min(int(seconds), MAX_CONNECT_SECONDS)),
                "keepalives_idle": 30,
                "keepalives_interval": 10,
                "keepalives_count": 3,
                "application_name": "blobstore",
                "options": f"{OPTIONS} -c statement_timeout={_milliseconds(STATEMENT_SHARE * seconds)} "
                f"-c lock_timeout={_milliseconds(LOCK_SHARE * seconds)}",
            },
        )

    @contextmanager
    def transaction(self) -> Iterator[Session]:
        """A session in a transaction that is committed, synchronously, when the block ends, else rolled back.

        Raises DatabaseUnavailable; Busy when the pool is exhausted, or others hold a lock for too long; CommitUnknown
        when COMMIT itself got no answer; DatabaseStalled when anything else got none in time.
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
        """The first row of one statement as a tuple, or None, committed at once.

        Tried again once on a connection that had died unnoticed, so that what it counts may be counted twice.
        """
        with _domain_errors():
            try:
                return self._fetch(statement, values)
            except (DBAPIError, psycopg2.Error) as error:
                if not _is_lost(error) or _is_stalled(error) or _sqlstate(error) == LOCKED:
                    raise
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
        if error.connection_invalidated or _is_lost(error):
            kind = CommitStalled if _is_stalled(error) else CommitUnknown
            raise kind("the database connection was lost during COMMIT") from error
        raise


@contextmanager
def _domain_errors() -> Iterator[None]:
    try:
        yield
    except PoolTimeout as error:
        raise Busy("every database connection of this worker is in use") from error
    except (DBAPIError, psycopg2.Error) as error:
        code = _sqlstate(error)
        if code in (NO_TABLE, NO_COLUMN):
            raise DatabaseUnavailable(
                "the database has not this version's schema: run `blobstore db upgrade`"
            ) from error
        if not _is_lost(error) or code in (DEADLOCK, SERIALIZATION):
            raise
        if code == LOCKED:
            raise Busy("others are changing the same thing; try again") from error
        if _is_stalled(error):
            raise DatabaseStalled("the database does not answer in time") from error
        raise DatabaseUnavailable("the database does not answer") from error


def _is_lost(error: BaseException) -> bool:
    """Whether the connection, or the server, is at fault.

    psycopg2 raises DatabaseError itself, none of its kinds, when libpq could no longer write but still read the warning
    that a dying server sends: seen without the green wait only, so in commands and upkeep.
    """
    cause = getattr(error, "orig", error)
    kinds = psycopg2.OperationalError, psycopg2.InterfaceError
    return isinstance(cause, kinds) or type(cause) is psycopg2.DatabaseError


def _sqlstate(error: BaseException) -> str | None:
    return getattr(getattr(error, "orig", error), "pgcode", None)


def _is_stalled(error: BaseException) -> bool:
    """Whether our deadline has passed, or PostgreSQL's own for a statement."""
    return isinstance(getattr(error, "orig", error), (DeadlineExceeded, QueryCanceled))


def _milliseconds(seconds: float) -> int:
    """For PostgreSQL, to which 0 means for ever."""
    return max(int(seconds * 1000), 1)


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


def upgrade(url: str) -> None:
    """Bring the schema up to date; many may call it at once, one does it. Raises DatabaseUnavailable for a newer."""
    from alembic import command
    from alembic.util import CommandError

    engine = create_engine(url)
    with engine.connect() as connection, connection.begin():
        connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": MIGRATIONS_LOCK})
        config = _alembic()
        config.attributes["connection"] = connection
        try:
            command.upgrade(config, "head")
        except CommandError as error:
            raise DatabaseUnavailable("the schema is of a version that this one does not know") from error
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
