"""The wait for PostgreSQL in a worker: other greenlets run meanwhile, and it ends.

psycogreen, the usual choice, has no deadline.
"""

from __future__ import annotations

from typing import Any

import psycopg2
from gevent import Timeout
from gevent.socket import wait_read, wait_write
from psycopg2 import extensions


class DeadlineExceeded(psycopg2.OperationalError):
    """PostgreSQL did not answer one statement in time; the connection is closed."""


def make_green() -> None:
    """Let every wait for PostgreSQL run other greenlets, and end after `database_timeout_seconds`.

    Without a deadline a frozen backend hangs its request for ever, and libpq's connect_timeout is ignored.
    """
    extensions.set_wait_callback(_wait)


def _wait(connection: Any) -> None:
    seconds = getattr(connection, "timeout_seconds", 3.0)
    waits = {extensions.POLL_READ: wait_read, extensions.POLL_WRITE: wait_write}
    with Timeout(seconds, DeadlineExceeded(f"PostgreSQL did not answer within {seconds} s")):
        while (state := connection.poll()) != extensions.POLL_OK:
            waits[state](connection.fileno())
