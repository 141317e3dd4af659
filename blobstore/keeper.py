"""The embedded PostgreSQL that died under a service is started again, by one of its workers.

who         whichever worker has the lock on <data>/postgres.keeper; when it is killed another one has it
when        no process of the server lives: one that stands still, recovers or is crowded is left alone
how often   at once; while it ends at its start, after pauses that grow from one second to thirty
not         for the database of somebody else, nor when the service has begun to end
"""

from __future__ import annotations

import fcntl
import logging
import shutil
from collections.abc import Callable
from time import monotonic

from blobstore import embedded
from blobstore.cluster import is_own
from blobstore.folder import open_lock, take
from blobstore.offload import offload
from blobstore.serve import is_served
from blobstore.settings import Settings

LOOK_SECONDS = 0.5
FIRST_PAUSE_SECONDS = 1.0
MAX_PAUSE_SECONDS = 30.0
_log = logging.getLogger(__name__)


class Keeper:
    """One worker's part. `is_alive` says whether this worker has not been told to end."""

    def __init__(self, settings: Settings, is_alive: Callable[[], bool]) -> None:
        self._data, self._url, self._is_alive = settings.data, settings.external_database, is_alive
        self._lock = open_lock(settings.data / "postgres.keeper")
        self._begun_bytes: int | None = None
        """How long the server's log was before a start that is under way."""
        self._died = False
        self._pause_seconds = FIRST_PAUSE_SECONDS
        self._try_at = 0.0

    def turn(self) -> None:
        """Look after the server, if that is this worker's part; never waits for it."""
        if not self._is_wanted():
            fcntl.flock(self._lock, fcntl.LOCK_UN)
        elif take(self._lock):
            try:
                self._look_after()
            except (embedded.EmbeddedError, OSError) as error:
                self._put_off(f"PostgreSQL cannot be started: {error}")

    def _is_wanted(self) -> bool:
        return self._is_alive() and is_served(self._data) and is_own(self._data, self._url)

    def _look_after(self) -> None:
        if monotonic() < self._try_at:
            return
        if not offload(embedded.has_died, self._data):
            if self._died and embedded.answers(self._data):
                self._recover()
        elif self._begun_bytes is not None:
            said = embedded.said_since(self._data, self._begun_bytes)
            self._put_off(f"PostgreSQL ended at its start: {said}")
        else:
            self._start()

    def _start(self) -> None:
        if not self._died:
            self._died = True
            _log.error("PostgreSQL has died and is started again; its own log is %s", self._data / "postgres.log")
        self._begun_bytes = embedded.restart(self._data, self._is_wanted)

    def _put_off(self, why: str) -> None:
        self._begun_bytes = None
        self._try_at = monotonic() + self._pause_seconds
        # On a full disk it could not log why it ended.
        free = shutil.disk_usage(self._data).free
        todo = f"{free} bytes are free on its disk: if that is too little, make room; else see postgres.log there"
        _log.error("%s; it is tried again in %.0f s (%s)", why, self._pause_seconds, todo)
        self._pause_seconds = min(2 * self._pause_seconds, MAX_PAUSE_SECONDS)

    def _recover(self) -> None:
        self._begun_bytes, self._died = None, False
        self._pause_seconds, self._try_at = FIRST_PAUSE_SECONDS, 0.0
        _log.warning("PostgreSQL answers again")
