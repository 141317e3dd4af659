"""Children of the tests, and the embedded PostgreSQL as they see it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import psycopg2
import pytest

from blobstore import embedded

HANG_SECONDS = 60
NOBODY = 65534
NAMELESS = 51234
"""A uid that no line of /etc/passwd has."""
BEGIN = "url = embedded.start(data, '18', durable=False)"
IMPORTS = "import sys; from pathlib import Path; from blobstore import embedded; data = Path(sys.argv[1]); "


def python(statements: str, data: Path, *, uid: int | None = None) -> subprocess.Popen[str]:
    """A Python in a group of its own, perhaps as another user, that runs the statements about the folder `data`."""
    mine = uid is None or uid == os.geteuid()
    command = [sys.executable if mine else others_python(), "-c", IMPORTS + statements, str(data)]
    return run(command, os.geteuid() if uid is None else uid)


def run(command: list[str], uid: int) -> subprocess.Popen[str]:
    """A child in a group of its own, as any user."""
    paths = [str(Path(embedded.__file__).parents[1]), sysconfig.get_path("purelib"), sysconfig.get_path("platlib")]
    environ = {"PATH": os.environ["PATH"], "PYTHONPATH": os.pathsep.join(paths), "PYTHONDONTWRITEBYTECODE": "1"}
    options: dict[str, object] = {} if uid == os.geteuid() else {"user": uid, "group": uid, "extra_groups": []}
    return subprocess.Popen(  # type: ignore[call-overload,no-any-return]
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        cwd="/",
        env=environ,
        process_group=0,
        **options,
    )


def others_python() -> str:
    """A Python that other users may run and that can load our packages; root's own is often in root's home."""
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    for path in (sys.executable, shutil.which(version, path="/usr/local/bin:/usr/bin")):
        try:
            if path and run([path, "-c", "import psycopg2, psutil, blobstore"], NOBODY).communicate()[0] == "":
                return path
        except PermissionError:
            continue
    pytest.skip(f"no {version} that another user may run")


def starter(data: Path, then: str = "") -> tuple[subprocess.Popen[str], str]:
    """A parent of the server, which does nothing more until its input ends, and the server's address."""
    parent = python(f"{BEGIN}{then}; print(url, flush=True); sys.stdin.read()", data)
    assert parent.stdout is not None
    return parent, parent.stdout.readline().strip()


def output(child: subprocess.Popen[str]) -> str:
    """What it printed until its end, which has to be a good one."""
    printed, _ = child.communicate(timeout=HANG_SECONDS)
    assert child.returncode == 0, printed
    return printed.strip()


def query(url: str, statement: str) -> list[tuple[object, ...]]:
    """Run one statement and commit it; its rows."""
    connection = psycopg2.connect(url.replace("+psycopg2", "", 1))
    try:
        with connection, connection.cursor() as cursor:
            cursor.execute(statement)
            return cursor.fetchall() if cursor.description else []
    finally:
        connection.close()


def postmaster(data: Path) -> psutil.Process:
    """The server's first process."""
    return psutil.Process(int((data / "postgres" / "postmaster.pid").read_text().split()[0]))


def lives(process: psutil.Process) -> bool:
    """Whether it runs; one that only nobody has reaped yet does not."""
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def until(condition: Callable[[], object], seconds: float = HANG_SECONDS) -> None:
    """Wait for it; the deadline only guards against a hang."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it never came true"
        time.sleep(0.005)
