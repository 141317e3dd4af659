"""What `blobstore serve` does, in this order; each step prints a line for people.

    1  one service per data folder        flock on <data>/serve.lock, kept through exec; the address is free
    2  the embedded PostgreSQL            unless a database is set
    3  the newest schema                  embedded only; else `blobstore db upgrade`
    4  SECRET_KEY                         made and kept in <data>/secret.key when not set
    5  the first admin                    when there is none; the made password is printed here and nowhere else
    6  gunicorn                           by exec: its master has our pid and our locks

Two hooks of gunicorn end it: `announce` when a worker is ready to answer, `finish` when the master ends.
"""

from __future__ import annotations

import fcntl
import ipaddress
import os
import secrets
import signal
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, NoReturn

from flask import Flask

from blobstore.app import create_app
from blobstore.cluster import is_own
from blobstore.core.admin import first_admin
from blobstore.core.store import open_store
from blobstore.database import is_current, upgrade
from blobstore.environment import load
from blobstore.folder import open_lock, take, wait_for, write_secret
from blobstore.settings import Settings

if TYPE_CHECKING:
    from gunicorn.workers.base import Worker

HOOKS = "python:blobstore.gunicorn_conf"
APPLICATION = "blobstore.serve:application()"


class ServeError(Exception):
    """The service cannot start; one line for people."""


def serve(settings: Settings, *, reload: bool = False) -> NoReturn:
    """Start everything, then become gunicorn. Raises ServeError, EmbeddedError: then nothing is left running."""
    data = settings.data
    data.mkdir(mode=0o750, parents=True, exist_ok=True)
    _lock(data / "serve.lock", settings.graceful_timeout_seconds + 15)
    _check_address(settings)
    with _database(settings) as url:
        secret = settings.secret_key.get_secret_value() if settings.secret_key else _kept_secret(data / "secret.key")
        # How gunicorn's processes learn what was chosen here.
        os.environ |= {
            "BLOBSTORE_DATA": str(data.resolve()),
            "BLOBSTORE_BIND": settings.bind,
            "BLOBSTORE_WORKERS": str(settings.workers),
            "DATABASE_URL": url,
            "SECRET_KEY": secret,
            # For each thread glibc would take 64 MiB of addresses, which counts where a process may have so many.
            "MALLOC_ARENA_MAX": os.environ.get("MALLOC_ARENA_MAX", "2"),
        }
        _make_first_admin(load())
        command = [sys.executable, "-m", "gunicorn", "-c", HOOKS, *(["--reload"] if reload else []), APPLICATION]
        os.execv(sys.executable, command)  # noqa: S606


def application() -> Flask:
    """The service by the settings of the environment; what gunicorn's workers load."""
    return create_app(load())


def announce(worker: Worker) -> None:
    """Say once in a service's life that it answers: the sockets listen, and the first worker has loaded everything.

    A terminal sends Ctrl-C to the workers too; from now on they wait for what the master tells them.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if worker.age == 1:
        for listener in worker.sockets:
            host, port = listener.getsockname()[:2]
            _say(f"blobstore answers at http://{f'[{host}]' if ':' in host else host}:{port}")


def finish() -> None:
    """Stop the embedded PostgreSQL if it is the database of this service. Nobody shall signal our pid any more."""
    settings = load()
    # From here on no worker starts the server again: it looks at this under the lock that `stop` takes.
    with suppress(OSError):
        os.truncate(settings.data / "serve.lock", 0)
    if is_own(settings.data, settings.external_database):
        from blobstore import embedded

        embedded.stop(settings.data)


def is_served(data: Path) -> bool:
    """Whether the master of this worker serves the data folder, and has not begun to end."""
    try:
        return (data / "serve.lock").read_text(encoding="ascii") == str(os.getppid())
    except OSError:
        return False


@contextmanager
def nobody_serves(settings: Settings) -> Iterator[None]:
    """Keep services off the data folder while the block runs. Raises ServeError when one is there."""
    settings.data.mkdir(mode=0o750, parents=True, exist_ok=True)
    lock = _lock(settings.data / "serve.lock", settings.graceful_timeout_seconds + 15)
    try:
        yield
    finally:
        os.truncate(lock, 0)
        os.close(lock)


def _lock(path: Path, patience_seconds: float) -> int:
    """Two locks on one file. lockf belongs to this process alone, flock also to the workers it will fork.

    So a service that runs is told from one whose master was killed and whose workers are still finishing.
    """
    lock = open_lock(path)
    try:
        fcntl.lockf(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        raise ServeError(f"{path.parent} is served already, by process {path.read_text(encoding='ascii')}") from error
    if not take(lock):
        _say("the workers of a service that was killed are finishing …")
        if not wait_for(lambda: take(lock), patience_seconds):
            raise ServeError(f"{path} stays locked by the workers of a service that was killed")
    os.truncate(lock, 0)
    os.pwrite(lock, str(os.getpid()).encode("ascii"), 0)
    os.set_inheritable(lock, True)
    return lock


def _check_address(settings: Settings) -> None:
    host, _, port = settings.bind.rpartition(":")
    host = host.strip("[]")
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, int(port), type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind, protocol) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
    except OSError as error:
        raise ServeError(f"cannot listen on {settings.bind}: {error.strerror}") from error
    if not ipaddress.ip_address(address[0]).is_loopback and not settings.trusted_proxy_hops:
        _say(
            f"WARNING: {settings.bind} can be reached from other machines, and passwords travel in clear. "
            "Put TLS in front and set BLOBSTORE_TRUSTED_PROXY_HOPS (docs/operations.md)."
        )


@contextmanager
def _database(settings: Settings) -> Iterator[str]:
    """The address of the database; an embedded one is stopped if we do not get as far as gunicorn."""
    if settings.external_database is not None:
        yield settings.external_database
        return
    from blobstore import embedded

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _end)
    version = embedded.version_of(settings.data) or settings.pg_version
    _say(f"PostgreSQL {version} is starting in {settings.data / 'postgres'} …")
    with embedded.running(settings.data, settings.pg_version) as url:
        upgrade(url)
        yield url


def _end(number: int, _frame: FrameType | None) -> NoReturn:
    sys.exit(128 + number)


def _make_first_admin(settings: Settings) -> None:
    store = open_store(settings)
    try:
        if not is_current(store.database):
            _say("the schema of the database is not this version's: run `blobstore db upgrade`")
        elif admin := first_admin(store):
            name, password = admin
            shown = "with the password of ADMIN_PASSWORD" if settings.admin_password else f"password {password}"
            _say(f"the first admin is {name}, {shown} (this line is not repeated)")
    finally:
        store.database.dispose()


def _kept_secret(path: Path) -> str:
    if not path.is_file():
        write_secret(path, secrets.token_hex(32))
    return path.read_text(encoding="ascii")


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()
