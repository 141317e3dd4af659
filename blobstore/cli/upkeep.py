"""Upkeep and storage: `blobstore upkeep …`, `blobstore storage …`."""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Callable
from datetime import timedelta
from threading import Thread
from typing import Any

import click
from rich.filesize import decimal

from blobstore.cli.base import FINDINGS, Span, bar, open_store, plainly
from blobstore.core import check, identity, rounds, upkeep, verify
from blobstore.settings import Settings


@click.group("upkeep")
def upkeep_group() -> None:
    """Upkeep: reap, adopt, sweep, verify, check, run as in the background, status."""


def _grace(field: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    return click.option("--grace", type=Span(), help=f"0, 90s, 30m, 24h; default BLOBSTORE_{field.upper()}.")


def _or_default(grace: timedelta | None, settings: Settings, field: str) -> timedelta:
    return grace if grace is not None else timedelta(seconds=getattr(settings, field))


@upkeep_group.command()
@_grace("reap_grace_seconds")
@plainly
def reap(grace: timedelta | None) -> None:
    """Delete uploads that stalled longer ago than the grace, and expired files."""
    with open_store() as store, rounds.noted(store, "reap") as tally:
        tally.handled = upkeep.reap(store, _or_default(grace, store.settings, "reap_grace_seconds"))
    click.echo(f"reaped {tally.handled} files")


@upkeep_group.command()
@_grace("sweep_grace_seconds")
@plainly
def adopt(grace: timedelta | None) -> None:
    """Give bytes without a row, older than the grace, a row for the next sweep."""
    with open_store() as store, rounds.noted(store, "adopt") as tally:
        tally.handled = upkeep.adopt(store, _or_default(grace, store.settings, "sweep_grace_seconds"))
    click.echo(f"adopted {tally.handled} blobs")


@upkeep_group.command()
@_grace("sweep_grace_seconds")
@plainly
def sweep(grace: timedelta | None) -> None:
    """Delete the bytes of what nobody has claimed for the grace."""
    with open_store() as store, rounds.noted(store, "sweep") as tally:
        swept = upkeep.sweep(store, _or_default(grace, store.settings, "sweep_grace_seconds"))
        tally.handled, tally.handled_bytes = swept.blobs, swept.freed_bytes
    click.echo(f"swept {swept.blobs} blobs, freed {swept.freed_bytes} bytes ({decimal(swept.freed_bytes)})")


@upkeep_group.command("verify")
@plainly
def verify_all() -> None:
    """Read and hash everything; what is damaged is no longer served. Exits with 1 while something is."""
    with open_store() as store:
        with rounds.noted(store, "verify") as tally:
            count, size = check.totals(store)
            with bar("verify", size) as progress:
                found = list(verify.verify(store, progress))
            tally.handled, tally.handled_bytes, tally.findings = count, size, len(found)
        now = verify.damaged(store)
    for damage in found:
        click.echo(f"damaged: {damage.digest} at {damage.location}: {damage.found}")
    for digest, since in now:
        click.echo(f"damaged now: {digest}, known since {since:%Y-%m-%d %H:%M:%S} UTC")
    click.echo(f"verified {count} blobs, {size} bytes: {len(found)} found damaged, {len(now)} damaged now")
    sys.exit(FINDINGS if found or now else 0)


@upkeep_group.command("check")
@click.option("--deep", is_flag=True, help="Read and hash all bytes too.")
@click.option("--json", "as_json", is_flag=True, help="One finding a line, as JSON.")
@plainly
def check_all(deep: bool, as_json: bool) -> None:
    """Ask every invariant; change nothing. Exits with 0 when clean, 1 with findings, 2 when it could not look."""
    count = 0
    with open_store() as store:
        _, size = check.totals(store)
        with bar("check", size if deep else None) as progress:
            grace = timedelta(seconds=store.settings.sweep_grace_seconds)
            for finding in check.check(store, deep=deep, grace=grace, progress=progress):
                count += 1
                click.echo(json.dumps(vars(finding)) if as_json else f"{finding.rule}: {finding.where}")
    if not as_json:
        click.echo(f"{count} findings" if count else "clean")
    sys.exit(FINDINGS if count else 0)


@upkeep_group.command()
@click.option("--until-eof", is_flag=True, help="End, whatever is under way, when standard input does.")
@plainly
def run(until_eof: bool) -> None:
    """One round of what runs in the background: reap, adopt, sweep, verify what is due."""
    if until_eof:
        Thread(target=_end_with_input, daemon=True).start()
    with open_store() as store:
        click.echo(upkeep.run(store))


def _end_with_input() -> None:
    """Upkeep may be killed at any instant; and this ends also what waits for the database or the disk."""
    while os.read(sys.stdin.fileno(), 1024):
        pass
    os.kill(os.getpid(), signal.SIGTERM)


@upkeep_group.command("status")
@click.option("--json", "as_json", is_flag=True, help="One job a line, then the damage, as JSON.")
@plainly
def last_rounds(as_json: bool) -> None:
    """When each job last came to its end, and what it did; how many blobs that somebody has are damaged now."""
    with open_store() as store:
        found, damaged = rounds.last(store), verify.count_damaged(store)
    for job in rounds.JOBS:
        last = found.get(job)
        if as_json and last:
            click.echo(json.dumps(vars(last), default=str))
        elif not as_json:
            click.echo(f"{job:7} {_told(last) if last else 'never'}")
    click.echo(json.dumps({"damaged": damaged}) if as_json else f"damaged now: {damaged} blobs")


def _told(last: rounds.Round) -> str:
    """One line about a round."""
    words = "never ended"
    if last.ended_at:
        words = f"{last.ended_at:%Y-%m-%d %H:%M:%S} UTC, {last.seconds:.1f} s: {last.handled}"
        words += f" ({decimal(last.handled_bytes)})" if last.handled_bytes else ""
        words += f", {last.findings} damaged" if last.findings else ""
    return words + (f"; failed {last.failed_at:%Y-%m-%d %H:%M:%S} UTC: {last.problem}" if last.failed_at else "")


@click.group()
def storage() -> None:
    """Storage: status, accept."""


@storage.command()
@plainly
def status() -> None:
    """How much is stored, and how much room is left."""
    with open_store() as store:
        count, size = check.totals(store)
        free = store.storage.free_bytes()
    click.echo(f"{count} blobs, {size} bytes ({decimal(size)})")
    if free is not None:
        click.echo(f"{free} bytes free ({decimal(free)})")


@storage.command()
@plainly
def accept() -> None:
    """Say that this is the storage of this database, after one of them was restored from another place."""
    with open_store() as store:
        identity.accept(store)
        count = sum(1 for _ in store.storage.locations())
    click.echo(f"accepted, with {count} blobs; `blobstore upkeep check` says what it lacks")
