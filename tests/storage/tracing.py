"""A disk's peers, and what strace saw of them: the system calls, in their order."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

import pytest

from blobstore.digest import Digest

REPOSITORY = Path(__file__).parents[2]
A_MINUTE = 60
CALLS = "write,fsync,fdatasync,linkat,renameat,renameat2,rename,flock"
_CALL = re.compile(r"^(?:\d+ +)?(\w+)\((.*)\) += (-?\d+)")


def command(disk: str, root: Path, *role: object) -> list[str]:
    """The command line of a peer at `root`; `disk` is a class of disks.py."""
    words = [sys.executable, "-m", "tests.storage.peer", f"tests.storage.disks:{disk}", root, *role]
    return [str(word) for word in words]


def run(disk: str, root: Path, *role: object, failpoints: str = "") -> str:
    """What a peer printed before it ended. Raises CalledProcessError when it failed."""
    return _run(command(disk, root, *role), failpoints)


@contextmanager
def started(disk: str, root: Path, *role: object, failpoints: str = "") -> Iterator[subprocess.Popen[str]]:
    """A peer under way, killed at the end."""
    with subprocess.Popen(
        command(disk, root, *role),
        cwd=REPOSITORY,
        env=_environment(failpoints),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as peer:
        try:
            yield peer
        finally:
            peer.kill()


def line(peer: subprocess.Popen[str]) -> str:
    """The next line that a peer prints."""
    assert peer.stdout
    return peer.stdout.readline().strip()


@cache
def _without_strace() -> str:
    if not shutil.which("strace"):
        return "strace is not installed"
    tried = subprocess.run(["strace", "-o", os.devnull, "true"], capture_output=True, check=False)
    return "" if tried.returncode == 0 else "strace may not trace here"


def traced(disk: str, root: Path, *role: object, inject: str = "") -> tuple[str, list[str]]:
    """What a peer printed, and its lines of strace; `inject` as strace reads it. Skips where there is no strace."""
    if why := _without_strace():
        pytest.skip(why)
    log = root.parent / "strace"
    tracer = ["strace", "-f", "-y", "-o", str(log), "-e", f"trace={CALLS}"]
    if inject:
        tracer += ["-e", f"inject={inject}"]
    printed = _run([*tracer, *command(disk, root, *role)], "")
    return printed, log.read_text().splitlines()


def _run(words: list[str], failpoints: str) -> str:
    ended = subprocess.run(
        words,
        cwd=REPOSITORY,
        env=_environment(failpoints),
        capture_output=True,
        text=True,
        timeout=A_MINUTE,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    return ended.stdout.strip()


def _environment(failpoints: str) -> dict[str, str]:
    return {**os.environ, "BLOBSTORE_FAILPOINTS": failpoints}


def order_violations(lines: list[str], root: Path, digest: Digest) -> list[str]:
    """What a power cut could lose of the one publish in `lines`: writes < fsync(file) < names < fsync(folder)."""
    shard = f"<{root}/{digest.hex[:2]}>"
    file_writes: list[int] = []
    file_syncs: list[int] = []
    names: list[int] = []
    folder_syncs: list[int] = []
    for number, (call, arguments) in enumerate(successes(lines)):
        subject = arguments.split(",")[0].removesuffix("(deleted)")
        if call == "write" and f"<{root}/" in subject:
            file_writes.append(number)
        elif call in ("fsync", "fdatasync"):
            (folder_syncs if subject.endswith(shard) else file_syncs).append(number)
        elif call in ("linkat", "rename", "renameat", "renameat2") and shard in arguments:
            names.append(number)
    if not (file_writes and names):
        return ["nothing was published"]
    found = []
    if not any(max(file_writes) < number < min(names) for number in file_syncs):
        found.append("the file has a name before its bytes are durable")
    if not any(number > max(names) for number in folder_syncs):
        found.append("the name is not durable")
    return found


def successes(lines: list[str]) -> list[tuple[str, str]]:
    """The (call, arguments) that did not fail, in their order."""
    matches = (_CALL.match(text) for text in lines)
    return [(match[1], match[2]) for match in matches if match and not match[3].startswith("-")]


def attempts(lines: list[str], call: str) -> int:
    """How often a call was made, whatever came of it."""
    return sum(1 for text in lines if re.match(rf"^(?:\d+ +)?{call}\(", text))
