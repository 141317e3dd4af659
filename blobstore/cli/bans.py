"""Bans: `blobstore ban …`."""

from __future__ import annotations

import json

import click

from blobstore.api.schemas.admin import ban_json
from blobstore.cli.base import open_store, plainly
from blobstore.core import bans
from blobstore.core.actor import OPERATOR
from blobstore.digest import Digest

PAGE = 1000


@click.group()
def ban() -> None:
    """Banned contents: add, list, remove."""


@ban.command("add")
@click.argument("sha256")
@click.option("--reason", required=True, help="For everybody to read.")
@plainly
def add_ban(sha256: str, reason: str) -> None:
    """Ban a content: it is served to nobody, taken from nobody, and what its owners have of it goes."""
    with open_store() as store:
        done = bans.ban(store, Digest.parse(sha256), reason, OPERATOR)
    click.echo(f"{done.ban.digest} is banned; {done.removed} files went with it, and a sweep deletes the bytes")


@ban.command("list")
@click.option("--json", "as_json", is_flag=True, help="One ban a line, as JSON.")
@plainly
def list_bans(as_json: bool) -> None:
    """Every banned content, the newest first."""
    with open_store() as store:
        cursor: str | None = None
        while True:
            found = bans.page(store, limit=PAGE, cursor=cursor)
            for each in found.items:
                line = f"{each.digest}  {each.created_at.date()}  {each.reason}"
                click.echo(json.dumps(ban_json(each), ensure_ascii=False) if as_json else line)
            cursor = found.next
            if cursor is None:
                return


@ban.command("remove")
@click.argument("sha256")
@plainly
def remove_ban(sha256: str) -> None:
    """Let a content in again; what went stays gone."""
    with open_store() as store:
        bans.lift(store, Digest.parse(sha256), OPERATOR)
    click.echo(f"{sha256.lower()} may be uploaded again")
