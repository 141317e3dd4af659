"""Blocking calls in the hub's threadpool: what fails there, and what is left when there is no thread."""

from __future__ import annotations

import errno
import subprocess
import sys
from pathlib import Path

import pytest

from tests.served import environment

GREEN = "from gevent import monkey; monkey.patch_all()\nfrom blobstore.offload import compute, offload\n"
FAILS = """
from blobstore.errors import StorageFull
def full(): raise StorageFull("no space")
try: offload(full)
except StorageFull as error: print(error.detail)
"""
NO_THREAD = """
import resource, psutil
from blobstore.errors import Busy
used = psutil.Process().memory_info().vms
resource.setrlimit(resource.RLIMIT_AS, (used + (2 << 20), resource.RLIM_INFINITY))
try: offload(int, "7")
except Busy as error: print(error.detail)
resource.setrlimit(resource.RLIMIT_AS, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
print(offload(str, 5))
"""

POLITE = """
import os
ask = (os.getpriority, os.PRIO_PROCESS, 0)
print(compute(*ask) > offload(*ask) == ask[0](*ask[1:]))
try: compute(int, "x")
except ValueError: print("raised")
"""


def test_what_computes_yields_to_the_others(tmp_path: Path) -> None:
    """A flood of passwords would take the cores from the requests that need none of them."""
    assert _ran(tmp_path, POLITE) == ("True\nraised\n", "")


@pytest.mark.parametrize(
    ("statements", "printed"), [(FAILS, "no space\n"), (NO_THREAD, "no thread is left for this request\n5\n")]
)
def test_a_failure_is_its_callers_alone(tmp_path: Path, statements: str, printed: str) -> None:
    """A full disk would fill the log with stacks, and a lack of threads would be an error of ours."""
    assert _ran(tmp_path, statements) == (printed, "")


LOGS_NOTHING = """
import errno, logging
from blobstore.storage.staging import trouble
def fails():
    with trouble("open", "/x"): raise OSError(errno.EIO, "broken")
logging.getLogger().addHandler(handler := logging.StreamHandler())
handler.acquire()
try: offload(fails)
except Exception as error: print(*error.__notes__)
"""


def test_a_thread_of_the_pool_waits_for_no_lock_of_the_log(tmp_path: Path) -> None:
    """It would make an event loop of its own, for which there may be no descriptors, and libev would end the worker."""
    assert _ran(tmp_path, LOGS_NOTHING) == (f"cannot open /x: [Errno {errno.EIO}] broken\n", "")


def _ran(folder: Path, statements: str) -> tuple[str, str]:
    """What these statements say on both outputs, in a process with gevent."""
    command = [sys.executable, "-c", GREEN + statements]
    done = subprocess.run(command, check=False, capture_output=True, text=True, env=environment(folder), timeout=60)
    return done.stdout, done.stderr
