"""What is counted, for Prometheus: every worker counts in memory-mapped files of its own; `/metrics` adds them up.

    prepare, forget, remove     the folder of these files, in memory, for as long as the service lives
    Meter                       what one worker counts

The library looks for the folder when it is imported. So the master prepares it first, and nothing here imports it
earlier than that.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from blobstore.folder import open_lock, take

if TYPE_CHECKING:
    from prometheus_client import Histogram

FOLDER: Final = "PROMETHEUS_MULTIPROC_DIR"
"""The library's name for the folder."""
PREFIX: Final = "blobstore-metrics-"
BUCKETS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.1, 0.5, 1.0, 2.5, 5.0, 15.0, 60.0)
METHODS: Final = frozenset({"GET", "HEAD", "PUT", "POST", "PATCH", "DELETE", "OPTIONS"})


def prepare() -> None:
    """Make the folder of a new service, in its master, and remove those of services that were killed.

    A lock in the folder, which all processes of the service inherit, says that it is in use.
    """
    # Not a disk: a page of it that is being written back would stop the event loop of whoever counts on it.
    place = Path("/dev/shm" if os.access("/dev/shm", os.W_OK) else tempfile.gettempdir())  # noqa: S108
    for left in place.glob(f"{PREFIX}*"):
        _remove_unlocked(left)
    made = Path(tempfile.mkdtemp(prefix=f".{PREFIX}", dir=place))
    take(open_lock(made / "lock"))
    os.environ[FOLDER] = str(made.rename(place / made.name.removeprefix(".")))


def _remove_unlocked(folder: Path) -> None:
    with suppress(OSError):
        if folder.is_symlink() or folder.stat().st_uid != os.geteuid():
            # Anybody may put something with this name there.
            return
        lock = open_lock(folder / "lock")
        if take(lock):
            shutil.rmtree(folder, ignore_errors=True)
        os.close(lock)


def forget(pid: int) -> None:
    """Drop what a worker that has ended said of its present; what it counted stays."""
    if FOLDER in os.environ:
        from prometheus_client.multiprocess import mark_process_dead

        mark_process_dead(pid)  # type: ignore[no-untyped-call]


def remove() -> None:
    """Remove the folder, if there is one."""
    if folder := os.environ.pop(FOLDER, None):
        shutil.rmtree(folder, ignore_errors=True)


@dataclass(frozen=True)
class Present:
    """What one worker has under way now."""

    bodies: int
    connections: int
    passwords: int
    degraded: bool


class Meter:
    """One worker's counters; after `prepare` and the fork."""

    def __init__(self) -> None:
        from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

        names = CollectorRegistry()
        self._seconds = Histogram(
            "blobstore_request_duration_seconds",
            "Requests, from the head of each to the end of its answer, by route; those that reached none are `none`.",
            ("method", "route", "status"),
            registry=names,
            buckets=BUCKETS,
        )
        self._received = Counter("blobstore_received_bytes", "Bytes of bodies received.", registry=names)
        self._sent = Counter("blobstore_sent_bytes", "Bytes of answers sent.", registry=names)
        now = {
            "bodies": "Uploads and other bodies in flight.",
            "connections": "Connections to the database in use.",
            "passwords": "Passwords being hashed, or waiting for it.",
            "degraded": "Workers that take no uploads because the last write failed.",
        }
        self._now = {
            name: Gauge(f"blobstore_{name}", text, registry=names, multiprocess_mode="livesum")
            for name, text in now.items()
        }
        self._answers: dict[tuple[str, str, int], Histogram] = {}
        self._received_bytes = self._sent_bytes = 0

    def answered(
        self, method: str, route: str, status: int, seconds: float, *, received_bytes: int, sent_bytes: int
    ) -> None:
        """Count one request."""
        key = (method, route, status // 100)
        histogram = self._answers.get(key)
        if histogram is None:
            histogram = self._answer(*key)
        histogram.observe(seconds)
        self._received_bytes += received_bytes
        self._sent_bytes += sent_bytes

    def _answer(self, method: str, route: str, hundred: int) -> Histogram:
        """The histogram of these labels, of which there are few, whatever clients send."""
        if method not in METHODS:
            return self._seconds.labels("other", route, f"{hundred}xx")
        made = self._seconds.labels(method, route, f"{hundred}xx")
        self._answers[method, route, hundred] = made
        return made

    def flush(self, now: Present) -> None:
        """Write what was added up, and what is under way."""
        self._received.inc(self._received_bytes)
        self._sent.inc(self._sent_bytes)
        self._received_bytes = self._sent_bytes = 0
        for name, gauge in self._now.items():
            gauge.set(getattr(now, name))
