"""The command line: serve, user, key, ban, events, upkeep, storage, db, backup, restore.

It finds the same settings and the same data folder as the service, and so the same embedded PostgreSQL, which it
starts for as long as it needs when no service runs.
"""

from __future__ import annotations

import os
from pathlib import Path

import click

from blobstore import __version__
from blobstore.cli.backup import make_backup, restore_backup
from blobstore.cli.bans import ban
from blobstore.cli.base import plainly
from blobstore.cli.events import events_group
from blobstore.cli.upkeep import storage, upkeep_group
from blobstore.cli.users import key, user
from blobstore.database import upgrade
from blobstore.environment import load


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__)
@click.option("--data", type=click.Path(file_okay=False, path_type=Path), help="The data folder (BLOBSTORE_DATA).")
def main(data: Path | None) -> None:
    """A self-hosted, content-addressed file store over HTTP."""
    if data is not None:
        os.environ["BLOBSTORE_DATA"] = str(data)


@main.command()
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


@main.group()
def db() -> None:
    """The database: upgrade."""


@db.command("upgrade")
@plainly
def upgrade_database() -> None:
    """Bring the schema up to date; safe to repeat, and on several nodes at once."""
    settings = load()
    if settings.external_database is not None:
        upgrade(settings.external_database)
    else:
        from blobstore import embedded

        with embedded.running(settings.data, settings.pg_version) as url:
            upgrade(url)
    click.echo("the schema is current")


for command in (user, key, ban, events_group, upkeep_group, storage, make_backup, restore_backup):
    main.add_command(command)
