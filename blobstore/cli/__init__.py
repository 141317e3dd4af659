"""The command line: serve, user, key, ban, events, upkeep, storage, db, backup, restore.

It finds the same settings and the same data folder as the service, and so the same embedded PostgreSQL, which it
starts for as long as it needs when no service runs. Each command is imported when it is asked for: all of them together
take longer than most of them run.
"""

from __future__ import annotations

import os
from importlib import import_module
from pathlib import Path

import click

from blobstore import __version__

COMMANDS = {
    "backup": ("backup:make_backup", "Copy the database and every blob into a folder."),
    "ban": ("bans:ban", "Banned contents: add, list, remove."),
    "db": ("serving:db", "The database: upgrade."),
    "events": ("events:events_group", "The audit log: export."),
    "key": ("users:key", "API keys: issue, list, rotate, revoke."),
    "restore": ("backup:restore_backup", "Put a backup in the place of the database and the blobs."),
    "serve": ("serving:serve", "Start the service."),
    "storage": ("upkeep:storage", "Storage: status, accept."),
    "upkeep": ("upkeep:upkeep_group", "Upkeep: reap, adopt, sweep, verify, check, run, status."),
    "user": ("users:user", "Users: add, list, passwd, ticket, quota, role, disable, enable, delete."),
}
"""Where each is in this package, and its line in the list."""


class Lazily(click.Group):
    """A group that imports a command when it is asked for, and none for the list of them."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 (the base class's signature)
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        if cmd_name not in COMMANDS:
            return None
        module, _, name = COMMANDS[cmd_name][0].partition(":")
        command: click.Command = getattr(import_module(f"{__name__}.{module}"), name)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        with formatter.section("Commands"):
            formatter.write_dl([(name, line) for name, (_, line) in COMMANDS.items()])


@click.group(cls=Lazily, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__)
@click.option("--data", type=click.Path(file_okay=False, path_type=Path), help="The data folder (BLOBSTORE_DATA).")
def main(data: Path | None) -> None:
    """A self-hosted, content-addressed file store over HTTP."""
    if data is not None:
        os.environ["BLOBSTORE_DATA"] = str(data)
