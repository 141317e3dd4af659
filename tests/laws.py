"""The laws of the house as functions: a source in, its violations out. test_layers.py holds them against the tree."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import chain
from pathlib import Path

ROOT = Path(__file__).parents[1]
MAX_FILE_LINES, MAX_FUNCTION_LINES, MAX_ROUTE_STATEMENTS = 300, 40, 12

GROUND = frozenset(
    {
        "",
        "errors",
        "digest",
        "settings",
        "addresses",
        "emails",
        "smtp",
        "failpoints",
        "offload",
        "folder",
        "unprivileged",
        "shortage",
    }
)
BELOW = {
    "storage": GROUND | {"storage"},
    "models": frozenset({"models"}),
    "green": GROUND | {"green"},
    "database": GROUND | {"green", "database"},
    "core": GROUND | {"core", "storage", "models", "database"},
    "api": GROUND | {"core", "api"},
    "protocols": GROUND | {"core", "api", "protocols"},
    "ui": GROUND | {"core", "api", "ui"},
    "cluster": GROUND | {"cluster"},
    "postmaster": GROUND | {"cluster", "postmaster"},
    "embedded": GROUND | {"cluster", "postmaster", "embedded"},
    "dumps": GROUND | {"cluster", "dumps"},
    "environment": GROUND | {"environment"},
    **dict.fromkeys(GROUND, GROUND),
}
"""Which parts of blobstore a part may import; those that are not here start or serve it and may import all."""

HTTP = frozenset({"flask", "werkzeug", "gunicorn", "flasgger", "flask_swagger_ui"})
SPEAKS_HTTP = ("api/", "protocols/", "ui/", "app.py")
SERVES = ("server.py", "hooks.py", "incoming.py", "refusals.py", "wire.py", "logs.py", "serve.py", "background.py")
"""The server's side of HTTP: gunicorn's worker, its logger, its hooks. No use case is behind these."""

SQL = frozenset({"sqlalchemy", "psycopg2", "alembic"})
SPEAKS_SQL = ("core/", "models/", "database.py", "green.py", "storage/postgres.py")
BRINGS_POSTGRES = ("cluster.py", "postmaster.py", "embedded.py", "dumps.py")
"""PostgreSQL's programs: its address as a URL, `SELECT 1`, `CREATE DATABASE`. No table of ours is written."""

OWNERS = ("core/blobs.py", "core/quota.py", "core/banned.py")
ACCOUNTS = ("core/accounts.py", "core/admin.py", "core/new_email.py", "core/new_password.py", "core/removal.py")
"""These write `users`, but for the counters."""
WRITERS = {
    "users": (*ACCOUNTS, "core/quota.py"),
    "blobs": ("core/blobs.py",),
    "claims": ("core/blobs.py",),
    "files": ("core/upload.py", "core/files.py", "core/delete.py", "core/counters.py"),
    "api_keys": ("core/keys.py",),
    "sessions": ("core/sessions.py",),
    "mails": ("core/mails.py",),
    "bans": ("core/banned.py",),
    "banned_files": ("core/banned.py",),
    "events": ("core/events.py",),
    "rate_limits": ("core/limits.py",),
    "leases": ("core/lease.py",),
    "rounds": ("core/rounds.py",),
    "storages": ("core/identity.py",),
}
COUNTERS = frozenset({"used_bytes", "reserved_bytes", "logical_bytes", "file_count", "content_count"})
MODELS = {
    "User": "users",
    "Blob": "blobs",
    "Claim": "claims",
    "File": "files",
    "ApiKey": "api_keys",
    "UserSession": "sessions",
    "Mail": "mails",
    "Ban": "bans",
    "BannedFile": "banned_files",
    "Event": "events",
    "RateLimit": "rate_limits",
    "Lease": "leases",
    "Round": "rounds",
    "KnownStorage": "storages",
}
_WRITES = re.compile(r"\b(?:INSERT\s+INTO|DELETE\s+FROM|TRUNCATE|UPDATE)\s+(?!OF\b|SKIP\b|SET\b)([a-z_]+)")

BANNED = frozenset({"util", "utils", "helper", "helpers", "manager", "process", "data", "info", "common", "misc", "do"})
_WORD = re.compile(r"[A-Z]?[a-z0-9]+|[A-Z]+(?![a-z])")
_UNFINISHED = re.compile(r"\b(?:TO" + r"DO|FIX" + r"ME|X" + r"XX)\b")


@dataclass(frozen=True)
class Source:
    """One file of Python: its path from the package's folder, like `core/upload.py`, and its text."""

    path: str
    text: str

    @cached_property
    def tree(self) -> ast.Module:
        return ast.parse(self.text)

    @property
    def part(self) -> str:
        """The first step of the path: `core`, `api`, `errors`; nothing for the package itself."""
        return self.path.partition("/")[0].removesuffix(".py").replace("__init__", "")

    @property
    def functions(self) -> Iterator[ast.FunctionDef]:
        return (node for node in ast.walk(self.tree) if isinstance(node, ast.FunctionDef))

    @property
    def calls(self) -> Iterator[tuple[str, ast.Call]]:
        """Every call with the last part of what is called."""
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Call):
                yield getattr(node.func, "attr", getattr(node.func, "id", "")), node

    @property
    def imports(self) -> Iterator[str]:
        """Every module imported, wherever; `from blobstore import app` is `blobstore.app`."""
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Import):
                yield from (name.name for name in node.names)
            elif isinstance(node, ast.ImportFrom):
                whole = node.module or ""
                yield from (f"{whole}.{name.name}" for name in node.names) if whole == "blobstore" else (whole,)

    @property
    def texts(self) -> Iterator[str]:
        """Every string; of one that is put together its constant pieces."""
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                yield node.value

    def within(self, places: tuple[str, ...]) -> bool:
        return self.path.startswith(places)


