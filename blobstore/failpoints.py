"""Named places to die, fail or wait, for the crash tests. No-ops unless `BLOBSTORE_FAILPOINTS` is set.

`BLOBSTORE_FAILPOINTS=name=action[;name=action]…`, where an action is

    kill              kill -9 this very process
    errno:ENOSPC      raise OSError with that errno
    sleep:SECONDS     sleep
    wait:PATH         create PATH.reached, then wait until PATH exists
    N*action          the same, at the Nth passage only (from 1)

The variable is read once, when the first failpoint is passed.
"""

from __future__ import annotations

import errno
import os
import signal
import time
from collections import Counter
from functools import cache
from pathlib import Path

_passed: Counter[str] = Counter()


@cache
def _actions() -> dict[str, str]:
    text = os.environ.get("BLOBSTORE_FAILPOINTS", "")
    return dict(item.split("=", 1) for item in text.split(";") if item)


def failpoint(name: str) -> None:
    """Do what was asked for `name`, if anything was. Raises OSError for `errno:`."""
    action = _actions().get(name)
    if action is None:
        return
    _passed[name] += 1
    turn, star, rest = action.partition("*")
    if star:
        if _passed[name] != int(turn):
            return
        action = rest
    _act(*action.partition(":")[::2])


def _act(verb: str, argument: str) -> None:
    match verb:
        case "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        case "errno":
            code = getattr(errno, argument)
            raise OSError(code, os.strerror(code))
        case "sleep":
            time.sleep(float(argument))
        case "wait":
            Path(argument + ".reached").touch()
            while not Path(argument).exists():
                time.sleep(0.005)
        case _:
            raise ValueError(f"BLOBSTORE_FAILPOINTS: unknown action {verb!r}")
