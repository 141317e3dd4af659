"""The embedded PostgreSQL: initdb, start, wait, stop. One cluster per data folder, only for whoever owns that folder.

    <data>/postgres            the cluster and its Unix socket, 0700; no TCP port
    <data>/postgres.password   of its one role `blobstore`, 0600
    <data>/postgres.log        what the server says; no statements and no values
    <data>/postgres.lock       held while one process starts or stops the server, and by initdb until it ends
    <data>/postgres.users      held, shared, by everyone who needs the server to run
    <data>/postgres.socket     only when the path is too long for a socket: the name of the folder that has it instead

The locks are the kernel's (flock), so that kill -9 of anything at any time leaves none behind. Every process of the
server inherits one on the cluster's folder: that, not a number in a file which may be another process's by now, says
whether anything of the server still lives.
"""

from __future__ import annotations

import fcntl
import os
import secrets
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

import psycopg2

from blobstore.cluster import (
    NAME,
    PORT,
    RECOVERY_SECONDS,
    SOCKET,
    Cluster,
    EmbeddedError,
    address,
    binary,
    fits,
    last_words,
    lost_socket,
    make_sockets,
    open_log,
    version_of,
)
from blobstore.folder import open_lock, sync, take, wait_for, write_secret
from blobstore.unprivileged import Identity, wrap

__all__ = ["EmbeddedError", "address", "running", "start", "stop", "use", "version_of"]

STOP_SECONDS = 60

SETTINGS = {
    "listen_addresses": "",
    "port": PORT,
    "unix_socket_permissions": "0700",
    "max_connections": "400",
    "fsync": "on",
    "full_page_writes": "on",
    "synchronous_commit": "on",
    "lc_messages": "C",
    "log_checkpoints": "off",
    # What was sent and what was refused may be somebody's name or secret: no statements, values or errors in the log.
    "log_min_messages": "log",
    "log_min_error_statement": "panic",
    "log_error_verbosity": "terse",
}
HASTY = {"fsync": "off", "full_page_writes": "off", "synchronous_commit": "off"}

_children: dict[Path, subprocess.Popen[bytes]] = {}
"""The servers that this very process started, which only it can reap."""


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
        _stop(cluster)


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
        if (alone := _alone(cluster)) is not None:
            try:
                if logged_bytes is not None:
                    raise EmbeddedError(f"PostgreSQL ended at its start: {last_words(cluster, logged_bytes)}")
                logged_bytes = _launch(cluster, alone, durable)
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
    command, identity = _wrap([str(binary(version, "initdb")), f"--pgdata={made}", *options], made)
    ran = subprocess.run(
        command, check=False, capture_output=True, text=True, env=_environment(), pass_fds=(held,), **identity
    )
    if ran.returncode:
        shutil.rmtree(made, ignore_errors=True)
        raise EmbeddedError(f"initdb failed: {(ran.stderr.strip() or 'no reason given').splitlines()[0]}")
    made.rename(cluster.folder)
    sync(cluster.data)


def _launch(cluster: Cluster, alone: int, durable: bool) -> int:
    """Start the server; returns how long its log was before."""
    # Nothing of an earlier server lives, so its files only mislead: their numbers may be other processes' by now, or a
    # zombie's, and PostgreSQL would refuse to start.
    for left in (cluster.folder / "postmaster.pid", cluster.sockets / SOCKET, cluster.sockets / f"{SOCKET}.lock"):
        left.unlink(missing_ok=True)
    folder = '"' + str(cluster.sockets).replace('"', '""') + '"'
    settings = {**SETTINGS, **({} if durable else HASTY), "unix_socket_directories": folder}
    version = version_of(cluster.data) or "?"
    command = [str(binary(version, "postgres")), "-D", str(cluster.folder)]
    command += [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
    command, identity = _wrap(command, cluster.folder)
    with open_log(cluster) as log:
        # The server will write through the same open file and move its position.
        logged_bytes = log.tell()
        _children[cluster.folder] = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env=_environment(),
            start_new_session=True,
            pass_fds=(alone,),
            umask=0o077,
            **identity,
        )
    return logged_bytes


def _stop(cluster: Cluster) -> None:
    for number in (signal.SIGINT, signal.SIGQUIT):
        if pid := _postmaster(cluster):
            with suppress(ProcessLookupError):
                os.kill(pid, number)
        if wait_for(lambda: _is_gone(cluster), STOP_SECONDS):
            break
    else:
        raise EmbeddedError(f"PostgreSQL does not stop; see {cluster.log}")
    if cluster.elsewhere.exists():
        with suppress(OSError):
            cluster.sockets.rmdir()


def _leave(cluster: Cluster, user: int) -> None:
    try:
        if take(user):
            _stop(cluster)
    finally:
        os.close(user)


def _is_gone(cluster: Cluster) -> bool:
    if not cluster.folder.is_dir():
        return True
    if (alone := _alone(cluster)) is None:
        return False
    os.close(alone)
    return True


def _alone(cluster: Cluster) -> int | None:
    """The lock that every process of the server shares, as a descriptor; None while any of them lives."""
    folder = os.open(cluster.folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    if take(folder) and _postmaster(cluster) is None:
        if child := _children.pop(cluster.folder, None):
            child.wait()
        return folder
    os.close(folder)
    return None


def _postmaster(cluster: Cluster) -> int | None:
    """The server's process, also of one that somebody started by hand and that has no lock of ours."""
    import psutil

    try:
        pid = int((cluster.folder / "postmaster.pid").read_text(encoding="utf-8").partition("\n")[0])
        server = psutil.Process(pid)
        lives = server.status() != psutil.STATUS_ZOMBIE and cluster.folder.samefile(server.cwd())
    except (OSError, ValueError, psutil.Error):
        return None
    return pid if lives else None


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


def _wrap(command: list[str], owned: Path) -> tuple[list[str], Identity]:
    """`command` as whoever owns the folder `owned`, and never as root."""
    owner = owned.stat()
    try:
        return wrap(command, owner.st_uid, owner.st_gid)
    except PermissionError as error:
        raise EmbeddedError(
            "the embedded PostgreSQL does not run as root where user namespaces are not allowed: "
            "set DATABASE_URL, or start blobstore as another user"
        ) from error


def _environment() -> dict[str, str]:
    """Neither our secrets nor any PG* variable."""
    return {"LC_ALL": "C", **{name: os.environ[name] for name in ("PATH", "TMPDIR") if name in os.environ}}
