"""The use cases beside a model of them, through whatever steps hypothesis thinks of."""

from __future__ import annotations

import pytest
from hypothesis import Phase

from blobstore.core.store import Store
from tests.races import machine
from tests.races.caught import BUG, TEST, Note
from tests.races.planted import IN_USE_CASES

EXAMPLES = 30


@pytest.mark.unaudited
def test_the_store_is_what_the_model_says(store: Store) -> None:
    """If this failed, some series of steps would leave other rows, counters, bytes or answers than it must."""
    machine.run(store, EXAMPLES)


@pytest.mark.unaudited
@pytest.mark.parametrize("bug", IN_USE_CASES)
def test_a_bug_is_found(store: Store, monkeypatch: pytest.MonkeyPatch, record_property: Note, bug: str) -> None:
    """If this failed, the model would agree with a product that has this bug."""
    record_property(BUG, bug)
    record_property(TEST, test_the_store_is_what_the_model_says.__name__)
    IN_USE_CASES[bug](monkeypatch, None)
    with pytest.raises(AssertionError, match=r"there is|, not "):
        machine.run(store, EXAMPLES, phases=(Phase.generate,))
