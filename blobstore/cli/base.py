"""What every command shares: its arguments' types, one line for every error, the store it works on."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from functools import wraps
from typing import Any

import click
from pydantic import ByteSize, TypeAdapter, ValidationError

from blobstore.cluster import EmbeddedError
from blobstore.core.progress import Progress
from blobstore.core.store import Store
from blobstore.core.store import open_store as store_of
from blobstore.dumps import DumpError
from blobstore.environment import load
from blobstore.errors import BlobstoreError
from blobstore.settings import Settings, SettingsError

FINDINGS, COULD_NOT_LOOK = 1, 2
PATIENCE_SECONDS = 3600.0
"""How long a command waits for one statement: `check` counts everything, and nobody waits for an answer by HTTP."""
_SPAN = re.compile(r"([0-9]+)\s*(s|m|h|d)?")
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400, None: 1}


class Span(click.ParamType[Any]):
    """A length of time: 0, 90s, 30m, 24h, 30d."""

    name = "time"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> timedelta:
        if isinstance(value, timedelta):
            return value
        match = _SPAN.fullmatch(value)
        if not match:
            self.fail(f"{value!r} is not a time like 0, 90s, 30m, 24h or 30d", param, ctx)
        return timedelta(seconds=int(match[1]) * _SECONDS[match[2]])


DEFAULT_SIZE = -1
"""What an option of type Size has when it is not given: its own None means no limit."""


class Size(click.ParamType[Any]):
    """A number of bytes, 10GiB, or `none` for no limit."""

    name = "size"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int | None:
        if value == DEFAULT_SIZE:
            return DEFAULT_SIZE
        if value == "none":
            return None
        try:
            return int(TypeAdapter(ByteSize).validate_python(value))
        except ValidationError:
            self.fail(f"{value!r} is not a size like 500MB or 10GiB, or none", param, ctx)


def plainly(command: Callable[..., Any]) -> Callable[..., Any]:
    """Say in one line what is wrong, whatever it is, instead of a stack; exit 2."""

    @wraps(command)
    def run(*args: Any, **kwargs: Any) -> Any:
        try:
            return command(*args, **kwargs)
        except (SettingsError, EmbeddedError, DumpError) as error:
            problem = str(error)
        except BlobstoreError as error:
            problem = error.detail + _cause(error)
        except OSError as error:
            problem = f"{error.filename or 'the system'}: {error.strerror or error}"
        except Exception as error:
            # Not before: it imports all of the service.
            from blobstore.serve import ServeError

            if not isinstance(error, ServeError):
                raise
            problem = str(error)
        click.echo(f"blobstore: {problem}", err=True)
        sys.exit(COULD_NOT_LOOK)

    return run


@contextmanager
def bar(title: str, total: int | None = None) -> Iterator[Progress]:
    """Progress on a terminal, silence elsewhere."""
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, TextColumn, TransferSpeedColumn
    from rich.progress import Progress as Bars

    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    with Bars(*columns, console=Console(stderr=True), disable=not sys.stderr.isatty(), transient=True) as bars:
        task = bars.add_task(title, total=total)
        yield lambda amount: bars.advance(task, amount)


def _cause(error: BlobstoreError) -> str:
    """What PostgreSQL or the driver says of it, for the operator; it names no password."""
    said = str(getattr(error.__cause__, "orig", None) or error.__cause__ or "").strip().partition("\n")[0]
    return f" ({said})" if said else ""


@contextmanager
def open_store() -> Iterator[Store]:
    """The store of the settings, on the embedded PostgreSQL when no other is set."""
    settings = settings_of_commands()
    if settings.external_database is not None:
        yield store_of(settings)
        return
    if not (settings.data / "postgres").is_dir():
        raise SettingsError([f"{settings.data}: there is no blobstore here yet; `blobstore serve` makes one"])
    from blobstore import embedded

    with embedded.running(settings.data, settings.pg_version) as url:
        store = store_of(settings_of_commands(DATABASE_URL=url))
        yield store
        store.database.dispose()


def settings_of_commands(**given: str) -> Settings:
    """The settings with the patience of commands, and with the secret that `serve` has made when no other is set.

    So the service accepts what we sign.
    """
    settings = load({**os.environ, **given})
    made = settings.data / "secret.key"
    if settings.secret_key is None and os.access(made, os.R_OK):
        settings = load({**os.environ, **given, "SECRET_KEY_FILE": str(made)})
    return settings.model_copy(update={"database_timeout_seconds": PATIENCE_SECONDS})
