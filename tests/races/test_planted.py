"""Services with a planted bug, which a crowd has to find; and which bugs there are."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.races.caught import BUG, HAND_MUTANTS, TEST, Note
from tests.races.mutants import MUTANTS
from tests.races.place import opened
from tests.races.planted import IN_SERVICES, IN_USE_CASES, of
from tests.storage.test_mutants import BY_CONTRACT, BY_TRACE, words

ALL = {*MUTANTS, *IN_SERVICES, *IN_USE_CASES, *(words(mutant) for mutant, _ in [*BY_CONTRACT, *BY_TRACE])}
MOST_TURNS = 20
"""A race that is there need not show in the first one."""


@pytest.mark.parametrize("bug", IN_SERVICES)
def test_a_crowd_finds_it(database_url: str, tmp_path: Path, record_property: Note, bug: str) -> None:
    """If this failed, no number of requests at the same instant would show this bug."""
    turn = IN_SERVICES[bug].turn
    record_property(BUG, bug)
    record_property(TEST, f"test_a_crowd[{turn.__name__}]")
    with opened(tmp_path / "data", database_url, of(bug)) as place:
        assert any(turn(place, number) for number in range(MOST_TURNS))


def test_every_hand_mutant_is_planted() -> None:
    """If this failed, the table would promise that a bug is caught which nobody plants any more."""
    assert {bug for bugs in HAND_MUTANTS.values() for bug in bugs} <= ALL
