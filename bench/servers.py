"""What is measured: blobstore as `blobstore serve` runs it, and its peers, each in a temporary folder.

blobstore         one worker per core, embedded PostgreSQL, durable; only the upkeep is off, which would run once
forgetful         the same in another database of that PostgreSQL, but argon2 runs at every request (bench/forgetful.py)
hello             bare Flask under the same gunicorn, worker class and settings
nginx             dav PUT, sendfile GET; nothing is hashed, nothing is durable
docker-registry   hashes, is not durable
"""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from functools import cached_property
from pathlib import Path

from sqlalchemy import text

from bench import database
from bench.running import Server, free_port, server
from blobstore import embedded
from blobstore.core import accounts, passwords
from blobstore.core.store import Store, open_store
from blobstore.database import upgrade
from blobstore.environment import load

USER, PASSWORD = "bench", "a password of the bench"
SECRET_KEY = "a secret of the bench that is long enough 0123456789"
ROOT = Path(__file__).parents[1]
_ADD = text("""
INSERT INTO users (name, password_hash, disabled)
SELECT :kind || number, :hash, :disabled FROM generate_series(1, :count) AS number
""")

_NGINX = """
daemon off; worker_processes {workers}; pid {folder}/pid; error_log {folder}/error.log;{user}
events {{ worker_connections 1024; }}
http {{
  access_log off; sendfile on; tcp_nopush on; keepalive_requests 1000000000;
  client_max_body_size 0; client_body_temp_path {folder}/body; client_body_buffer_size 64k;
  proxy_temp_path {folder}/p; fastcgi_temp_path {folder}/f; uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s;
  server {{ listen 127.0.0.1:{port}; root {folder}/www; location / {{ dav_methods PUT; create_full_put_path on; }} }}
}}
"""
_REGISTRY = """
version: 0.1
log: {{ level: error, accesslog: {{ disabled: true }} }}
storage: {{ filesystem: {{ rootdirectory: {folder}/registry }} }}
http: {{ addr: "127.0.0.1:{port}" }}
"""


class Servers:
    """Each server starts when it is first asked for, and all end with the block. A peer that is not here is None."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.left_out: list[str] = []
        self._stack = ExitStack()

    def __enter__(self) -> Servers:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def _start(self, starting: AbstractContextManager[Server]) -> Server:
        return self._stack.enter_context(starting)

    @cached_property
    def blobstore(self) -> Server:
        """With the user USER, who has no quota."""
        return self._start(blobstore(self.folder / "blobstore"))

    @cached_property
    def forgetful(self) -> Server:
        """argon2 at every request; with a database of its own, because a database takes the files of one store only."""
        url = database.create(self.database_url, "forgetful").render_as_string(hide_password=False)
        upgrade(url)
        started = self._start(gunicorn("bench.forgetful:application()", self.folder / "forgetful", url))
        add_users(started.folder, USER, url=url)
        return started

    @cached_property
    def hello(self) -> Server:
        """Bare Flask: GET /."""
        return self._start(gunicorn("bench.hello:application", self.folder / "hello", self.database_url))

    @cached_property
    def nginx(self) -> Server | None:
        """PUT and GET of /<name>."""
        program = self._installed("nginx", "/usr/sbin/nginx")
        return self._start(nginx(program, self.folder / "nginx")) if program else None

    @cached_property
    def registry(self) -> Server | None:
        """A container registry at /v2/."""
        program = self._installed("docker-registry")
        return self._start(registry(program, self.folder / "registry")) if program else None

    @property
    def database_url(self) -> str:
        """SQLAlchemy's address of blobstore's PostgreSQL, which runs from here on."""
        return embedded.address(self.blobstore.folder)

    def _installed(self, name: str, elsewhere: str = "") -> str | None:
        found = shutil.which(name) or (elsewhere if Path(elsewhere).is_file() else None)
        if not found:
            self.left_out.append(f"{name} is not installed and is left out")
        return found


def environment(port: int, folder: Path, **settings: object) -> dict[str, str]:
    """The environment of a blobstore; `settings` are variables."""
    given = {"BLOBSTORE_BIND": f"127.0.0.1:{port}", "BLOBSTORE_DATA": folder, "BLOBSTORE_UPKEEP_INTERVAL_SECONDS": 0}
    named = {"PYTHONPATH": ROOT, "SECRET_KEY": SECRET_KEY, **given, **settings}
    return {name: str(value) for name, value in named.items()}


@contextmanager
def blobstore(folder: Path, **settings: object) -> Iterator[Server]:
    """A `blobstore serve` with a PostgreSQL of its own and the user USER."""
    port = free_port()
    command = [sys.executable, "-m", "blobstore", "serve"]
    with server(command, port, folder, environment(port, folder, **settings)) as started:
        add_users(folder, USER)
        yield started


def gunicorn(application: str, folder: Path, database_url: str) -> AbstractContextManager[Server]:
    """An application on blobstore's own gunicorn configuration."""
    port = free_port()
    command = [sys.executable, "-m", "gunicorn", "-c", "python:blobstore.gunicorn_conf", application]
    return server(command, port, folder, environment(port, folder, DATABASE_URL=database_url))


def nginx(program: str, folder: Path) -> AbstractContextManager[Server]:
    """An nginx with as many workers as cores."""
    port = free_port()
    (folder / "www").mkdir(parents=True)
    user = " user root;" if os.geteuid() == 0 else ""
    text = _NGINX.format(workers=os.cpu_count(), folder=folder, port=port, user=user)
    (folder / "nginx.conf").write_text(text, encoding="utf-8")
    return server([program, "-e", f"{folder}/error.log", "-c", f"{folder}/nginx.conf"], port, folder)


def registry(program: str, folder: Path) -> AbstractContextManager[Server]:
    """A docker-registry on the disk."""
    port = free_port()
    folder.mkdir(parents=True)
    (folder / "registry.yml").write_text(_REGISTRY.format(folder=folder, port=port), encoding="utf-8")
    return server([program, "serve", f"{folder}/registry.yml"], port, folder)


@contextmanager
def direct(folder: Path, url: str | None = None) -> Iterator[Store]:
    """The store of a running blobstore, without HTTP; `url` is that of its database unless it is the embedded one."""
    given = {"DATABASE_URL": url or embedded.address(folder), "BLOBSTORE_DATA": str(folder), "SECRET_KEY": SECRET_KEY}
    store = open_store(load(given, None))
    try:
        yield store
    finally:
        store.database.dispose()


def add_users(folder: Path, *names: str, url: str | None = None) -> None:
    """Users without a quota, with PASSWORD."""
    with direct(folder, url) as store:
        for name in names:
            accounts.add(store, name, PASSWORD, quota_bytes=None)


def add_many(store: Store, kind: str, count: int, *, disabled: bool = False) -> None:
    """The users `kind`1, `kind`2, … with PASSWORD; one hash for all, because each costs 20 ms."""
    password_hash = passwords.hash_password(PASSWORD)
    with store.database.transaction() as session:
        session.execute(_ADD, {"kind": kind, "hash": password_hash, "disabled": disabled, "count": count})
