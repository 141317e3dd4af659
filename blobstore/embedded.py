"""The embedded PostgreSQL: initdb, start, wait, stop. One cluster per data folder, only for whoever owns that folder.

    <data>/postgres            the cluster and its Unix socket, 0700; no TCP port
    <data>/postgres.password   of its one role `blobstore`, 0600
    <data>/postgres.log        what the server says; no statements and no values
    <data>/postgres.lock       held while one process starts or stops the server, and by initdb until it ends
    <data>/postgres.keeper     held by the worker that starts a dead server again (keeper.py)
    <data>/postgres.users      held, shared, by everyone who needs the server to run
    <data>/postgres.socket     only when the path is too long for a socket: the name of the folder that has it instead

The locks are the kernel's (flock), so that kill -9 of anything at any time leaves none behind. The
server's own processes are postmaster.py's.
"""

from __future__ import annotations

import fcntl
import os
import secrets
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

import psycopg2

from blobstore.cluster import (
    NAME,
    PORT,
    RECOVERY_SECONDS,
    Cluster,
    EmbeddedError,
    address,
    binary,
    fits,
    last_words,
    lost_socket,
    make_sockets,
    version_of,
)
from blobstore.failpoints import failpoint
from blobstore.folder import open_lock, sync, take, wait_for, write_secret
from blobstore.postmaster import as_owner, end, environment, is_dead, launch, take_alone

__all__ = [
    "EmbeddedError",
    "address",
    "answers",
    "has_died",
    "restart",
    "running",
    "said_since",
    "start",
    "stop",
    "use",
    "version_of",
]


def start(data: Path, version: str, *, durable: bool = True) -> str:
    """Make the cluster if there is none, start it if it does not run, wait until it answers. Returns SQLAlchemy's URL.

    `version`, "16" or "18", is for a new cluster; an existing one keeps its own. `durable=False` is for tests: a power
    cut may destroy the cluster. The server has a session of its own and outlives the caller. Safe in many processes at
    once. Raises EmbeddedError.
    """
    cluster = Cluster.at(data)
    with cluster.locked() as held:
        _start(cluster, held, version, durable)
        return cluster.url


def stop(data: Path) -> None:
    """End the server, whoever uses it; what was not committed is rolled back. None running is fine."""
    if not data.is_dir():
        return
    cluster = Cluster.at(data)
    with cluster.locked():
        _end(cluster)


def restart(data: Path, wanted: Callable[[], bool]) -> int | None:
    """Start a server of which nothing lives any more, unless `wanted()` is false; do not wait until it answers.

    `wanted` is asked under the lock that `stop` takes: whoever makes it false and then calls `stop` leaves no server
    behind. Returns how long its log was before; None: nothing was started. Raises EmbeddedError, OSError.
    """
    cluster = Cluster.at(data)
    with cluster.locked():
        if not fits(cluster.folder):
            make_sockets(cluster)
        if not wanted() or (alone := take_alone(cluster)) is None:
            return None
        try:
            failpoint("restart_wanted")
            logged_bytes = launch(cluster, alone, durable=True)
            failpoint("restarted")
        finally:
            os.close(alone)
        return logged_bytes


def has_died(data: Path) -> bool:
    """Whether no process of the server lives; one that does not answer may. Safe in any thread."""
    return is_dead(Cluster.at(data))


def answers(data: Path) -> bool:
    """Whether the server answers now. Raises EmbeddedError when it never will."""
    return _answers(Cluster.at(data))


def said_since(data: Path, logged_bytes: int) -> str:
    """What the server said last, beyond so much of its log: why it ended, if it told."""
    return last_words(Cluster.at(data), logged_bytes)


@contextmanager
def running(data: Path, version: str, *, durable: bool = True) -> Iterator[str]:
    """The server's URL, for a command alone or beside a service: the last one to leave stops the server."""
    cluster = Cluster.at(data)
    with cluster.locked() as held:
        user = use(data)
        try:
            _start(cluster, held, version, durable)
        except BaseException:
            _leave(cluster, user)
            raise
    try:
        yield cluster.url
    finally:
        with cluster.locked():
            _leave(cluster, user)


