"""Backup and restore: `blobstore backup FOLDER`, `blobstore restore FOLDER`."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click
from rich.filesize import decimal

from blobstore import dumps
from blobstore.cli.base import FINDINGS, bar, open_store, plainly, settings_of_commands
from blobstore.core import accounts, check, identity
from blobstore.core.accounts import Account
from blobstore.core.backup import Copied, copy_in, copy_out
from blobstore.core.store import open_store as store_of
from blobstore.database import upgrade
from blobstore.folder import open_lock, sync, take

DUMP = "database.dump"
BLOBS = "store"
NEXT = "next: put secret.key and the settings back, `blobstore upkeep check --deep`, start the service"
Folder = click.Path(file_okay=False, path_type=Path)


@click.command("backup")
@click.argument("folder", type=Folder)
@plainly
def make_backup(folder: Path) -> None:
    """Dump the database into FOLDER, then copy every blob that is not there yet; beside a running service.

    Exits with 1 when bytes are missing or damaged. SECRET_KEY and the settings are not in it.
    """
    with _locked(folder), open_store() as store:
        # In this order: what the dump names is in the store, and stays for the grace of a sweep.
        dumps.dump(store.settings.require_database(), folder / DUMP)
        _, size = check.totals(store)
        with bar("copy", size) as progress:
            copied = copy_out(store, folder / BLOBS, progress)
    sync(folder)
    _tell("backed up", copied)


@click.command("restore")
@click.argument("folder", type=Folder)
@click.option("--replace", is_flag=True, help="Also over a database that has users, who are lost.")
@plainly
def restore_backup(folder: Path, replace: bool) -> None:
    """Put what `backup` kept in FOLDER in the place of the database and the blobs. No service may run.

    Exits with 1 when bytes are missing from FOLDER, or damaged there.
    """
    if not (folder / DUMP).is_file():
        raise dumps.DumpError(f"{folder}: there is no backup here")
    with _database() as url:
        if not replace and dumps.is_in_use(url):
            raise dumps.DumpError("the database has users: --replace puts the backup in their place")
        dumps.restore(url, folder / DUMP)
        upgrade(url)
        store = store_of(settings_of_commands(DATABASE_URL=url))
        identity.accept(store)
        _, size = check.totals(store)
        with bar("copy", size) as progress:
            copied = copy_in(store, folder / BLOBS, progress)
        users = accounts.accounts(store)
        store.database.dispose()
    _tell("restored", copied, _whose(users), NEXT)


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """One backup into a folder at a time, in which only its owner may look."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    lock = open_lock(folder / "lock")
    try:
        if not take(lock):
            raise dumps.DumpError(f"{folder}: another backup is being made here")
        yield
    finally:
        os.close(lock)


@contextmanager
def _database() -> Iterator[str]:
    """The database of the settings, an embedded one made if there is none, on a data folder that nobody serves."""
    from blobstore import embedded
    from blobstore.serve import nobody_serves

    settings = settings_of_commands()
    with nobody_serves(settings):
        if settings.external_database is not None:
            yield settings.external_database
        else:
            with embedded.running(settings.data, settings.pg_version) as url:
                yield url


def _whose(users: list[Account]) -> str:
    """One line about the users who came back."""
    count = "1 user" if len(users) == 1 else f"{len(users)} users"
    admins = ", ".join(account.name for account in users if account.role == "admin")
    if not admins:
        return (
            f"{count}, with the passwords of the backup; no admin: `blobstore serve` makes one and prints his password"
        )
    void = "a password that `blobstore serve` has printed here before is void"
    return f"{count}, with the passwords of the backup (admins: {admins}); {void}"


def _tell(what: str, copied: Copied, *more: str) -> None:
    for digest in copied.missing:
        click.echo(f"damaged: {digest}")
    there = f", {copied.there} were there already" if copied.there else ""
    click.echo(f"{what}: the database, and {copied.blobs} blobs ({decimal(copied.size_bytes)}){there}")
    for line in more:
        click.echo(line)
    sys.exit(FINDINGS if copied.missing else 0)
