"""The processes of one embedded PostgreSQL: launched, told from dead ones, ended.

Every process of the server inherits a lock (flock) on the cluster's folder: that, not a number in a file which may be
another process's by now, says whether anything of the server still lives.
"""

from __future__ import annotations

import os
import signal
import subprocess
from contextlib import suppress
from pathlib import Path

from blobstore.cluster import PORT, SOCKET, Cluster, EmbeddedError, binary, open_log, version_of
from blobstore.folder import take, wait_for
from blobstore.unprivileged import Identity, wrap

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


def launch(cluster: Cluster, alone: int, *, durable: bool) -> int:
    """Start the server, with what `take_alone` gave; returns how long its log was before. Raises EmbeddedError."""
    # Nothing of an earlier server lives, so its files only mislead: their numbers may be other processes' by now, or a
    # zombie's, and PostgreSQL would refuse to start.
    for left in (cluster.folder / "postmaster.pid", cluster.sockets / SOCKET, cluster.sockets / f"{SOCKET}.lock"):
        left.unlink(missing_ok=True)
    folder = '"' + str(cluster.sockets).replace('"', '""') + '"'
    settings = {**SETTINGS, **({} if durable else HASTY), "unix_socket_directories": folder}
    version = version_of(cluster.data) or "?"
    command = [str(binary(version, "postgres")), "-D", str(cluster.folder)]
    command += [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
    command, identity = as_owner(command, cluster.folder)
    with open_log(cluster) as log:
        # The server will write through the same open file and move its position.
        logged_bytes = log.tell()
        _children[cluster.folder] = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env=environment(),
            start_new_session=True,
            pass_fds=(alone,),
            umask=0o077,
            **identity,
        )
    return logged_bytes


def end(cluster: Cluster) -> None:
    """Stop the server, and be patient with what it writes down; none running is fine. Raises EmbeddedError."""
    for number in (signal.SIGINT, signal.SIGQUIT):
        if wait_for(_Ending(cluster, number).is_over, STOP_SECONDS):
            return
    raise EmbeddedError(f"PostgreSQL does not stop; see {cluster.log}")


class _Ending:
    """One signal to the server; also to one that was only just started, and is not known by its number yet."""

    def __init__(self, cluster: Cluster, number: signal.Signals) -> None:
        self._cluster, self._number = cluster, number
        self._told: int | None = None

    def is_over(self) -> bool:
        pid = _number(self._cluster)
        if pid and pid != self._told:
            with suppress(ProcessLookupError):
                os.kill(pid, self._number)
            self._told = pid
        if not self._cluster.folder.is_dir():
            return True
        if (alone := take_alone(self._cluster)) is None:
            return False
        os.close(alone)
        return True


def take_alone(cluster: Cluster) -> int | None:
    """The lock that every process of the server shares, as a descriptor; None while any of them lives."""
    folder = _lock(cluster)
    if folder is not None and (child := _children.pop(cluster.folder, None)):
        child.wait()
    return folder


def is_dead(cluster: Cluster) -> bool:
    """Whether no process of the server lives. Safe in any thread."""
    folder = _lock(cluster)
    if folder is None:
        return False
    os.close(folder)
    return True


def _lock(cluster: Cluster) -> int | None:
    folder = os.open(cluster.folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    if take(folder) and _number(cluster) is None:
        return folder
    os.close(folder)
    return None


def _number(cluster: Cluster) -> int | None:
    """The first process of the server, also of one that somebody started by hand and that has no lock of ours."""
    import psutil

    try:
        pid = int((cluster.folder / "postmaster.pid").read_text(encoding="utf-8").partition("\n")[0])
        server = psutil.Process(pid)
        lives = server.status() != psutil.STATUS_ZOMBIE and cluster.folder.samefile(server.cwd())
    except (OSError, ValueError, psutil.Error):
        return None
    return pid if lives else None


def as_owner(command: list[str], owned: Path) -> tuple[list[str], Identity]:
    """`command` as whoever owns the folder `owned`, and never as root."""
    owner = owned.stat()
    try:
        return wrap(command, owner.st_uid, owner.st_gid)
    except PermissionError as error:
        raise EmbeddedError(
            "the embedded PostgreSQL does not run as root where user namespaces are not allowed: "
            "set DATABASE_URL, or start blobstore as another user"
        ) from error


def environment() -> dict[str, str]:
    """Neither our secrets nor any PG* variable."""
    return {"LC_ALL": "C", **{name: os.environ[name] for name in ("PATH", "TMPDIR") if name in os.environ}}
