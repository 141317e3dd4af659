"""A disk that refuses: every call that uploads, sweeps, adopts and a fresh store make of it fails, once or for good.

strace lets the call fail with EIO or ENOSPC in a child that runs the use case. After each failure:

    it raised StorageUnavailable or StorageFull, which are 503 and 507, or it did all the same what it acknowledged
    nothing of a refused upload is visible, and nothing is charged for it
    no descriptor whose fsync failed was synced again, and nothing was acknowledged after it
    the client asks again, of a disk that works by then; after upkeep there is nothing that nobody has
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from tests.crash.judging import Harm, ready
from tests.crash.operations import STORING, Operation
from tests.crash.places import postgresql
from tests.crash.scene import hex_of
from tests.crash.striking import Point, Strike, Striker, Strikes, all_calls, playing, strike_all
from tests.crash.table import Outcome, Scenario
from tests.crash.tracing import attached, failed_syncs, synced_again

RAISED = {"EIO": "StorageUnavailable", "ENOSPC": "StorageFull"}
OF_THE_DATABASE = {"sendto", "recvfrom", "poll"}
FIRST = 4
"""Of a call that is made hundreds of times, for folder after folder, the first ones stand for all."""
BUG = "a failed fsync tried again"
PLANTED = replace(STORING["upload"], changed=BUG)
CHARGED = "SELECT used_bytes, logical_bytes, file_count, content_count FROM users WHERE id = :me"


class Breaker(Striker):
    """Lets calls fail."""

    def fail(self, operation: Operation, point: Point, error: str, always: bool) -> Harm:
        """What is wrong after the call failed, and all later ones of its name if `always`, and after what follows."""
        promised = operation.prepare(self.scene)
        there, charged = ready(self.scene), self.scene.ask(CHARGED, me=self.scene.me)
        inject = f"{point.name}:error={error}:when={point.turn}{'+' if always else ''}"
        with self.scene.peer.held(operation.verb, operation.changed, **operation.arguments(self.scene)) as child:
            with attached(child.pid, self.log, operation.calls, inject):
                ended = child.go()
        assert ended.signal == 0, ended
        assert ended.failed in (None, RAISED[error]), f"{point}: {ended.failed}"
        harm = Harm(lost=set(synced_again(self.log)))
        if ended.failed:
            promised.open = {(owner, content) for owner, content in promised.open if (owner, hex_of(content)) in there}
            if self.scene.ask(CHARGED, me=self.scene.me) != charged:
                harm.leaked.add("what was refused is charged")
        else:
            operation.acknowledge(self.scene, promised)
            if failed_syncs(self.log):
                harm.lost.add("acknowledged after a failed fsync")
        harm |= promised.look(self.scene)
        harm |= promised.look_after_upkeep(self.scene)
        operation.again(self.scene, promised)
        harm |= promised.look_after_upkeep(self.scene)
        harm |= self.empty()
        return harm


def of_the_disk(points: list[Point]) -> list[Point]:
    """Those that ask something of the disk."""
    return [point for point in points if point.name not in OF_THE_DATABASE and point.turn <= FIRST]


def run(folder: Path, cases: int) -> Iterator[Outcome]:
    """Each error once and for good at each call while there are cases enough; else at as many, evenly spread."""
    with postgresql(folder) as url, playing(folder, url) as scene:
        breaker = Breaker(scene, folder)
        points = of_the_disk(all_calls(breaker, STORING))
        for error in RAISED:
            tally = Strikes(f"{error} from every call, once and always")
            yield from strike_all(tally, points, cases, (False, True), _failing(breaker, STORING, error))
        syncs = [point for point in breaker.calls(BUG, PLANTED) if point.name == "fsync"][:1]
        tally = Strikes(f"EIO from fsync, {BUG}", self_test=True)
        yield from strike_all(tally, syncs, 1, (False,), _failing(breaker, {BUG: PLANTED}, "EIO"))


def _failing(breaker: Breaker, operations: dict[str, Operation], error: str) -> Strike:
    return lambda point, always: breaker.fail(operations[point.operation], point, error, always)


SCENARIO = Scenario(run, full=400, quick=20)
