"""Hashes of passwords: one at a time, a short queue, and a refusal beyond it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from blobstore.core.passwords import DECOY, Verifier, hash_password, is_outdated
from tests.conftest import PASSWORD
from tests.served import environment

FLOOD = """
from gevent import monkey; monkey.patch_all()
import gevent, threading
from blobstore.core import passwords
from blobstore.errors import Busy

running, most, real = 0, 0, passwords._verify
def watched(password_hash, password):
    global running, most
    running += 1; most = max(most, running)
    try: return real(password_hash, password)
    finally: running -= 1
passwords._verify = watched

verifier, known = passwords.Verifier(), passwords.hash_password("sesame-7f3c-open")
def login():
    try: return verifier.verify(known, "sesame-7f3c-open")
    except Busy: return "busy"
ticks = []
def tick():
    while True:
        ticks.append(1); gevent.sleep(0)
gevent.spawn(tick)
jobs = [gevent.spawn(login) for _ in range(12)]
gevent.joinall(jobs)
answers = [job.value for job in jobs]
assert verifier.verify(known, "wrong") is False
print(answers.count(True), answers.count("busy"), most, len(ticks) > 100)
"""

NO_MEMORY = """
import resource, psutil
from blobstore.core import passwords
from blobstore.errors import Busy
known = passwords.hash_password("sesame-7f3c-open")
used = psutil.Process().memory_info().vms
resource.setrlimit(resource.RLIMIT_AS, (used + (2 << 20), resource.RLIM_INFINITY))
verify, make = passwords.Verifier().verify, passwords.hash_password
for call in (lambda: verify(known, "sesame-7f3c-open"), lambda: make("sesame-7f3c-open")):
    try: print(call())
    except Busy: print("busy")
"""


def test_a_hash_fits_its_password_only() -> None:
    """Nobody could log in, or anybody."""
    made = hash_password(PASSWORD)
    assert made.startswith("$argon2id$v=19$m=19456,t=2,p=1$")
    assert Verifier().verify(made, PASSWORD)
    assert not Verifier().verify(made, PASSWORD.upper())
    assert hash_password(PASSWORD) != made


@pytest.mark.parametrize("broken", ["", "x", "$argon2id$", DECOY[:-5], "$2b$12$abcdefghijklmnopqrstuu"])
def test_a_broken_hash_fits_nothing(broken: str) -> None:
    """A damaged row would be an error of ours, or a way in."""
    assert not Verifier().verify(broken, PASSWORD)


def test_an_older_hash_is_outdated() -> None:
    """Cheap hashes would never be replaced."""
    assert is_outdated("$argon2id$v=19$m=8,t=1,p=1$c29tZXNhbHQ$jvkzy3cK5l7M0hI7kRRUjg")
    assert not is_outdated(hash_password(PASSWORD))


def test_a_flood_of_logins_runs_one_at_a_time(tmp_path: Path) -> None:
    """Logins would take every thread and the memory, and stop the other requests of the worker."""
    done = subprocess.run(
        [sys.executable, "-c", FLOOD], check=False, capture_output=True, text=True, env=environment(tmp_path)
    )
    assert done.stdout.split() == ["9", "3", "1", "True"], done.stderr


def test_without_memory_no_password_is_wrong(tmp_path: Path) -> None:
    """When memory is short the right password would be refused, and after ten such logins the account locked."""
    done = subprocess.run(
        [sys.executable, "-c", NO_MEMORY], check=False, capture_output=True, text=True, env=environment(tmp_path)
    )
    assert done.stdout.split() == ["busy", "busy"], done.stderr
