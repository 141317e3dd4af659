"""A hundred wrong passwords a second (L6): what users feel who are remembered, and those who log in."""

from __future__ import annotations

import http.client
import os
import subprocess
import sys
import time
from base64 import b64encode
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from statistics import median
from threading import Event, Thread

from sqlalchemy import make_url

from bench import database, loads
from bench.plan import Plan
from bench.report import Row
from bench.running import Server
from bench.servers import PASSWORD, ROOT, add_many, blobstore, direct
from blobstore import embedded

RATE = 100
FIRST = 20_000
"""Users who log in for the first time, each of them once."""
ADDRESS = "127.0.0.9"
KINDS = {
    "one": "one account",
    "many": "as many accounts",
    "everywhere": "as many accounts, from 64 addresses",
}
"""What `bench.guesses` does, and how it is called here."""
SAMPLE_SECONDS = 0.05
_PATH = "/api/v1/me/quota"


@dataclass(frozen=True)
class Felt:
    """One round: p99s in milliseconds, how many of the first logins were refused, how many threads computed at once."""

    remembered: float
    first: float
    asked: int
    refused: int
    computing: int


def flood(plan: Plan) -> Iterator[Row]:
    """Guesses at one account, whose limit stops them soon; at as many, which are stopped by that of their address; and
    from many addresses, whose only limit is that of all: then nobody who is not remembered is spared."""
    with blobstore(plan.folder / "flood") as server:
        with direct(server.folder) as store:
            add_many(store, "first", FIRST)
        numbers = count(1)
        loads.get(server.url + _PATH, plan.seconds, authorized=True, connections=2)
        for at, what in KINDS.items():
            rounds = [[_round(plan, server, numbers, given) for given in (None, at)] for _ in range(plan.repeats)]
            yield from _rows(what, [alone for alone, _ in rounds], [beside for _, beside in rounds])


def _rows(what: str, alone: list[Felt], beside: list[Felt]) -> Iterator[Row]:
    guesses = f"{RATE} guesses a second at {what}"
    for felt, of in (("remembered", "a GET with a remembered password"), ("first", "a first login")):
        ours, theirs = (median(getattr(one, felt) for one in rounds) for rounds in (beside, alone))
        yield Row(f"p99 of {of} beside {guesses}", ours, "ms", "alone", theirs, "< 2")
    refused, asked = sum(one.refused for one in beside), sum(one.asked for one in beside)
    yield Row(f"first logins refused beside {guesses}", refused, "", "asked", asked, "0")
    most = max(one.computing for one in beside)
    yield Row(f"threads that compute at once beside {guesses}", most, "", "cores", os.cpu_count(), "≤ 1")


def _round(plan: Plan, server: Server, numbers: count[int], at: str | None) -> Felt:
    """Both measurements, each beside a flood of its own that begins with no failure counted."""
    with _flooding(plan, server, at) as most:
        remembered = loads.get(server.url + _PATH, plan.seconds, authorized=True, connections=2).p99_milliseconds
    computing = most()
    with _flooding(plan, server, at) as most:
        took, refused = _log_in(server, numbers, plan.seconds)
    return Felt(remembered, _p99(took), len(took) + refused, refused, max(computing, most()))


def _log_in(server: Server, numbers: count[int], seconds: float) -> tuple[list[float], int]:
    """The milliseconds of first logins, one after the other, and how many were refused."""
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60, source_address=(ADDRESS, 0))
    took, refused, end = [], 0, time.monotonic() + seconds
    while (started := time.monotonic()) < end:
        shown = b64encode(f"first{next(numbers)}:{PASSWORD}".encode()).decode()
        connection.request("GET", _PATH, headers={"Authorization": f"Basic {shown}"})
        answer = connection.getresponse()
        answer.read()
        if answer.status == 200:
            took.append((time.monotonic() - started) * 1000)
        refused += answer.status != 200
    return took, refused


def _p99(took: list[float]) -> float:
    return sorted(took)[len(took) * 99 // 100]


@contextmanager
def _flooding(plan: Plan, server: Server, at: str | None) -> Iterator[Callable[[], int]]:
    """Guesses as long as the block, and what tells the most threads that computed at once; none without `at`."""
    database.say(make_url(embedded.address(server.folder)), "DELETE FROM rate_limits")
    over, seen = Event(), [0]
    watching = Thread(target=_watch, args=(server, over, seen))
    command = [sys.executable, "-m", "bench.guesses", str(server.port), str(RATE), str(plan.seconds + 2), at or ""]
    guessing = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) if at else None
    watching.start()
    try:
        time.sleep(1)
        yield lambda: seen[0]
    finally:
        over.set()
        watching.join()
        if guessing:
            said = guessing.communicate(timeout=plan.seconds + 120)[0]
            print("  guesses:", ", ".join(said.splitlines()), file=sys.stderr)


def _watch(server: Server, over: Event, seen: list[int]) -> None:
    """All threads of the workers but the first of each, which is the event loop's."""
    pids = [worker.pid for worker in server.workers()]
    while not over.wait(SAMPLE_SECONDS):
        seen[0] = max(seen[0], sum(map(_computing, pids)))


def _computing(pid: int) -> int:
    """How many of them run or wait for a core."""
    running = 0
    for task in Path(f"/proc/{pid}/task").iterdir():
        with suppress(OSError):
            state = (task / "stat").read_text(encoding="ascii").rpartition(")")[2].split()[0]
            running += state == "R" and task.name != str(pid)
    return running
