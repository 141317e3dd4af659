"""PostgreSQL stops or is killed under 16 clients, stays away for a while and comes back, over and over.

while it is away everything is answered with 503 and Retry-After, soon
when it is back the same workers go on
the embedded one is started again by the service, and nobody else
whatever was acknowledged is there, whatever was deleted is not, and nothing is charged twice
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

from blobstore import embedded
from blobstore.database import upgrade
from tests.children import postmaster
from tests.crash.judging import Harm
from tests.crash.places import Place, serving, serving_itself
from tests.crash.table import Outcome, Scenario
from tests.crash.tally import Tally
from tests.crash.timed import DEFAULTS, hammering, judge
from tests.live import service

AWAY_SECONDS = 5.0
RESTART_SECONDS = 1.5
"""How long it takes until a PostgreSQL that was killed answers again, or a little more."""
VERSION = "18"
BUG = "commits that are not durable"
TRIES = 30


def kill(data: Path) -> None:
    """Kill all of it at once."""
    server = postmaster(data)
    for process in (server, *server.children(recursive=True)):
        with suppress(psutil.NoSuchProcess):
            process.kill()


def kill_first(data: Path) -> None:
    """Kill only its first process: the others notice, and end by themselves."""
    postmaster(data).kill()


WAYS: tuple[Callable[[Path], None], ...] = (embedded.stop, kill)


@dataclass
class Times:
    """The longest of all outages, in seconds."""

    refusal: float = 0.0
    first: float = 0.0

    def __str__(self) -> str:
        return f"refused within {self.refusal:.1f} s, the first success {self.first:.1f} s after its return"


def outages(folder: Path, cases: int, away_seconds: float = AWAY_SECONDS) -> Iterator[Outcome]:
    """So many outages of a service with the default settings, in both ways by turns."""
    data = folder / "postgresql"
    with embedded.running(data, VERSION) as url:
        upgrade(url)
        with serving(folder / "service", url, **DEFAULTS) as place:
            tally, times = Tally("PostgreSQL stops or is killed, 16 clients", planned=cases), Times()
            for number in range(cases):
                harm = _outage(place, data, f"u{number}-", WAYS[number % 2], away_seconds, times)
                yield tally.count(harm, f"outage {number}: ", remark=str(times))
            workers = {worker.pid for worker in place.workers()}
        assert len(workers) == 2


def _outage(
    place: Place, data: Path, name: str, end: Callable[[Path], None], away_seconds: float, times: Times
) -> Harm:
    with hammering(place, name, tidying=True) as (hammer, watch):
        hammer.answered(100)
        gone = time.monotonic()
        end(data)
        time.sleep(max(gone + away_seconds - time.monotonic(), 0))
        embedded.start(data, VERSION)
        back = time.monotonic()
        hammer.until(lambda: watch.told_since(back))
        hammer.answered(100)
    assert watch.refused(), "nobody noticed"
    times.refusal = max(times.refusal, watch.slowest_refusal())
    times.first = max(times.first, watch.told_since(back)[0])
    return judge(place, hammer, watch)


def revivals(folder: Path, cases: int) -> Iterator[Outcome]:
    """So many kills of a service's own PostgreSQL: the whole of it, and its first process, by turns."""
    tally, longest = Tally("the embedded PostgreSQL is killed, 16 clients", planned=cases), 0.0
    with serving_itself(folder, **DEFAULTS) as place:
        workers = {worker.pid for worker in place.workers()}
        for number in range(cases):
            with hammering(place, f"u{number}-", tidying=True) as (hammer, watch):
                hammer.answered(100)
                server, gone = postmaster(folder), time.monotonic()
                (kill, kill_first)[number % 2](folder)
                hammer.until(lambda server=server: _is_another(server, folder))  # type: ignore[misc]
                back = time.monotonic()
                hammer.until(lambda watch=watch, back=back: watch.told_since(back))  # type: ignore[misc]
                hammer.answered(100)
            assert watch.refused(), "nobody noticed"
            longest = max(longest, watch.longest_wait(gone))
            harm = judge(place, hammer, watch)
            yield tally.count(harm, f"kill {number}: ", remark=f"nobody was served for at most {longest:.1f} s")
        assert {worker.pid for worker in place.workers()} == workers
    yield tally.count(_orphan(folder), cases=0, remark=f"nobody was served for at most {longest:.1f} s")


def ends(folder: Path, cases: int) -> Iterator[Outcome]:
    """So many services that are told to end at some moment after their PostgreSQL was killed: nothing is left of it."""
    tally = Tally("SIGTERM while the embedded PostgreSQL is started again", planned=cases)
    for number in range(cases):
        with service(folder, None, workers=2):
            kill(folder)
            time.sleep(number / cases * RESTART_SECONDS)
        yield tally.count(_orphan(folder), f"stop {number}: ")


def _orphan(data: Path) -> Harm:
    return Harm() if embedded.has_died(data) else Harm(leaked={"a PostgreSQL after the end of its service"})


def _is_another(first: psutil.Process, data: Path) -> bool:
    with suppress(OSError, IndexError, psutil.Error):
        return postmaster(data).pid != first.pid
    return False


def planted(folder: Path, tries: int = TRIES) -> Iterator[Outcome]:
    """The same with commits that PostgreSQL acknowledges before they are written down, until one is missed."""
    data = folder / "postgresql"
    tally = Tally(f"PostgreSQL is killed, {BUG}", self_test=True)
    with embedded.running(data, VERSION) as url:
        upgrade(url)
        application = f"tests.crash.changes:application({BUG!r})"
        with serving(folder / "planted", url, application=application, **DEFAULTS) as place:
            for number in range(tries):
                outcome = tally.count(_outage(place, data, f"u{number}-", kill, 0, Times()))
                yield outcome
                if outcome.lost:
                    return


def run(folder: Path, cases: int) -> Iterator[Outcome]:
    """So many outages of each kind; then those of a service that does not keep its word."""
    yield from outages(folder / "outside", cases)
    yield from revivals(folder / "embedded", cases)
    yield from ends(folder / "ends", cases)
    yield from planted(folder / "planted")


SCENARIO = Scenario(run, full=20, quick=2)
