"""Services with a planted bug, which a crowd has to find."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.races.place import opened
from tests.races.planted import IN_SERVICES, of

MOST_TURNS = 20
"""A race that is there need not show in the first one."""


@pytest.mark.parametrize("bug", IN_SERVICES)
def test_a_crowd_finds_it(database_url: str, tmp_path: Path, bug: str) -> None:
    """If this failed, no number of requests at the same instant would show this bug."""
    turn = IN_SERVICES[bug].turn
    with opened(tmp_path / "data", database_url, of(bug)) as place:
        assert any(turn(place, number) for number in range(MOST_TURNS))
