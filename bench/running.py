"""Processes of ours: started on free ports, ended by their own pid."""

from __future__ import annotations

import os
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil

START_SECONDS = 60.0
STOP_SECONDS = 30.0


@dataclass(frozen=True)
class Server:
    """Something that answers at http://127.0.0.1:`port`."""

    pid: int
    port: int
    folder: Path

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def workers(self) -> list[psutil.Process]:
        """The worker processes of a gunicorn."""
        found = psutil.Process(self.pid).children()
        return [child for child in found if "gunicorn" in " ".join(child.cmdline())]


@contextmanager
def server(
    command: Sequence[str], port: int, folder: Path, environ: Mapping[str, str] | None = None
) -> Iterator[Server]:
    """Run `command` until the block ends; it is ready when the port takes a connection. Its output is in folder/log."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "log").open("ab") as log:
        process = subprocess.Popen(
            command, cwd=folder, env={**clean(), **(environ or {})}, stdin=subprocess.DEVNULL, stdout=log, stderr=log
        )
    try:
        _wait_for(process, port, folder / "log")
        yield Server(process.pid, port, folder)
    finally:
        end(process)


def end(process: subprocess.Popen[bytes]) -> None:
    """Ask it to end, then make it."""
    if process.poll() is None:
        process.terminate()
    try:
        process.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def clean() -> dict[str, str]:
    """The environment without anybody's settings."""
    return {name: value for name, value in os.environ.items() if name in ("PATH", "HOME", "LANG", "TMPDIR")}


def free_port() -> int:
    """A port that is free now: not every peer can be told to choose one itself."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _wait_for(process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    end_at = time.monotonic() + START_SECONDS
    while time.monotonic() < end_at and process.poll() is None:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            time.sleep(0.05)
        else:
            return
    raise RuntimeError(f"it does not start: {' '.join(map(str, process.args))}\n{log.read_text(errors='replace')}")  # type: ignore[arg-type]
