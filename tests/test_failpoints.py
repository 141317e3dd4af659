"""Failpoints: each action, in a process of its own, because the variable is read once."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

A_MINUTE = 60
PROGRAM = """
import sys
from blobstore.failpoints import failpoint
for number in range(1, 4):
    try:
        failpoint("here")
    except OSError as error:
        print("errno", error.errno)
    else:
        print("passed", number, flush=True)
    failpoint("elsewhere")
"""


def start(setting: str | None) -> subprocess.Popen[str]:
    """The program above, under way."""
    environment = {name: value for name, value in os.environ.items() if name != "BLOBSTORE_FAILPOINTS"}
    if setting is not None:
        environment["BLOBSTORE_FAILPOINTS"] = setting
    return subprocess.Popen(
        [sys.executable, "-c", PROGRAM], env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )


def ended(setting: str | None) -> tuple[int, list[str], str]:
    """Its return code, its lines and its errors."""
    with start(setting) as process:
        try:
            printed, errors = process.communicate(timeout=A_MINUTE)
        finally:
            process.kill()
    return process.returncode, printed.splitlines(), errors


@pytest.mark.parametrize("setting", [None, "", "another=kill", "another=kill;third=errno:EIO"])
def test_nothing_happens_unless_asked_for(setting: str | None) -> None:
    """If this failed, a service would die or fail in production."""
    assert ended(setting) == (0, ["passed 1", "passed 2", "passed 3"], "")


def test_kill_kills_at_once() -> None:
    """If this failed, crash tests would test an orderly exit."""
    code, lines, _ = ended("here=kill")
    assert (code, lines) == (-signal.SIGKILL, [])


def test_only_the_chosen_turn() -> None:
    """If this failed, a crash test would strike at another passage than it says."""
    code, lines, _ = ended("here=2*kill")
    assert (code, lines) == (-signal.SIGKILL, ["passed 1"])
    assert ended("here=3*errno:EIO")[1] == ["passed 1", "passed 2", "errno 5"]
    assert ended("here=9*kill")[0] == 0


def test_errno_raises_that_error() -> None:
    """If this failed, a full disk or a broken one could not be tested."""
    assert ended("here=errno:ENOSPC")[1] == ["errno 28"] * 3


def test_several_points_in_one_setting() -> None:
    """If this failed, two faults could not meet in one test."""
    code, lines, _ = ended("here=1*errno:EIO;elsewhere=2*kill")
    assert (code, lines) == (-signal.SIGKILL, ["errno 5", "passed 2"])


def test_wait_waits_for_its_file(tmp_path: Path) -> None:
    """If this failed, an interleaving could not be held still to look at it."""
    go, reached = tmp_path / "go", tmp_path / "go.reached"
    with start(f"here=2*wait:{go}") as process:
        try:
            deadline = time.monotonic() + A_MINUTE
            while not reached.exists():
                assert time.monotonic() < deadline
                time.sleep(0.005)
            assert process.poll() is None
            go.touch()
            printed, _ = process.communicate(timeout=A_MINUTE)
        finally:
            process.kill()
    assert printed.splitlines() == ["passed 1", "passed 2", "passed 3"]


def test_sleep_goes_on_afterwards() -> None:
    """If this failed, a slow disk could not be tested."""
    assert ended("here=sleep:0.01")[1] == ["passed 1", "passed 2", "passed 3"]


@pytest.mark.parametrize("setting", ["here=explode", "here=", "here=errno:ENOTHING", "here"])
def test_a_misspelled_action_is_loud(setting: str) -> None:
    """If this failed, a crash test would pass because nothing ever crashed."""
    code, lines, errors = ended(setting)
    assert (code, lines) == (1, [])
    assert "Error" in errors
