"""Logs as JSON lines: one per request, with its id, and whatever else happens. Never a query, never a secret."""

from __future__ import annotations

import logging
import os
import sys
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import Any, TextIO, cast

import structlog
from gunicorn.glogging import Logger as GunicornLogger

from blobstore.environment import load
from blobstore.refusals import Refusal


class Logger(GunicornLogger):  # type: ignore[misc]
    """gunicorn's logger: its own messages, the library's and the access log go the same way."""

    def setup(self, _cfg: Any) -> None:
        """Begin to write to LOG_FILE, or to standard error."""
        self._path = load().log_file
        self._configure()
        self.error_log.handlers = []
        self.error_log.propagate = True
        self.error_log.setLevel(logging.INFO)

    def access(self, resp: Any, req: Any, environ: dict[str, Any], request_time: timedelta) -> None:
        """One line for one request, when its response is over."""
        self._access.info(
            "request",
            request_id=environ.get("blobstore.request_id"),
            method=req.method,
            path=req.path,
            status=resp.status_code,
            bytes=resp.sent,
            seconds=round(request_time.total_seconds(), 4),
            user=environ.get("blobstore.user"),
            address=environ.get("REMOTE_ADDR"),
            **({"code": environ["blobstore.code"]} if "blobstore.code" in environ else {}),
        )

    def refused(self, refusal: Refusal, request_id: str, address: str, method: str | None, path: str | None) -> None:
        """One line for what the server answered itself; of an unreadable request there is no method and no path."""
        self._access.info(
            "refused",
            request_id=request_id,
            method=method,
            path=path,
            status=refusal.status.value,
            code=refusal.code,
            address=address,
        )

    def reopen_files(self) -> None:
        """After the file was moved away, which logrotate tells by SIGUSR1: write to a new one, if there can be one."""
        with suppress(OSError):
            self._configure()

    def _configure(self) -> None:
        stream = _open(self._path)
        configure(stream)
        self._access = structlog.get_logger().bind()


class _Lossy:
    """A stream that nobody waits for or fails with: what a full disk does not take is not logged."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> None:
        with suppress(OSError):
            self._stream.write(text)

    def flush(self) -> None:
        with suppress(OSError):
            self._stream.flush()


def configure(stream: TextIO) -> None:
    """Send structlog and the standard library's logging to `stream`, as JSON lines."""
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True, key="time"),
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        logger_factory=structlog.WriteLoggerFactory(cast("TextIO", _Lossy(stream))),
    )
    root = logging.getLogger()
    root.handlers = [_Handler()]
    root.setLevel(logging.INFO)
    logging.getLogger("alembic").setLevel(logging.WARNING)


class _Handler(logging.Handler):
    """The standard library's records, as structlog writes them."""

    def emit(self, record: logging.LogRecord) -> None:
        fields = {"logger": record.name, "request_id": getattr(record, "request_id", None)}
        present = {name: value for name, value in fields.items() if value is not None}
        structlog.get_logger().log(record.levelno, record.getMessage(), exc_info=record.exc_info, **present)


def _open(path: Path | None) -> TextIO:
    """For its owner and group alone: it has names and hashes of private files."""
    if path is None:
        return sys.stderr
    return open(path, "a", encoding="utf-8", buffering=1, opener=lambda name, flags: os.open(name, flags, 0o640))
