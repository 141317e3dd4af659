"""The races in the fault suite: each crowd many times, the machine with steps of its own, every planted bug.

A crowd's turn leaves nothing behind, so that upkeep and the check see only what went wrong in it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest
from hypothesis import Phase

from blobstore.core.store import Store, open_store
from blobstore.environment import load
from tests.conftest import SECRET_KEY
from tests.crash.judging import Harm
from tests.crash.places import emptied, postgresql
from tests.crash.table import Outcome, Scenario
from tests.crash.tally import Tally
from tests.races import crowds, machine, soak
from tests.races.caught import HAND_MUTANTS, PLANTING, caught, lines
from tests.races.crowds import Turn
from tests.races.place import Place, opened
from tests.races.planted import IN_SERVICES, IN_USE_CASES, of
from tests.races.stress import tidied

MOST_TURNS = 20
EXAMPLES = 25
"""Of the machine, at a time."""


def crowd(turn: Turn, folder: Path, cases: int) -> Iterator[Outcome]:
    """So many turns; then as many as it takes to find each bug that is planted for them."""
    title = turn.__name__.replace("_", " ")
    with postgresql(folder) as url:
        with opened(folder / "data", url) as place:
            yield from _turns(Tally(title), turn, place, cases)
        for bug, planted in IN_SERVICES.items():
            if planted.turn is turn:
                with opened(folder / bug, emptied(url), of(bug)) as place:
                    yield from _turns(Tally(f"{title}, {bug}", self_test=True), turn, place, MOST_TURNS)


def _turns(tally: Tally, turn: Turn, place: Place, most: int) -> Iterator[Outcome]:
    tally.planned = 0 if tally.self_test else most
    for number in range(most):
        wrong = set(turn(place, number))
        harm = Harm(lost=wrong)
        harm.note(tidied(place.store))
        yield tally.count(harm, f"turn {number}: ")
        if tally.self_test and wrong:
            return


def model(folder: Path, cases: int) -> Iterator[Outcome]:
    """So many series of steps, other ones each time; then those of the default suite, with bugs."""
    with postgresql(folder) as url:
        tally = Tally("the use cases beside their model", planned=cases)
        for _ in range(0, cases, EXAMPLES):
            run = partial(machine.run, examples=EXAMPLES, always_the_same=False)
            yield tally.count(_differs(folder, url, run), cases=EXAMPLES)
        for bug, plant in IN_USE_CASES.items():
            blind = Tally(f"the use cases beside their model, {bug}", self_test=True)
            with pytest.MonkeyPatch.context() as patch:
                plant(patch, None)
                run = partial(machine.run, examples=4 * EXAMPLES, phases=(Phase.generate,))
                yield blind.count(_differs(folder, url, run))


def _differs(folder: Path, url: str, run: Callable[[Store], None]) -> Harm:
    given = {"DATABASE_URL": url, "BLOBSTORE_DATA": str(folder / "data"), "SECRET_KEY": SECRET_KEY}
    store = open_store(load(given, None))
    try:
        run(store)
    except AssertionError as error:
        return Harm(lost={"\n".join([str(error), *getattr(error, "__notes__", [])])})
    finally:
        store.database.dispose()
    return Harm()


def mutants(folder: Path, cases: int) -> Iterator[Outcome]:
    """The first `cases` of the tests that plant bugs; the table of all that were caught goes to standard output."""
    by_bug, missed = caught(folder, cases)
    if cases >= len(PLANTING):
        missed |= {bug for bugs in HAND_MUTANTS.values() for bug in bugs} - set(by_bug)
    print(*lines(by_bug), "", sep="\n")
    tried = len(set(by_bug) | missed)
    yield Tally("planted bugs").count(Harm(lost=missed), cases=tried, remark=f"{len(by_bug)} caught by a test")


SCENARIOS = {
    "soak": soak.SCENARIO,
    **{turn.__name__.replace("_", "-"): Scenario(partial(crowd, turn), full=100, quick=5) for turn in crowds.TURNS},
    "model": Scenario(model, full=1000, quick=50),
    "mutants": Scenario(mutants, full=len(PLANTING), quick=1),
}
"""By the names that `--only` takes."""
