"""kill -9 before every system call, and at every failpoint, of whatever changes the store.

The calls of one run are counted under strace; then one child after another does the same and is killed before its
first openat, its second, its first write …, up to the last call that it makes. After each kill:

    what was acknowledged is served, nothing is corrupt, every invariant holds
    the client asks again, before or after an upkeep without any grace, and is told the truth
    after upkeep there is nothing that nobody has; everybody deletes everything, and nothing at all is left
"""

from __future__ import annotations

import re
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from itertools import chain
from pathlib import Path

from blobstore.settings import load
from tests.children import until
from tests.conftest import SECRET_KEY
from tests.crash.judging import Harm, Promised
from tests.crash.operations import OPERATIONS, Operation
from tests.crash.peer import VERBS
from tests.crash.places import postgresql
from tests.crash.scene import KILL, Ended, Peer, Scene, opened
from tests.crash.table import Outcome, Scenario
from tests.crash.tracing import attached

STORING = {"openat", "flock", "linkat", "renameat", "unlinkat", "copy_file_range", "close"}
"""The calls among which the planted bugs are."""
PLANTED = {
    "recorded before it is published": OPERATIONS["upload"],
    "published in place": OPERATIONS["upload of another's content"],
}
FORGET = """
WITH gone AS (DELETE FROM files RETURNING id), unclaimed AS (DELETE FROM claims RETURNING digest)
UPDATE users SET used_bytes = 0, logical_bytes = 0, file_count = 0, content_count = 0 RETURNING id
"""
_CALL = re.compile(r"^\d+ +(\w+)\(", re.MULTILINE)


@dataclass(frozen=True)
class Point:
    """Where a child dies: before the Nth call of a name, or at the Nth passage of a failpoint."""

    operation: str
    name: str
    turn: int
    is_call: bool

    def __str__(self) -> str:
        return f"{self.operation}, {self.name} {self.turn}"


@dataclass
class Tally:
    """What the kills of one kind have done so far."""

    scenario: str
    self_test: bool = False
    began: float = field(default_factory=time.monotonic)
    reached: dict[Point, None] = field(default_factory=dict)
    cases: int = 0
    lost: int = 0
    corrupt: int = 0
    leaked: int = 0
    first: str = ""
    """The first harm, and where."""

    def add(self, point: Point, harm: Harm) -> Outcome:
        self.reached[point] = None
        self.cases += 1
        self.lost += len(harm.lost)
        self.corrupt += len(harm.corrupt)
        self.leaked += len(harm.leaked)
        if harm and not self.first and not self.self_test:
            self.first = f"; {point}: {harm}"
        remark = f"{len(self.reached)} points{self.first}"
        seconds = time.monotonic() - self.began
        return Outcome(
            self.scenario, self.cases, self.lost, self.corrupt, self.leaked, seconds, remark, self_test=self.self_test
        )

    def listing(self) -> Iterator[str]:
        """The points that were reached, a line for each operation."""
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


