"""The use cases beside a model of them, through whatever steps hypothesis thinks of."""

from __future__ import annotations

import pytest
from hypothesis import Phase

from blobstore.core import download, quota, upload
from blobstore.core.delete import Which
from blobstore.core.store import Store
from tests.races import bugs, machine

EXAMPLES = 30


BUGS = {
    "a refund is forgotten": bugs.swap(quota, "refund", lambda *_, **__: None),
    "a download by hash finds what has expired": bugs.reword(
        download, "_FIND", "f.expires_at > clock_timestamp()", "true"
    ),
    "a download by hash finds what is private": bugs.reword(download, "_FIND", "f.owner_id = $2", "true"),
    "a delete takes all names": bugs.swap(Which.ONE, "_value_", "ready_at IS NOT NULL"),
    "a failed upload does not delete its own row": bugs.swap(upload, "remove", lambda *_: None),
}


@pytest.mark.unaudited
def test_the_store_is_what_the_model_says(store: Store) -> None:
    """If this failed, some series of steps would leave other rows, counters, bytes or answers than it must."""
    machine.run(store, EXAMPLES)


@pytest.mark.unaudited
@pytest.mark.parametrize("bug", BUGS)
def test_a_bug_is_found(store: Store, monkeypatch: pytest.MonkeyPatch, bug: str) -> None:
    """If this failed, the model would agree with a product that has this bug."""
    BUGS[bug](monkeypatch, None)
    with pytest.raises(AssertionError, match=r"there is|, not "):
        machine.run(store, EXAMPLES, phases=(Phase.generate,))
