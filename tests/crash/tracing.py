"""strace on a process that runs already: every fault strikes from here on, and the process goes on without it."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

from tests.crash.table import LeftOut


@cache
def refusal() -> str:
    """Why nothing can be traced here; empty where it can be."""
    if not shutil.which("strace"):
        return "strace is not installed"
    with subprocess.Popen(["sleep", "60"]) as sleeper:
        try:
            command = ["strace", "-p", str(sleeper.pid), "-o", os.devnull]
            with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as tracer:
                attached = "attached" in _first_line(tracer)
                tracer.send_signal(signal.SIGINT)
        finally:
            sleeper.kill()
    return "" if attached else "strace may not trace here"


@contextmanager
def attached(pid: int, log: Path, calls: str, inject: str = "") -> Iterator[None]:
    """strace on all threads of a process; what they call is in `log` afterwards. Raises LeftOut.

    `calls` and `inject` are as strace reads them. It counts per thread, from now on.
    """
    if why := refusal():
        raise LeftOut(why)
    command = ["strace", "-f", "-y", "-p", str(pid), "-o", str(log), "-e", f"trace={calls}"]
    if inject:
        command += ["-e", f"inject={inject}"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as tracer:
        try:
            said = _first_line(tracer)
            assert "attached" in said, said
            yield
        finally:
            # It lets go of what it traces.
            tracer.send_signal(signal.SIGINT)
            tracer.communicate(timeout=60)


def _first_line(tracer: subprocess.Popen[str]) -> str:
    assert tracer.stderr
    return tracer.stderr.readline()