class Killer:
    """Kills children on one scene; the log of strace is in `folder`."""

    def __init__(self, scene: Scene, folder: Path) -> None:
        self._scene, self._log = scene, folder / "strace"

    def calls(self, name: str, operation: Operation) -> list[Point]:
        """Every call that the operation makes when nobody kills it; the store is empty again afterwards."""
        scene = self._scene
        promised = operation.prepare(scene)
        with scene.peer.held(operation.verb, operation.changed, **operation.arguments(scene)) as child:
            with attached(child.pid, self._log, operation.calls):
                ended = child.go()
        assert (ended.signal, ended.failed) == (0, None), ended
        operation.acknowledge(scene, promised)
        harm = promised.look_after_upkeep(scene)
        assert not harm, f"{name}: {harm}"
        self._empty()
        counted = Counter(_CALL.findall(self._log.read_text()))
        return [Point(name, call, turn, True) for call in sorted(counted) for turn in range(1, counted[call] + 1)]

    def kill(self, operation: Operation, point: Point, *, tidy: bool) -> Harm | None:
        """What is wrong after a child died at the point, also after all that follows; None when it was not reached.

        `tidy`: upkeep comes before the client asks again.
        """
        scene = self._scene
        promised = operation.prepare(scene)
        ended = self._die(operation, point)
        assert ended.failed is None, ended
        harm = Harm()
        if ended.signal == KILL:
            if ended.acknowledged is not None:
                operation.acknowledge(scene, promised)
            harm |= promised.look(scene)
            if tidy:
                harm |= promised.look_after_upkeep(scene)
            operation.again(scene, promised)
            harm |= promised.look(scene)
            harm |= promised.look_after_upkeep(scene)
        harm |= self._empty()
        if harm:
            self._forget()
        return harm if ended.signal == KILL else None

    def _die(self, operation: Operation, point: Point) -> Ended:
        scene, arguments = self._scene, operation.arguments(self._scene)
        if not point.is_call:
            return scene.peer.run(operation.verb, f"{point.turn}*{point.name}", operation.changed, **arguments)
        with scene.peer.held(operation.verb, operation.changed, **arguments) as child:
            inject = f"{point.name}:signal=KILL:when={point.turn}"
            with attached(child.pid, self._log, point.name, inject):
                ended = child.go()
        # What it had sent is carried out all the same, perhaps later than this line.
        backend = "SELECT pid FROM pg_stat_activity WHERE pid = :pid"
        until(lambda: not scene.ask(backend, pid=child.backend))
        return ended

    def _empty(self) -> Harm:
        """Everybody deletes everything; whatever is left is harm."""
        for owner, digest in self._scene.ask("SELECT DISTINCT owner_id, digest FROM files WHERE ready_at IS NOT NULL"):
            VERBS["delete"](self._scene.store, owner=owner, digest=digest)
        return Promised(set()).look_after_upkeep(self._scene)

    def _forget(self) -> None:
        """Begin anew, by force."""
        self._scene.ask(FORGET)
        self._scene.ask("DELETE FROM blobs RETURNING digest")
        for path in self._scene.store.settings.store.glob("??/*"):
            path.unlink()


@contextmanager
def killing(folder: Path, url: str) -> Iterator[Killer]:
    """A killer on a store in the folder and a database that has no users yet."""
    data = folder / "data"
    data.mkdir()
    settings = load({"DATABASE_URL": url, "BLOBSTORE_DATA": str(data), "SECRET_KEY": SECRET_KEY}, None)
    peer = Peer(settings)
    try:
        with opened(settings, peer) as scene:
            yield Killer(scene, folder)
    finally:
        peer.end()


def failpoints(name: str, operation: Operation) -> list[Point]:
    """Those that the operation passes."""
    passed = (point.rpartition("*")[::2] for point in operation.points)
    return [Point(name, point, int(turn or 1), False) for turn, point in passed]


def run(folder: Path, cases: int) -> Iterator[Outcome]:
    """Two kills at each point while there are cases enough; else one at as many as there are cases, evenly spread."""
    with postgresql(folder) as url, killing(folder, url) as killer:
        calls = list(chain.from_iterable(killer.calls(name, each) for name, each in OPERATIONS.items()))
        passed = list(chain.from_iterable(failpoints(name, each) for name, each in OPERATIONS.items()))
        yield from _kill_all(killer, Tally("kill -9 before every system call"), OPERATIONS, calls, cases)
        yield from _kill_all(killer, Tally("kill -9 at every failpoint"), OPERATIONS, passed, cases)
        for bug, operation in PLANTED.items():
            planted = {bug: replace(operation, changed=bug)}
            points = [point for point in killer.calls(bug, planted[bug]) if point.name in STORING]
            yield from _kill_all(killer, Tally(f"kill -9, {bug}", self_test=True), planted, points, cases)


def _kill_all(
    killer: Killer, tally: Tally, operations: dict[str, Operation], points: list[Point], cases: int
) -> Iterator[Outcome]:
    whole = cases >= 2 * len(points)
    step = 1 if whole else max(len(points) // cases, 1)
    for number, point in enumerate(points[::step]):
        for tidy in (True, False) if whole else (number % 2 == 0,):
            harm = killer.kill(operations[point.operation], point, tidy=tidy)
            if harm is not None:
                yield tally.add(point, harm)
    if not tally.self_test:
        print(f"{tally.scenario}:", *tally.listing(), sep="\n  ", file=sys.stderr)


SCENARIO = Scenario(run, full=1000, quick=50)
