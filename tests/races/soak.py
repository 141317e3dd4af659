"""Everybody does everything at once, for as long as asked: `python -m tests.races.soak [SECONDS]`.

Rounds of a minute, each with users of its own. After each no answer may be unexplained, no request may have failed,
nothing may have leaked, and the workers must hold no more than after the first: memory, descriptors, staged files.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

import psutil
import pytest

from blobstore.core import removal
from tests.crash.judging import Harm
from tests.crash.places import emptied, postgresql
from tests.crash.table import Outcome, Scenario, table
from tests.crash.tally import Tally
from tests.races import bugs
from tests.races.clients import final_look
from tests.races.place import Place, opened
from tests.races.stress import Hammer, tidied
from tests.served import eventually

CLIENTS = 32
ROUND_SECONDS = 60
ROOM_BYTES = 8 << 20
"""What the memory of a worker may grow by: an allocator does not give everything back."""
POOL = 10
"""Descriptors that a worker may come to hold: connections to the database, of which it opens as many as it needs."""
BLIND_ROUNDS = 5


@dataclass(frozen=True)
class Held:
    """What the workers hold while nobody asks for anything."""

    workers: int
    memory_bytes: int
    descriptors: int
    staged: int

    @classmethod
    def by(cls, place: Place) -> Held:
        """As of now."""
        workers = psutil.Process(place.service.process.pid).children()
        links = [link for worker in workers for link in _descriptors(worker)]
        store = place.store.settings.store
        nameless = [link for link in links if link.startswith(f"{store}/") and link.endswith("(deleted)")]
        memory = sum(worker.memory_full_info().uss for worker in workers)
        return cls(len(workers), memory, len(links), len(nameless) + len(list((store / "tmp").iterdir())))

    def beyond(self, first: Held) -> Iterator[str]:
        """What is more than it was, or should be."""
        if self.memory_bytes > first.memory_bytes + ROOM_BYTES * self.workers:
            yield f"memory: {self}, at first {first}"
        if self.descriptors > first.descriptors + POOL * self.workers:
            yield f"descriptors: {self}, at first {first}"
        if self.staged:
            yield f"staged: {self}"

    def __str__(self) -> str:
        return f"{self.memory_bytes / (1 << 20):.1f} MiB, {self.descriptors} descriptors, {self.staged} staged"


def _descriptors(worker: psutil.Process) -> Iterator[str]:
    for descriptor in Path(f"/proc/{worker.pid}/fd").iterdir():
        with suppress(FileNotFoundError):
            yield str(descriptor.readlink())


def at_rest(place: Place) -> Held:
    """When nothing is on its way any more: two looks, a second apart, find the same."""
    looks: list[Held] = []

    def settled() -> Held | None:
        looks.append(Held.by(place))
        time.sleep(1)
        same = [two for two in pairwise(looks[-2:]) if two[0].descriptors == two[1].descriptors]
        return looks[-1] if same and not looks[-1].staged else None

    return eventually(settled)


@dataclass
class Soak:
    """Rounds on one place, counted together."""

    place: Place
    tally: Tally
    answers: Counter[str] = field(default_factory=Counter)
    rounds: int = 0
    upkeeps: int = 0
    held: list[Held] = field(default_factory=list)
    """After each round."""

    def round(self, seconds: float) -> Outcome:
        """Hammer for so long, judge it, and remove its users."""
        seed, name = CLIENTS * self.rounds, f"round{self.rounds}-"
        hammer = Hammer(self.place.service, self.place.store, CLIENTS, seed, name=name)
        harm = Harm()
        try:
            with hammer.running():
                time.sleep(seconds)
        except AssertionError as error:
            harm.corrupt.add(str(error))
        final_look(self.place.service.port, hammer.users, hammer.history)
        harm.lost |= set(hammer.history.violations())
        answers = hammer.history.answers
        harm.leaked |= {f"{count} × {said}" for said, count in answers.items() if _status(said) not in (200, 201, 404)}
        harm.note(tidied(self.place.store))
        for name in hammer.names:
            removal.remove_account(self.place.store, name)
        self.rounds += 1
        self.upkeeps += hammer.rounds
        self.answers += answers
        self.held.append(at_rest(self.place))
        harm.leaked |= set(self.held[-1].beyond(self.held[0]))
        return self.tally.count(harm, f"round {self.rounds}: ", cases=answers.total(), remark=self._remark())

    def _remark(self) -> str:
        return (
            f"{CLIENTS} clients, {self.rounds} rounds, {self.upkeeps} × upkeep without grace; workers after the first "
            f"round {self.held[0]}, after the last {self.held[-1]}"
        )


def _status(said: str) -> int:
    return int(said.rpartition(" ")[2])


def run(folder: Path, seconds: int) -> Iterator[Outcome]:
    """At least two rounds; then some with a sweep that takes what is claimed too."""
    with postgresql(folder) as url:
        yield from soak(folder, url, seconds)
        with pytest.MonkeyPatch.context() as patch, opened(folder / "planted", emptied(url)) as place:
            for plant in bugs.TAKES_WHAT_IS_CLAIMED:
                plant(patch, None)
            blind = Soak(place, Tally("everything at once, a sweep that takes what is claimed", self_test=True))
            for _ in range(BLIND_ROUNDS):
                outcome = blind.round(5)
                yield outcome
                if outcome.passed:
                    return


def soak(folder: Path, url: str, seconds: int) -> Iterator[Outcome]:
    """Rounds for so many seconds."""
    count = max(round(seconds / ROUND_SECONDS), 2)
    with opened(folder / "data", url) as place:
        rounds = Soak(place, Tally("everything at once"))
        for _ in range(count):
            yield rounds.round(seconds / count)


SCENARIO = Scenario(run, full=600, quick=20)
"""Its cases are seconds; what it counts are answers."""


def main() -> int:
    """Print the table, and how it stands after every round; 0 when nothing was found."""
    parser = argparse.ArgumentParser(prog="python -m tests.races.soak", description="Everything at once, for long.")
    parser.add_argument("seconds", type=int, nargs="?", default=3600)
    asked = parser.parse_args()
    last: list[Outcome] = []
    with tempfile.TemporaryDirectory(prefix="blobstore-soak-") as name, postgresql(Path(name)) as url:
        for outcome in soak(Path(name), url, asked.seconds):
            print(outcome.line, file=sys.stderr, flush=True)
            last = [outcome]
    print(table(last))
    return 0 if all(outcome.passed for outcome in last) else 1


if __name__ == "__main__":
    sys.exit(main())
