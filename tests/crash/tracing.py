"""strace on a process that runs already: every fault strikes from here on, and the process goes on without it."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

from tests.crash.table import LeftOut

SYNCS = ("fsync", "fdatasync")
_CALL = re.compile(r"^(\d+) +(\w+)\((.*)\) += (-?\w+)")
_BEGUN = re.compile(r"^(\d+) +(\w+\(.*) <unfinished \.\.\.>$")
_ENDED = re.compile(r"^(\d+) +<\.\.\. \w+ resumed>(.*)$")
_FD = re.compile(r"(\d+)<")


@cache
def refusal() -> str:
    """Why nothing can be traced here; empty where it can be."""
    if not shutil.which("strace"):
        return "strace is not installed"
    with subprocess.Popen(["sleep", "60"]) as sleeper:
        command = ["strace", "-p", str(sleeper.pid), "-o", os.devnull]
        try:
            with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as tracer:
                may = "attached" in _first_line(tracer)
                tracer.send_signal(signal.SIGINT)
                tracer.communicate(timeout=60)
        finally:
            sleeper.kill()
    return "" if may else "strace may not trace here"


@contextmanager
def attached(pid: int, log: Path, calls: str, inject: str = "") -> Iterator[None]:
    """strace on all threads of a process; what they call is in `log` afterwards. Raises LeftOut.

    `calls` and `inject` are as strace reads them. It counts per thread, from now on.
    """
    if why := refusal():
        raise LeftOut(why)
    command = ["strace", "-f", "-y", "-s", "64", "-p", str(pid), "-o", str(log), "-e", f"trace={calls}"]
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


def calls_of(log: Path) -> Iterator[tuple[str, str, str]]:
    """Every (call, arguments, result), in the order of their ends; what other threads did meanwhile is put together."""
    begun: dict[str, str] = {}
    for line in log.read_text().splitlines():
        if cut := _BEGUN.match(line):
            begun[cut[1]] = cut[2]
            continue
        rest = _ENDED.match(line)
        whole = f"{rest[1]} {begun.pop(rest[1], '')}{rest[2]}" if rest else line
        if call := _CALL.match(whole):
            yield call[2], call[3], call[4]


def failed_syncs(log: Path) -> int:
    """How many calls of fsync failed."""
    return sum(call in SYNCS and result == "-1" for call, _, result in calls_of(log))


def synced_again(log: Path) -> list[str]:
    """Every fsync of a descriptor whose fsync had failed before: it would succeed, and the bytes are gone."""
    failed: set[str] = set()
    found = []
    for call, arguments, result in calls_of(log):
        subject = _FD.match(arguments)
        descriptor = subject[1] if subject else ""
        if call in SYNCS:
            if descriptor in failed:
                found.append(f"{call}({arguments}) once more")
            if result == "-1":
                failed.add(descriptor)
        elif call == "close":
            failed.discard(descriptor)
        elif call == "openat":
            failed.discard(result)
    return found


def _first_line(tracer: subprocess.Popen[str]) -> str:
    assert tracer.stderr
    return tracer.stderr.readline()
