"""How gunicorn runs our worker: its settings, and what is called when a worker or the master starts and ends."""

from __future__ import annotations

import gc
import os
import signal
import sys
import threading
from typing import Any, Final

from flask import Flask
from gunicorn.arbiter import Arbiter

from blobstore import metrics
from blobstore.environment import load
from blobstore.server import Worker
from blobstore.settings import Settings, SettingsError

THREAD_BYTES: Final = 1 << 20
HEARTBEAT_SECONDS: Final = 60
"""A worker whose event loop stands still for so long is killed and replaced; a long request does not stop the loop."""


def gunicorn_settings(settings: Settings | None = None) -> dict[str, Any]:
    """What goes into a gunicorn configuration file. Ends the start with every mistake in the settings."""
    try:
        settings = settings or load()
    except SettingsError as error:
        raise SystemExit(str(error)) from error
    return {
        "bind": settings.bind,
        "workers": settings.workers,
        "worker_class": "blobstore.server.Worker",
        "worker_connections": settings.max_connections,
        "worker_tmp_dir": "/dev/shm" if os.access("/dev/shm", os.W_OK) else None,  # noqa: S108 - no disk to wait for
        "timeout": HEARTBEAT_SECONDS,
        "graceful_timeout": settings.graceful_timeout_seconds,
        "keepalive": 1 if settings.keepalive_seconds else 0,
        "limit_request_line": 4094,
        "limit_request_fields": 100,
        "limit_request_field_size": 8190,
        "preload_app": False,
        "control_socket_disable": True,
        "accesslog": None,
        "logger_class": "blobstore.logs.Logger",
        # X-Forwarded-* is the application's, which knows BLOBSTORE_TRUSTED_PROXY_HOPS; here nobody is trusted.
        "forwarded_allow_ips": "",
        "secure_scheme_headers": {},
        "forwarder_headers": "",
        "on_starting": on_starting,
        "post_fork": post_fork,
        "post_worker_init": post_worker_init,
        "worker_exit": worker_exit,
        "child_exit": child_exit,
        "on_exit": on_exit,
    }


def on_starting(_server: Arbiter) -> None:
    """Prepare what the workers will count in."""
    if load().metrics_token:
        metrics.prepare()


def post_fork(_server: Arbiter, _worker: Any) -> None:
    """Make the worker green before anything of the application is imported: locks made earlier would block it whole.

    Until gunicorn has set the worker's own handlers it has the master's, which would swallow a signal to stop.
    """
    for number in (signal.SIGINT, signal.SIGQUIT, signal.SIGTERM):
        signal.signal(number, signal.SIG_DFL)
    # Of the threadpool's: the system's 8 MiB each count where a process may have so many addresses.
    threading.stack_size(THREAD_BYTES)
    from gevent import monkey

    monkey.patch_all()
    from blobstore.green import make_green

    make_green()


def post_worker_init(worker: Any) -> None:
    """Refuse another worker class: `gunicorn --worker-class gevent` overrides the file and loses all of the above."""
    if not isinstance(worker, Worker):
        worker.log.critical("blobstore runs only with --worker-class blobstore.server.Worker")
        sys.exit(Arbiter.WORKER_BOOT_ERROR)
    from blobstore import background
    from blobstore.serve import announce

    if isinstance(worker.wsgi, Flask):
        background.start(worker.wsgi, worker.meter, worker.bodies, lambda: worker.alive)
    announce(worker)
    # What the start made stays: a full collection that walks all of it stops the worker for 50 ms.
    gc.collect()
    gc.freeze()


def worker_exit(_server: Arbiter, worker: Any) -> None:
    """Write what the worker has only counted so far."""
    from blobstore import background

    application = getattr(worker, "wsgi", None)
    if isinstance(application, Flask):
        background.finish(application, worker.meter, worker.bodies)
    # The interpreter ends in good order only when it may collect everything.
    gc.unfreeze()


def child_exit(_server: Arbiter, worker: Any) -> None:
    """In the master: a worker has ended."""
    metrics.forget(worker.pid)


def on_exit(_server: Arbiter) -> None:
    """End what `blobstore serve` started."""
    from blobstore.serve import finish

    metrics.remove()
    finish()
