"""The laws of docs/architecture.md, held against every source. Each law is also shown one source that breaks it."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from blobstore.models import Base
from tests import laws
from tests.laws import ROOT, Source, sources
from tests.served import environment

Law = Callable[[Source], list[str]]

LAWS: dict[Law, tuple[str, str]] = {
    laws.arrows_point_down: ("core/upload.py", "from blobstore.api import auth"),
    laws.http_stays_above: ("core/upload.py", "def f():\n    from werkzeug.http import http_date"),
    laws.sql_stays_below: ("api/files.py", "from blobstore.core import files\nfiles.text('SELECT 1')"),
    laws.transactions_open_in_use_cases: ("core/quota.py", "def f(store):\n    with store.database.transaction(): ..."),
    laws.no_hidden_state: ("core/accounts.py", "User.query.all()"),
    laws.only_owners_write: ("core/upload.py", "text('UPDATE users SET used_bytes = 0')"),
    laws.routes_are_short: ("api/me.py", "@bp.get('/')\ndef f():\n    try: ...\n    finally: ..."),
    laws.small: ("digest.py", "def f():\n" + "    f()\n" * 41),
    laws.well_named: ("core/upload.py", "class UploadManager: ..."),
    laws.documented: ("digest.py", "'One.'\ndef f(): ..."),
    laws.finished: ("digest.py", "# TO" + "DO: later"),
}
"""Each law with a path and a source that break it."""

MORE_PLANTED = [
    (laws.arrows_point_down, "storage/disk.py", "from blobstore.models import Blob"),
    (laws.arrows_point_down, "api/me.py", "def f():\n    import blobstore.database"),
    (laws.arrows_point_down, "errors/base.py", "from blobstore import app"),
    (laws.arrows_point_down, "core/upload.py", "from blobstore.environment import load"),
    (laws.http_stays_above, "storage/disk.py", "import flask"),
    (laws.sql_stays_below, "api/me.py", "import psycopg2.extensions"),
    (laws.sql_stays_below, "embedded.py", "x = 'DELETE FROM users'"),
    (laws.transactions_open_in_use_cases, "api/me.py", "def f(store):\n    with store.database.transaction(): ..."),
    (laws.transactions_open_in_use_cases, "core/upload.py", "session.commit()"),
    (laws.no_hidden_state, "core/upload.py", "db.session.add(1)"),
    (laws.no_hidden_state, "core/upload.py", "from flask import g"),
    (laws.only_owners_write, "core/upload.py", "session.execute(delete(Claim))"),
    (laws.only_owners_write, "core/upload.py", "f'DELETE FROM blobs WHERE {x}'"),
    (laws.only_owners_write, "core/accounts.py", "update(User).values(used_bytes=0)"),
    (laws.only_owners_write, "core/admin.py", "update(User).values(file_count=0)"),
    (laws.routes_are_short, "api/me.py", "@bp.get('/')\ndef f():\n" + "    f()\n" * 13),
    (laws.routes_are_short, "api/me.py", "abort(404)"),
    (laws.small, "digest.py", "x = 1\n" * 301),
    (laws.well_named, "core/misc.py", ""),
    (laws.well_named, "core/upload.py", "def f(user_info): ..."),
    (laws.well_named, "core/upload.py", "def do_it(): ..."),
    (laws.documented, "digest.py", "x = 1"),
]

ALLOWED: dict[Law, set[str]] = {
    # `data` is the folder that BLOBSTORE_DATA names, a field of the interface, or what a socket's method calls it;
    # `init_process` is gunicorn's.
    laws.well_named: {
        *(
            f"{file}: data"
            for file in ("settings.py", "serve.py", "embedded.py", "cluster.py", "cli/__init__.py", "cli/serving.py")
        ),
        *(f"{file}: data" for file in ("api/schemas/files.py", "incoming.py", "wire.py")),
        "server.py: init_process",
    },
}
"""Violations that are known and meant, with the reason."""


def violations(law: Law, found: list[Source]) -> set[str]:
    """Every violation as `file: what`."""
    return {f"{source.path}: {violation}" for source in found for violation in law(source)}


@pytest.mark.parametrize("law", LAWS, ids=lambda law: law.__name__)
def test_a_law_is_kept(law: Law) -> None:
    """A floor would know what it must not know, and the next change would have to be made in two places."""
    assert violations(law, sources()) == ALLOWED.get(law, set())


@pytest.mark.parametrize(
    ("law", "path", "text"),
    [*((law, *planted) for law, planted in LAWS.items()), *MORE_PLANTED],
    ids=lambda value: getattr(value, "__name__", None),
)
def test_a_law_sees_what_breaks_it(law: Law, path: str, text: str) -> None:
    """The law would pass whatever is written."""
    assert law(Source(path, text))


def test_every_test_says_what_would_be_broken() -> None:
    """Nobody could tell whether a failing test matters, or delete one that does not."""
    assert violations(laws.tests_say_why, sources("tests")) == set()
    assert laws.tests_say_why(Source("test_x.py", "def test_x(): ..."))


def test_nothing_is_left_unfinished() -> None:
    """What somebody meant to come back to would be shipped."""
    assert violations(laws.finished, sources("tests") + sources("migrations")) == set()


def test_every_table_has_its_writers() -> None:
    """A new table could be written from anywhere."""
    tables = {mapper.class_.__name__: str(mapper.local_table) for mapper in Base.registry.mappers}
    assert tables == laws.MODELS
    assert set(laws.WRITERS) == set(tables.values())


def test_every_part_has_its_floor() -> None:
    """A law that names a file which is gone would hold nothing, and say nothing."""
    paths = {source.path for source in sources()}
    named = {*laws.SERVES, *laws.BRINGS_POSTGRES, *laws.OWNERS, "app.py", "models/base.py", "database.py"}
    named |= {writer for writers in laws.WRITERS.values() for writer in writers}
    assert named <= paths


def test_every_prepared_statement_has_a_name_of_its_own() -> None:
    """A connection that had prepared the one would run it in place of the other."""
    names = [
        call.args[0].value
        for source in sources()
        for name, call in source.calls
        if name == "Prepared" and isinstance(call.args[0], ast.Constant)
    ]
    assert names
    assert max(Counter(names).values()) == 1


WATCH = """
import _thread, importlib, os, sys, threading
WRITE = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
EVENTS = ("socket.", "subprocess.", "os.fork", "os.exec", "os.posix_spawn", "os.system", "os.mkdir", "os.remove",
          "os.rename", "sqlite3.", "shutil.", "tempfile.")
