"""kill -9 before system calls, thinned: `make faults` kills before every one, twice."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.crash.kills import PLANTED, Killer
from tests.crash.operations import OPERATIONS
from tests.crash.places import emptied
from tests.crash.striking import Point, playing
from tests.crash.tracing import refusal

EVERY = 13
"""So many calls lie between two kills; no factor of how the calls of a statement repeat."""


@pytest.fixture(scope="module")
def killer(migrated_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Killer]:
    """One for all tests of this module."""
    if why := refusal():
        pytest.skip(why)
    folder = tmp_path_factory.mktemp("kills")
    with playing(folder, emptied(migrated_url)) as scene:
        yield Killer(scene, folder)


@pytest.mark.parametrize("name", OPERATIONS)
def test_a_kill_before_a_call(killer: Killer, name: str) -> None:
    """If this failed, kill -9 there would lose what was acknowledged, or leave what upkeep does not take."""
    points = killer.calls(name, OPERATIONS[name])
    assert len(points) > 10
    harms = {
        str(point): killer.kill(OPERATIONS[name], point, tidy=number % 2 == 0)
        for number, point in enumerate(points[::EVERY])
    }
    assert {point: str(harm) for point, harm in harms.items() if harm} == {}
    assert any(harm is not None for harm in harms.values())


@pytest.mark.parametrize(
    ("bug", "call"), [("recorded before it is published", "linkat"), ("published in place", "copy_file_range")]
)
def test_a_planted_bug_is_found(killer: Killer, bug: str, call: str) -> None:
    """If this failed, an upload could be lost by a kill and nobody would be told."""
    harm = killer.kill(PLANTED[bug], Point(bug, call, 1, is_call=True), tidy=False)
    assert harm is not None
    assert any("'a content'" in lost for lost in harm.lost)
