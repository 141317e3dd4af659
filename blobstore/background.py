"""What a worker does besides answering: it writes what it has counted, sends mail, probes a degraded store, does the
upkeep when it is its turn, and starts an embedded PostgreSQL again that has died (keeper.py).

Every worker tries for one lease; the one that has it runs `blobstore upkeep run` as a subprocess every interval, so
that nothing is hashed or deleted on the event loop of a worker, and once for all workers and nodes. A round ends with
its worker.
"""

from __future__ import annotations

import logging
import os
import socket
import sys
from collections.abc import Callable
from datetime import timedelta
from functools import partial
from time import monotonic

import gevent
from flask import Flask
from gevent import subprocess

from blobstore.api.context import Parts
from blobstore.cluster import is_own
from blobstore.core import degraded, delivery, lease
from blobstore.errors import BlobstoreError
from blobstore.incoming import Bodies
from blobstore.metrics import Meter, Present

FLUSH_SECONDS = 5.0
PROBE_SECONDS = 1.0
COUNT_SECONDS = 1.0
MAIL_SECONDS = 2.0
LEASE = timedelta(seconds=60)
RENEW_SECONDS = 20.0
FIRST_ROUND_SECONDS = 30.0
COMMAND = [sys.executable, "-m", "blobstore", "upkeep", "run", "--until-eof"]
_log = logging.getLogger(__name__)


def start(app: Flask, meter: Meter | None, bodies: Bodies, is_alive: Callable[[], bool]) -> None:
    """Begin the background work of this worker, which `is_alive` until it is told to end; it ends with the process."""
    parts: Parts = app.extensions["blobstore"]
    for counted in (parts.downloads, parts.tally):
        gevent.spawn(_forever, FLUSH_SECONDS, partial(counted.flush, parts.store))
    gevent.spawn(_forever, PROBE_SECONDS, lambda: degraded.recover(parts.store))
    if meter:
        gevent.spawn(_forever, COUNT_SECONDS, lambda: count(app, meter, bodies))
    if parts.store.settings.smtp_host:
        gevent.spawn(_forever, MAIL_SECONDS, lambda: delivery.deliver(parts.store))
    interval = parts.store.settings.upkeep_interval_seconds
    if interval:
        upkeep = Upkeep(parts, interval)
        gevent.spawn(_forever, min(RENEW_SECONDS, interval), upkeep.turn)
    if is_own(parts.store.settings.data, parts.store.settings.external_database):
        from blobstore import keeper

        gevent.spawn(_forever, keeper.LOOK_SECONDS, keeper.Keeper(parts.store.settings, is_alive).turn)


def finish(app: Flask, meter: Meter | None, bodies: Bodies) -> None:
    """Write what was counted once more, before the worker ends."""
    parts: Parts = app.extensions["blobstore"]
    for counted in (parts.downloads, parts.tally):
        _carefully(partial(counted.flush, parts.store))
    if meter:
        count(app, meter, bodies)


def count(app: Flask, meter: Meter, bodies: Bodies) -> None:
    """Show in the metrics what this worker has under way."""
    parts: Parts = app.extensions["blobstore"]
    store = parts.store
    meter.flush(
        Present(
            bodies=bodies.total,
            connections=store.database.in_use,
            passwords=parts.credentials.verifier.under_way,
            degraded=store.condition.trouble is not None,
        )
    )


class Upkeep:
    """This worker's part in the background upkeep."""

    def __init__(self, parts: Parts, interval_seconds: int) -> None:
        self._store, self._interval_seconds = parts.store, interval_seconds
        self._holder = f"{socket.gethostname()}/{os.getpid()}"
        self._next_round = monotonic() + min(interval_seconds, FIRST_ROUND_SECONDS)
        self._round: gevent.Greenlet | None = None

    def turn(self) -> None:
        """Take or renew the lease; with it, begin a round when one is due and none runs."""
        if not lease.take(self._store, "upkeep", self._holder, LEASE):
            return
        running = self._round is not None and not self._round.ready()
        if not running and monotonic() >= self._next_round:
            self._next_round = monotonic() + self._interval_seconds
            self._round = gevent.spawn(_carefully, self._run)

    @staticmethod
    def _run() -> None:
        """Nobody writes to its input, which ends with this worker, however that ends, and the round with it."""
        pipe = subprocess.PIPE
        with subprocess.Popen(COMMAND, stdin=pipe, stdout=pipe, stderr=pipe, text=True) as child:
            for line in child.stderr:
                _log.error("upkeep: %s", line.rstrip())
            told = child.stdout.read().strip()
        if child.returncode:
            _log.error("upkeep: ended with %s", child.returncode)
        else:
            _log.info("upkeep: %s", told)


def _forever(seconds: float, work: Callable[[], None]) -> None:
    while True:
        gevent.sleep(seconds)
        _carefully(work)


def _carefully(work: Callable[[], None]) -> None:
    """Background work that fails is tried again the next time; it must never end its loop."""
    try:
        work()
    except BlobstoreError as error:
        _log.warning("background work is put off: %s", error.explained)
    except Exception:
        _log.exception("background work failed")
