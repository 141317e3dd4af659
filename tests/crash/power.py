"""The power goes, again and again, while clients upload and delete: what they were told must be true afterwards.

PostgreSQL and the store lie on one disk, as on a laptop, or on two: one cut takes both, and both have to recover. (On
one disk PostgreSQL's own syncs write the journal that the store's names are in too, and hide that somebody forgot to.)
The disks are used from cut to cut, and so every recovery starts from what the earlier ones left.
"""

from __future__ import annotations

import multiprocessing
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from random import Random

from blobstore.core.store import Store, open_store
from blobstore.database import upgrade
from tests.core.acts import person
from tests.crash.books import Books, Found
from tests.crash.churn import WEAKNESSES, Order, Weakness, churn, configure
from tests.crash.machine import LOG_KEPT, LOG_LOST, Machine, machine, missing
from tests.crash.table import LeftOut, Outcome

OWNERS = 3
STAGINGS = ("Disk", "Disk", "Disk", "NamedDisk")
"""With nameless files, or now and then without, as on other filesystems."""
POINTS = (
    *("staged", "mid_write", "blob_locked", "reserved", "after_write", "after_fsync", "after_link", "after_dirsync"),
    *("before_record", "recorded", "delete_locked", "deleted", "swept_mark", "swept_unlinked", "swept"),
)
"""The failpoints that the clients and the sweep pass all the time."""
HANG_SECONDS = 60


@dataclass(frozen=True)
class Plan:
    """One cut: who works on what, and when the power goes.

    After so many answers, or after so long, or while somebody stands at a failpoint. Then everybody goes on for
    `lingers` seconds: a dead disk must not be acknowledged either.
    """

    seed: int
    flag: int
    working: tuple[int, ...]
    staging: str
    lingers: float
    answers: int | None = None
    seconds: float | None = None
    point: str = ""

    @classmethod
    def at_random(cls, seed: int) -> Plan:
        chance = Random(seed)
        flag = chance.choice((LOG_LOST, LOG_LOST, LOG_KEPT))
        # One alone often: what others sync would make his names durable too.
        working = tuple(chance.sample(range(OWNERS), chance.choice((1, 1, 2, 3))))
        lingers = chance.choice((0, 0.05 * chance.random()))
        given = seed, flag, working, chance.choice(STAGINGS), lingers
        match chance.choice(("answers", "answers", "seconds", "point")):
            case "answers":
                return cls(*given, answers=chance.randint(1, 40))
            case "seconds":
                return cls(*given, seconds=chance.random() * 0.6)
        return cls(*given, point=f"{chance.choice(POINTS)}={chance.randint(1, 8)}*wait:")


def power_cuts(filesystem: str, folder: Path, cases: int) -> Iterator[Outcome]:
    """So many cuts, half of them with two disks; then some with each weakness."""
    if why := missing(filesystem):
        raise LeftOut(why)
    yield from cuts(filesystem, folder / "one", (cases + 1) // 2)
    yield from cuts(filesystem, folder / "two", cases // 2, disks=2)
    for number, weakness in enumerate(WEAKNESSES):
        yield from cuts(filesystem, folder / str(number), max(cases // 10, 5), weakness.disks, weakness)


def cuts(
    filesystem: str, folder: Path, cases: int, disks: int = 1, weakness: Weakness | None = None
) -> Iterator[Outcome]:
    """The outcome after each cut of a new machine, which may have a weakness."""
    started = time.monotonic()
    name = f"power cut, {filesystem}, {'one disk' if disks == 1 else 'two disks'}"
    name = f"{name}, {weakness.what}" if weakness else name
    found = Found()
    with machine(folder, filesystem, disks=disks) as computer:
        life = _Life(computer, folder, weakness)
        for number in range(1, cases + 1):
            found.add(life.cut(Plan.at_random(number)))
            remark = f"{life.books.answered:,} answers" if weakness or not found else f"first: {found.first}"
            figures = len(found.lost), len(found.corrupt), len(found.leaked)
            seconds = time.monotonic() - started
            yield Outcome(name, number, *figures, seconds, remark, self_test=bool(weakness), planned=cases)


class _Life:
    """What happens to one machine; it is on between two cuts."""

    def __init__(self, computer: Machine, folder: Path, weakness: Weakness | None) -> None:
        self._computer, self._go, self._weakness = computer, folder / "go", weakness
        self._url = computer.on()
        upgrade(self._url)
        with self._store() as store:
            self.books = Books(person(store, name) for name in "abc"[:OWNERS])

    def cut(self, plan: Plan) -> Found:
        """Let clients work, cut the power, switch on again, look."""
        self._work(plan)
        self._computer.off()
        self._url = self._computer.on()
        with self._store() as store:
            found = self.books.judge(store)
            if found:
                self.books.start_anew(store)
        return found

    @contextmanager
    def _store(self) -> Iterator[Store]:
        store = open_store(configure(self._url, self._computer.data))
        try:
            yield store
        finally:
            store.database.dispose()

    def _work(self, plan: Plan) -> None:
        reached = self._go.with_name("go.reached")
        reached.unlink(missing_ok=True)
        with _working(self._order(plan)) as answers:
            self._wait_for(plan, answers, reached)
            self._computer.cut(plan.flag, Random(plan.seed))
            time.sleep(plan.lingers)
        self._note_rest(answers)

    def _order(self, plan: Plan) -> Order:
        return Order(
            settings=configure(self._url, self._computer.data),
            owners=self.books.owners,
            held=tuple(self.books.held(owner) for owner in range(OWNERS)),
            working=plan.working,
            seed=plan.seed,
            storage=self._weakness.storage if self._weakness else plan.staging,
            asynchronous=bool(self._weakness and self._weakness.asynchronous),
            failpoints=f"{plan.point}{self._go}" if plan.point else "",
        )

    def _wait_for(self, plan: Plan, answers: Connection, reached: Path) -> None:
        before, began = self.books.answered, time.monotonic()
        while time.monotonic() < began + HANG_SECONDS:
            if answers.poll(0.001):
                self.books.note(answers.recv())
            if plan.answers is not None and self.books.answered >= before + plan.answers:
                return
            if plan.seconds is not None and time.monotonic() >= began + plan.seconds:
                return
            if plan.point and reached.exists():
                return
        raise RuntimeError(f"the moment never came: {plan}")

    def _note_rest(self, answers: Connection) -> None:
        try:
            while True:
                self.books.note(answers.recv())
        except EOFError:
            answers.close()


@contextmanager
def _working(order: Order) -> Iterator[Connection]:
    """The answers of clients at work, in a process that is killed at the end of the block."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([churn.__module__])
    answers, answering = context.Pipe(duplex=False)
    child = context.Process(target=churn, args=(order, answering))
    child.start()
    answering.close()
    try:
        yield answers
    finally:
        child.kill()
        child.join()
        child.close()
