"""A service with next to nothing: workers with 64 descriptors, and workers with 256 MiB of memory.

The workers are born under the limit, and then more clients come than they have room for:

    whoever is refused is told so with 503; nothing is called an error of ours, and no right password a wrong one
    no worker dies of it
    when the clients are gone the service works as before, and has everything that it acknowledged
"""

from __future__ import annotations

import base64
import resource
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil

from blobstore.core import accounts
from tests.children import until
from tests.conftest import PASSWORD
from tests.crash.judging import Harm
from tests.crash.places import Place, Reply, postgresql, serving
from tests.crash.table import Outcome, Scenario
from tests.crash.tally import Tally
from tests.storage.contract import sample

CLIENTS = 100
ACCOUNTS = 20
DESCRIPTORS, MEMORY_BYTES = 64, 256 << 20
LARGE_BYTES = 10 << 20
"""As JSON a body that must be in memory as a whole, several times over."""
SELF_TEST_CASES = 400
SERVED = {"MALLOC_ARENA_MAX": 2}
"""What `blobstore serve` sets."""
TOLD = {200, 201, 503}
BUG = "a publish that failed taken for a good one"


class Crowd:
    """Clients that each send something else; `answers` are counted.

    An upload that is refused before it is read may find its connection gone, and no answer: status 0.
    """

    def __init__(self, place: Place) -> None:
        self._place = place
        self.answers: Counter[str] = Counter()

    def send(self, number: int, verb: Callable[[int], Reply]) -> None:
        reply = verb(number)
        self.answers[f"{verb.__name__} {reply.status}"] += 1
        told = reply.status in TOLD or (reply.status == 0 and verb in (self.small, self.large))
        assert told, f"{verb.__name__}: {reply}\n{self._place.logged(reply)}"
        if reply.status == 503:
            assert int(reply.headers["retry-after"]) > 0

    def small(self, number: int) -> Reply:
        return self._place.upload(sample(200_000, f"small {number}"), ("raw", "a form", "chunked")[number % 3])

    def large(self, number: int) -> Reply:
        return self._place.upload(sample(1000, f"large {number}") * (LARGE_BYTES // 1000), "JSON")

    def login(self, number: int) -> Reply:
        name = base64.b64encode(f"user{number % ACCOUNTS}:{PASSWORD}".encode()).decode()
        return self._place.ask("GET", "/api/v1/me", Authorization=f"Basic {name}")

    def download(self, number: int) -> Reply:
        return self._place.ask("GET", f"/{next(iter(self._place.kept))}")


def _few_descriptors(process: psutil.Process) -> None:
    process.rlimit(resource.RLIMIT_NOFILE, (DESCRIPTORS, DESCRIPTORS))


def _little_memory(process: psutil.Process) -> None:
    process.rlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))


def confine(place: Place, limit: Callable[[psutil.Process], None]) -> set[int]:
    """Replace the workers by others, which are born under the limit; their numbers, once they answer."""
    limit(psutil.Process(place.running.process.pid))
    before = place.workers()
    for worker in before:
        worker.kill()
    until(lambda: len(set(place.workers()) - set(before)) == len(before))
    born = {worker.pid for worker in place.workers()} - {worker.pid for worker in before}
    # Each of them has to answer once; who accepts a connection is up to the kernel.
    until(lambda: place.ask("GET", "/health").status == 200)
    return born


def press(place: Place, cases: int, verbs: list[str]) -> tuple[Harm, str]:
    """So many requests, CLIENTS at a time; what is wrong when they are over, and what they were told."""
    crowd = Crowd(place)
    assert place.upload(sample(1000, "the first")).status == 201
    chosen = [getattr(crowd, verb) for verb in verbs]
    with ThreadPoolExecutor(CLIENTS) as pool:
        for sent in [pool.submit(crowd.send, number, chosen[number % len(chosen)]) for number in range(cases)]:
            sent.result()
    until(lambda: place.upload(sample(1000, "the last")).status in (200, 201))
    return place.look_after_upkeep(), ", ".join(f"{count} {answer}" for answer, count in sorted(crowd.answers.items()))


KINDS = {
    f"workers with {DESCRIPTORS} descriptors": (_few_descriptors, ["small", "small", "download", "login"]),
    f"workers with {MEMORY_BYTES >> 20} MiB": (_little_memory, ["small", "large", "download", "login"]),
}


def run_under(place: Place, kind: str, cases: int) -> tuple[Harm, str]:
    """So many requests to workers of that kind, none of which may die."""
    limit, verbs = KINDS[kind]
    for account in range(ACCOUNTS):
        accounts.add(place.store, f"user{account}", PASSWORD)
    born = confine(place, limit)
    found = press(place, cases, verbs)
    assert {worker.pid for worker in place.workers()} == born, "a worker died"
    return found


def run(folder: Path, cases: int) -> Iterator[Outcome]:
    """So many requests under each limit."""
    with postgresql(folder) as url:
        for number, title in enumerate(KINDS):
            tally = Tally(title)
            with serving(folder / str(number), url, **SERVED) as place:
                harm, answers = run_under(place, title, cases)
                yield tally.count(harm, cases=cases, remark=answers)
        tally = Tally(f"workers with {DESCRIPTORS} descriptors, {BUG}", self_test=True)
        with serving(folder / "planted", url, application=f"tests.crash.changes:application({BUG!r})") as place:
            confine(place, _few_descriptors)
            harm, _ = press(place, SELF_TEST_CASES, ["small"])
            yield tally.count(harm, cases=SELF_TEST_CASES)


SCENARIO = Scenario(run, full=4000, quick=400)