seen = []
def hook(event, args):
    if event == "open" and isinstance(args[2], int) and args[2] & WRITE and args[0] != os.devnull:
        seen.append(f"open {args[0]} for writing")
    elif event.startswith(EVENTS):
        seen.append(f"{event} {args!r:.200}")
sys.addaudithook(hook)
_thread.start_new_thread = threading._start_new_thread = lambda *args: sys.exit(f"{name}: starts a thread")
for name in sys.argv[1:]:
    importlib.import_module(name)
    if seen:
        sys.exit(f"{name}: {seen}")
"""


def import_all(names: list[str], folder: Path) -> str:
    """What the first module that does something at import does; empty when none does."""
    command = [sys.executable, "-B", "-c", WATCH, *names]
    environ = {name: value for name, value in environment(folder).items() if not name.startswith("BLOBSTORE_")}
    environ["PYTHONPATH"] += f":{folder}"
    done = subprocess.run(command, check=False, capture_output=True, text=True, cwd=folder, env=environ)
    return done.stderr


def test_nothing_happens_at_import(tmp_path: Path) -> None:
    """A worker would share a connection with its master, or a command would fail before it read its settings."""
    starts = {"blobstore.__main__"}
    files = (path.relative_to(ROOT).with_suffix("") for path in sorted((ROOT / "blobstore").rglob("*.py")))
    names = [".".join(path.parts).removesuffix(".__init__") for path in files]
    assert import_all([name for name in names if name not in starts], tmp_path) == ""


@pytest.mark.parametrize(
    "statement",
    [
        "import socket; socket.socket()",
        "open('made', 'w')",
        "import threading; threading.Thread(target=print).start()",
        "import subprocess; subprocess.run(['true'])",
        "from blobstore.environment import load; from blobstore.core.store import open_storage; open_storage(load())",
    ],
)
def test_what_happens_at_import_is_seen(tmp_path: Path, statement: str) -> None:
    """The test above would pass whatever a module does."""
    (tmp_path / "planted.py").write_text(statement)
    assert import_all(["planted"], tmp_path).startswith("planted: ")
