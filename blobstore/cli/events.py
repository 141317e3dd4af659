"""The audit log: `blobstore events …`."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import click

from blobstore.api.schemas.admin import event_json
from blobstore.cli.base import Span, open_store, plainly
from blobstore.core import events
from blobstore.core.actor import OPERATOR
from blobstore.core.events import Filters


@click.group("events")
def events_group() -> None:
    """The audit log: export."""


@events_group.command()
@click.option("--since", type=Span(), help="90s, 30m, 24h, 7d ago; default all that there is.")
@plainly
def export(since: timedelta | None) -> None:
    """Write the audit log, the oldest event first, one a line, as JSON."""
    filters = Filters(after=datetime.now(UTC) - since if since is not None else None)
    with open_store() as store:
        for event in events.export(store, filters, OPERATOR):
            click.echo(json.dumps(event_json(event), ensure_ascii=False))
