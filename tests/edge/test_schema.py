"""Whatever fits /openapi.json is answered as it says, and whatever does not is refused (S6)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.edge.fuzz import CALLERS, UNLIMITED, fuzz
from tests.edge.place import Place, place

SEED, EXAMPLES = 20260131, 3


@pytest.fixture(scope="module")
def open_place(migrated_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    """A service in which no login is one too many."""
    with place(tmp_path_factory.mktemp("fuzz"), migrated_url, **UNLIMITED) as here:
        yield here


@pytest.mark.parametrize("caller", CALLERS)
def test_every_call_keeps_to_its_documentation(open_place: Place, tmp_path: Path, caller: str) -> None:
    """Some input would be a 5xx, or be answered with a status, a type or a shape that no page tells."""
    done = fuzz(open_place, caller, tmp_path, seed=SEED, examples=EXAMPLES)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Tested: " in done.stdout