def sources(folder: str = "blobstore") -> list[Source]:
    """Every Python file of a folder."""
    base = ROOT / folder
    return [Source(path.relative_to(base).as_posix(), path.read_text()) for path in sorted(base.rglob("*.py"))]


def arrows_point_down(source: Source) -> list[str]:
    allowed = BELOW.get(source.part)
    if allowed is None:
        return []
    parts = {(name + ".").split(".")[1] for name in source.imports if name.partition(".")[0] == "blobstore"}
    return [f"imports blobstore.{part}" for part in sorted(parts - allowed - {"__version__"})]


def http_stays_above(source: Source) -> list[str]:
    if source.within(SPEAKS_HTTP + SERVES):
        return []
    return [f"imports {name}" for name in source.imports if name.partition(".")[0] in HTTP]


def sql_stays_below(source: Source) -> list[str]:
    if source.within(SPEAKS_SQL):
        return []
    if source.within(BRINGS_POSTGRES):
        return [f"writes {table}" for table in _written(source)]
    found = [f"imports {name}" for name in source.imports if name.partition(".")[0] in SQL]
    return found + [f"calls {name}()" for name, _ in source.calls if name in ("text", "Prepared", "execute")]


def transactions_open_in_use_cases(source: Source) -> list[str]:
    if source.path == "database.py":
        return []
    forbidden = {"commit", "begin", "begin_nested", "Session", "sessionmaker", "raw_connection"}
    if not source.path.startswith("core/") or source.path in OWNERS:
        forbidden.add("transaction")
    return [f"calls {name}()" for name, _ in source.calls if name in forbidden]


def no_hidden_state(source: Source) -> list[str]:
    """No `db.session`, no `Model.query`; no `current_app` or `g` below the floors that speak HTTP."""
    found = []
    for node in ast.walk(source.tree):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            owner = node.value.id
            if (owner, node.attr) == ("db", "session") or (owner in MODELS and node.attr == "query"):
                found.append(f"{owner}.{node.attr}")
        if isinstance(node, ast.ImportFrom) and node.module == "flask" and not source.within(SPEAKS_HTTP):
            found += [f"flask.{name.name}" for name in node.names if name.name in ("current_app", "g", "request")]
    return found


def only_owners_write(source: Source) -> list[str]:
    found = [f"writes {table}" for table in _written(source) if not source.within(WRITERS[table])]
    if source.path in ACCOUNTS:
        keywords = chain.from_iterable(call.keywords for _, call in source.calls)
        found += [f"writes users.{word.arg}" for word in keywords if word.arg in COUNTERS]
    return found


def _written(source: Source) -> Iterator[str]:
    for text in source.texts:
        yield from (table for table in _WRITES.findall(text) if table in WRITERS)
    for name, call in source.calls:
        table = MODELS.get(getattr(call.args[0], "id", "")) if call.args else None
        if name in ("insert", "update", "delete") and table:
            yield table


def routes_are_short(source: Source) -> list[str]:
    """Who, what, one call, one answer: no `try`, no `abort`, and few statements."""
    found = []
    for function in source.functions:
        if source.within(("api/", "protocols/", "ui/")) and any(map(_is_route, function.decorator_list)):
            inside = [node for node in ast.walk(function) if isinstance(node, ast.stmt)]
            if any(isinstance(node, ast.Try) for node in inside):
                found.append(f"{function.name} has a try")
            if len(inside) > MAX_ROUTE_STATEMENTS:
                found.append(f"{function.name} has {len(inside)} statements")
    return found + [f"calls {name}()" for name, _ in source.calls if name == "abort" and source.part == "api"]


def _is_route(decorator: ast.expr) -> bool:
    called = decorator.func if isinstance(decorator, ast.Call) else decorator
    return isinstance(called, ast.Attribute) and getattr(called.value, "id", "") == "bp"


def small(source: Source) -> list[str]:
    found = ["is long"] if source.text.count("\n") > MAX_FILE_LINES else []
    for function in source.functions:
        length = (function.end_lineno or 0) - function.lineno + 1
        if length > MAX_FUNCTION_LINES:
            found.append(f"{function.name} is long")
    return found


def well_named(source: Source) -> list[str]:
    """No banned word in a name that is made here: a file, class, function, parameter or variable."""
    names = {part.removesuffix(".py") for part in source.path.split("/")} | set(_made(source.tree))
    return sorted(name for name in names if BANNED & {word.lower() for word in _WORD.findall(name)})


def _made(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            yield node.name
        elif isinstance(node, ast.arg):
            yield node.arg
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.id
        elif isinstance(node, ast.alias) and node.asname:
            yield node.asname


def documented(source: Source) -> list[str]:
    """Every module, and every public class and function at the top of one, has its contract."""
    found = [] if ast.get_docstring(source.tree) or not source.text else ["the module"]
    made = (node for node in source.tree.body if isinstance(node, (ast.FunctionDef, ast.ClassDef)))
    public = (node for node in made if not node.name.startswith("_"))
    return found + [node.name for node in public if not ast.get_docstring(node)]


def tests_say_why(source: Source) -> list[str]:
    tests = (function for function in source.functions if function.name.startswith("test_"))
    return [function.name for function in tests if not ast.get_docstring(function)]


def finished(source: Source) -> list[str]:
    return _UNFINISHED.findall(source.text)
