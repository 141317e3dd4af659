"""The service and its schema: `blobstore serve`, `blobstore db …`."""

from __future__ import annotations

import os
from pathlib import Path

import click

from blobstore.cli.base import plainly
from blobstore.environment import load


@click.command()
@click.option("--bind", help="ADDRESS:PORT; default 127.0.0.1:5000.")
@click.option("--data", type=click.Path(file_okay=False, path_type=Path), help="The data folder; default ./data.")
@click.option("--workers", type=int, help="Worker processes; default one per core.")
@plainly
def serve(bind: str | None, data: Path | None, workers: int | None) -> None:
    """Start the service, with a PostgreSQL of its own when no other is set."""
    from blobstore.serve import serve as start

    given = {"BLOBSTORE_BIND": bind, "BLOBSTORE_DATA": data, "BLOBSTORE_WORKERS": workers}
    os.environ.update({name: str(value) for name, value in given.items() if value is not None})
    start(load())


@click.group()
def db() -> None:
    """The database: upgrade."""


@db.command("upgrade")
@plainly
def upgrade_database() -> None:
    """Bring the schema up to date; safe to repeat, and on several nodes at once."""
    from blobstore.database import upgrade

    settings = load()
    if settings.external_database is not None:
        upgrade(settings.external_database)
    else:
        from blobstore import embedded

        with embedded.running(settings.data, settings.pg_version) as url:
            upgrade(url)
    click.echo("the schema is current")
