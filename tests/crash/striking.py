"""Children that are struck at their system calls, one at each: the points, the tally, and what all strikes share."""

from __future__ import annotations

import re
import sys
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path

from blobstore.environment import load
from tests.conftest import SECRET_KEY
from tests.crash.judging import Harm, Promised
from tests.crash.operations import Operation
from tests.crash.peer import VERBS
from tests.crash.scene import Peer, Scene, opened
from tests.crash.table import Outcome
from tests.crash.tally import Tally
from tests.crash.tracing import attached

FORGET = """
WITH gone AS (DELETE FROM files RETURNING id), unclaimed AS (DELETE FROM claims RETURNING digest)
UPDATE users SET used_bytes = 0, logical_bytes = 0, file_count = 0, content_count = 0 RETURNING id
"""
_CALL = re.compile(r"^\d+ +(\w+)\(", re.MULTILINE)

Strike = Callable[["Point", bool], Harm | None]
"""Strikes at a point in one of two ways; what is wrong then, None when the point was not reached."""


@dataclass(frozen=True)
class Point:
    """Where a child is struck: at the Nth call of a name, or at the Nth passage of a failpoint."""

    operation: str
    name: str
    turn: int
    is_call: bool

    def __str__(self) -> str:
        return f"{self.operation}, {self.name} {self.turn}"


@dataclass
class Strikes(Tally):
    """A tally with the points that were reached, in their order."""

    reached: dict[Point, None] = field(default_factory=dict)

    def add(self, point: Point, harm: Harm) -> Outcome:
        """One strike more."""
        self.reached[point] = None
        return self.count(harm, f"{point}: ", remark=f"{len(self.reached)} points")

    def listing(self) -> Iterator[str]:
        """The points, a line for each operation."""
        by_name: dict[str, dict[str, list[int]]] = defaultdict(lambda: defaultdict(list))
        for point in self.reached:
            by_name[point.operation][point.name].append(point.turn)
        for operation, names in by_name.items():
            count = sum(map(len, names.values()))
            yield f"{operation}, {count}: " + ", ".join(f"{name} {_span(turns)}" for name, turns in names.items())


def _span(turns: list[int]) -> str:
    first, last = turns[0], turns[-1]
    if last - first == len(turns) - 1:
        return f"{first}-{last}" if last > first else f"{first}"
    return " ".join(map(str, turns))


class Striker:
    """Strikes children on one scene; the log of strace is in `folder`."""

    def __init__(self, scene: Scene, folder: Path) -> None:
        self.scene, self.log = scene, folder / "strace"

    def calls(self, name: str, operation: Operation) -> list[Point]:
        """Every call that the operation makes when nothing strikes it; the store is empty again afterwards."""
        promised = operation.prepare(self.scene)
        arguments = operation.arguments(self.scene)
        with self.scene.peer.held(operation.verb, operation.changed, **arguments) as child:
            with attached(child.pid, self.log, operation.calls):
                ended = child.go()
        assert (ended.signal, ended.failed) == (0, None), ended
        operation.acknowledge(self.scene, promised)
        harm = promised.look_after_upkeep(self.scene)
        assert not harm, f"{name}: {harm}"
        self.empty()
        counted = Counter(_CALL.findall(self.log.read_text()))
        # Of the calls with a descriptor the one that is about memory, and is made or not as the allocator likes.
        counted.pop("mmap", None)
        return [Point(name, call, turn, True) for call in sorted(counted) for turn in range(1, counted[call] + 1)]

    def empty(self) -> Harm:
        """Everybody deletes everything; whatever is left is harm, and goes by force."""
        for owner, digest in self.scene.ask("SELECT DISTINCT owner_id, digest FROM files WHERE ready_at IS NOT NULL"):
            VERBS["delete"](self.scene.store, owner=owner, digest=digest)
        harm = Promised(set()).look_after_upkeep(self.scene)
        if harm:
            self.scene.ask(FORGET)
            self.scene.ask("DELETE FROM blobs RETURNING digest")
            for path in self.scene.store.settings.store.glob("??/*"):
                path.unlink()
        return harm


@contextmanager
def playing(folder: Path, url: str) -> Iterator[Scene]:
    """A scene in the folder, on a database that has no users yet."""
    data = folder / "data"
    data.mkdir()
    settings = load({"DATABASE_URL": url, "BLOBSTORE_DATA": str(data), "SECRET_KEY": SECRET_KEY}, None)
    peer = Peer(settings)
    try:
        with opened(settings, peer) as scene:
            yield scene
    finally:
        peer.end()


def all_calls(striker: Striker, operations: dict[str, Operation]) -> list[Point]:
    """Every call of every operation."""
    return list(chain.from_iterable(striker.calls(name, operation) for name, operation in operations.items()))


def strike_all(
    tally: Strikes, points: list[Point], cases: int, ways: tuple[bool, ...], strike: Strike
) -> Iterator[Outcome]:
    """Strike in both ways at each point while there are cases enough; else in one, at as many, evenly spread."""
    whole = cases >= len(ways) * len(points)
    step = 1 if whole else max(len(points) // cases, 1)
    tally.planned = len(points[::step]) * (len(ways) if whole else 1)
    for number, point in enumerate(points[::step]):
        for way in ways if whole else (ways[number % len(ways)],):
            harm = strike(point, way)
            if harm is not None:
                yield tally.add(point, harm)
    if not tally.self_test:
        print(f"{tally.scenario}:", *tally.listing(), sep="\n  ", file=sys.stderr)
