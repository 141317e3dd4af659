"""kill -9 before every system call, and at every failpoint, of whatever changes the store.

The calls of one run are counted under strace; then one child after another does the same and is killed before its
first openat, its second, its first write …, up to the last call that it makes. After each kill:

    what was acknowledged is served, nothing is corrupt, every invariant holds
    the client asks again, before or after an upkeep without any grace, and is told the truth
    after upkeep there is nothing that nobody has; everybody deletes everything, and nothing at all is left
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from itertools import chain
from pathlib import Path

from tests.children import until
from tests.crash.judging import Harm
from tests.crash.operations import OPERATIONS, Operation
from tests.crash.places import postgresql
from tests.crash.scene import KILL, Ended
from tests.crash.striking import Point, Striker, Strikes, all_calls, playing, strike_all
from tests.crash.table import Outcome, Scenario
from tests.crash.tracing import attached

STORING = {"openat", "flock", "linkat", "renameat", "unlinkat", "copy_file_range", "close"}
"""The calls among which the planted bugs are."""
PLANTED = {
    bug: replace(OPERATIONS[name], changed=bug)
    for bug, name in {
        "recorded before it is published": "upload",
        "published in place": "upload of another's content",
    }.items()
}


class Killer(Striker):
    """Kills children."""

    def kill(self, operation: Operation, point: Point, tidy: bool) -> Harm | None:
        """What is wrong after a child died at the point, also after all that follows; None when it was not reached.

        `tidy`: upkeep comes before the client asks again.
        """
        promised = operation.prepare(self.scene)
        ended = self._die(operation, point)
        assert ended.failed is None, ended
        harm = Harm()
        if ended.signal == KILL:
            if ended.acknowledged is not None:
                operation.acknowledge(self.scene, promised)
            harm |= promised.look(self.scene)
            if tidy:
                harm |= promised.look_after_upkeep(self.scene)
            operation.again(self.scene, promised)
            harm |= promised.look(self.scene)
            harm |= promised.look_after_upkeep(self.scene)
        harm |= self.empty()
        return harm if ended.signal == KILL else None

    def _die(self, operation: Operation, point: Point) -> Ended:
        peer, arguments = self.scene.peer, operation.arguments(self.scene)
        if not point.is_call:
            return peer.run(operation.verb, f"{point.turn}*{point.name}", operation.changed, **arguments)
        with peer.held(operation.verb, operation.changed, **arguments) as child:
            with attached(child.pid, self.log, point.name, f"{point.name}:signal=KILL:when={point.turn}"):
                ended = child.go()
        # What it had sent is carried out all the same, perhaps later than this line.
        backend = "SELECT pid FROM pg_stat_activity WHERE pid = :pid"
        until(lambda: not self.scene.ask(backend, pid=child.backend))
        return ended


def failpoints(name: str, operation: Operation) -> list[Point]:
    """Those that the operation passes."""
    passed = (point.rpartition("*")[::2] for point in operation.points)
    return [Point(name, point, int(turn or 1), False) for turn, point in passed]


def run(folder: Path, cases: int) -> Iterator[Outcome]:
    """Two kills at each point while there are cases enough; else one at as many as there are cases, evenly spread."""
    with postgresql(folder) as url, playing(folder, url) as scene:
        killer = Killer(scene, folder)
        kill_all = partial(_kill_all, killer, cases)
        yield from kill_all("kill -9 before every system call", OPERATIONS, all_calls(killer, OPERATIONS))
        passed = chain.from_iterable(failpoints(name, each) for name, each in OPERATIONS.items())
        yield from kill_all("kill -9 at every failpoint", OPERATIONS, list(passed))
        for bug, operation in PLANTED.items():
            points = [point for point in killer.calls(bug, operation) if point.name in STORING]
            yield from kill_all(f"kill -9, {bug}", PLANTED, points)


def _kill_all(
    killer: Killer, cases: int, title: str, operations: dict[str, Operation], points: list[Point]
) -> Iterator[Outcome]:
    def kill(point: Point, tidy: bool) -> Harm | None:
        return killer.kill(operations[point.operation], point, tidy)

    return strike_all(Strikes(title, self_test=operations is PLANTED), points, cases, (True, False), kill)


SCENARIO = Scenario(run, full=1500, quick=50)
