"""Power cuts, a few; `make faults` makes hundreds."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from signal import SIGINT, SIGKILL, Signals
from tempfile import TemporaryDirectory

import pytest

from tests.children import HANG_SECONDS, run
from tests.crash.books import DIGESTS, Books
from tests.crash.churn import CONTENTS, WEAKNESSES
from tests.crash.machine import guard, missing
from tests.crash.peer import caller
from tests.crash.power import POINTS, cuts
from tests.crash.test_points import DELETING, KEEPING, RECEIVING, SWEEPING

FILESYSTEMS = [
    pytest.param(name, marks=pytest.mark.skipif(bool(missing(name)), reason=missing(name) or "-"))
    for name in ("ext4", "xfs")
]


@pytest.fixture
def folder() -> Iterator[Path]:
    """An empty folder whose name is short enough for a socket, and in which nothing is mounted in the end."""
    with TemporaryDirectory(prefix="blobstore-") as name:
        yield Path(name)
        assert _left(Path(name)) == []


def _left(folder: Path) -> list[str]:
    """What is mounted in a folder, and the loop devices of its files."""
    loops = subprocess.run(["losetup", "--noheadings", "--output", "BACK-FILE"], check=True, capture_output=True)
    found = [*Path("/proc/self/mounts").read_text().splitlines(), *loops.stdout.decode().splitlines()]
    return [line for line in found if str(folder) in line]


@pytest.mark.parametrize("filesystem", FILESYSTEMS)
def test_a_power_cut_loses_nothing(folder: Path, filesystem: str) -> None:
    """If this failed, an upload or a delete that was acknowledged would be undone, or leave something for ever."""
    *_, outcome = cuts(filesystem, folder / "machine", 3, disks=1 if filesystem == "xfs" else 2)
    assert outcome.passed, outcome.line


@pytest.mark.parametrize("filesystem", FILESYSTEMS[:1])
def test_what_is_not_synced_is_missed(folder: Path, filesystem: str) -> None:
    """If this failed, the cuts would take nothing away, or nobody would look."""
    running = cuts(filesystem, folder / "machine", 10, weakness=WEAKNESSES[0])
    assert any(outcome.passed for outcome in running)


DIES = """
import os, signal, sys
from pathlib import Path
from random import Random
from tests.crash.machine import LOG_LOST, machine
with machine(Path(sys.argv[1]), "ext4", disks=2) as computer:
    computer.on()
    computer.cut(LOG_LOST, Random())
    os.kill(os.getpid(), int(sys.argv[2]))
    signal.pause()
"""


@pytest.mark.parametrize("end", [SIGINT, SIGKILL])
@pytest.mark.parametrize("filesystem", FILESYSTEMS[:1])
def test_a_run_that_dies_leaves_nothing(folder: Path, filesystem: str, end: Signals) -> None:
    """If this failed, ^C or a kill would leave mounted disks and a PostgreSQL on them."""
    child = run([sys.executable, "-c", DIES, str(folder / "machine"), str(end.value)], os.geteuid())
    # Whoever clears away inherited the output: it ends when everything is gone.
    child.communicate(timeout=HANG_SECONDS)
    assert child.returncode == -end
    assert list(folder.iterdir()) == []
    assert _left(folder) == []


def test_only_our_own_disk_is_stopped(folder: Path) -> None:
    """If this failed, a mount that did not happen would stop the disk of whoever runs the tests."""
    for place in (folder, Path("/"), Path("/proc")):
        root = os.open(place, os.O_RDONLY)
        with pytest.raises(RuntimeError, match="not shut down"):
            guard(root, place)
        os.close(root)


def test_books_know_what_was_promised() -> None:
    """If this failed, a loss would pass for an answer that never came, or the other way round."""
    books = Books([caller(1)])
    told = {
        1: ["upload", "uploaded"],
        2: ["upload", "uploaded", "upload"],
        3: ["upload", "uploaded", "delete"],
        4: ["upload", "uploaded", "delete", "deleted"],
        5: ["upload"],
    }
    for number, words in told.items():
        for word in words:
            books.note((0, number, word))
    assert books.held(0) == {1, 2}
    assert books.answered == 5
    with pytest.raises(RuntimeError, match="trouble"):
        books.note((0, 0, "trouble: it fell"))


def test_contents_are_told_apart() -> None:
    """If this failed, one owner's two contents would be one file, and its loss not be seen."""
    assert len(set(DIGESTS)) == CONTENTS


def test_the_power_goes_at_every_point() -> None:
    """If this failed, a failpoint that was renamed or added would never be a moment at which the power goes."""
    named = (*RECEIVING, *KEEPING, *SWEEPING, *DELETING)
    assert set(POINTS) == {point.rpartition("*")[2] for point in named}