def use(data: Path) -> int:
    """A descriptor that, as long as it is open in any process, keeps `running` elsewhere from stopping the server.

    Exec passes it on.
    """
    user = open_lock(data / "postgres.users")
    os.set_inheritable(user, True)
    fcntl.flock(user, fcntl.LOCK_SH)
    return user


def _start(cluster: Cluster, held: int, version: str, durable: bool) -> None:
    if not cluster.folder.exists():
        _create(cluster, held, version, durable)
    if not cluster.password.is_file():
        raise EmbeddedError(f"{cluster.password} is missing; put it back from a backup")
    if not fits(cluster.folder):
        make_sockets(cluster)
    logged_bytes: int | None = None

    def answers() -> bool:
        nonlocal logged_bytes
        if _answers(cluster):
            return True
        if (alone := take_alone(cluster)) is not None:
            try:
                if logged_bytes is not None:
                    raise EmbeddedError(f"PostgreSQL ended at its start: {last_words(cluster, logged_bytes)}")
                logged_bytes = launch(cluster, alone, durable=durable)
            finally:
                os.close(alone)
        elif lost_socket(cluster):
            raise EmbeddedError(f"PostgreSQL's socket in {cluster.sockets} was removed; restart the service")
        return False

    if not wait_for(answers, RECOVERY_SECONDS):
        raise EmbeddedError(f"PostgreSQL does not answer; see {cluster.log}")


def _create(cluster: Cluster, held: int, version: str, durable: bool) -> None:
    """A whole cluster appears under its name, or none does."""
    for left in cluster.data.glob("postgres.new-*"):
        shutil.rmtree(left, ignore_errors=True)
    if not cluster.password.exists():
        write_secret(cluster.password, secrets.token_urlsafe(24))
    made = Path(tempfile.mkdtemp(prefix="postgres.new-", dir=cluster.data))
    options = ["--auth=scram-sha-256", f"--pwfile={cluster.password}", f"--username={NAME}", "--encoding=UTF8"]
    options += ["--no-locale", "--data-checksums", "--no-instructions", *([] if durable else ["--no-sync"])]
    command, identity = as_owner([str(binary(version, "initdb")), f"--pgdata={made}", *options], made)
    ran = subprocess.run(
        command, check=False, capture_output=True, text=True, env=environment(), pass_fds=(held,), **identity
    )
    if ran.returncode:
        shutil.rmtree(made, ignore_errors=True)
        raise EmbeddedError(f"initdb failed: {(ran.stderr.strip() or 'no reason given').splitlines()[0]}")
    made.rename(cluster.folder)
    sync(cluster.data)


def _end(cluster: Cluster) -> None:
    end(cluster)
    if cluster.elsewhere.exists():
        with suppress(OSError):
            cluster.sockets.rmdir()


def _leave(cluster: Cluster, user: int) -> None:
    try:
        if take(user):
            _end(cluster)
    finally:
        os.close(user)


def _answers(cluster: Cluster) -> bool:
    try:
        return _ask(cluster, NAME, "SELECT 1")
    except psycopg2.OperationalError as error:
        if f'database "{NAME}" does not exist' in str(error):
            return _ask(cluster, "postgres", f"CREATE DATABASE {NAME}")
        if "authentication failed" in str(error):
            raise EmbeddedError(f"{cluster.password} is not the password of the cluster beside it") from error
        return False


def _ask(cluster: Cluster, database: str, statement: str) -> bool:
    connection = psycopg2.connect(
        host=str(cluster.sockets),
        port=PORT,
        user=NAME,
        password=cluster.password.read_text(encoding="ascii"),
        dbname=database,
        connect_timeout=5,
        options="-c statement_timeout=60000",
    )
    with closing(connection):
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute(statement)
    return True
