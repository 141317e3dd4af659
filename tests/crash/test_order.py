"""Every form of upload is made durable in the one right order: a service under strace."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import pytest

from tests.crash.changes import NAMED
from tests.crash.order import CALLS, STEPS, steps
from tests.crash.places import FORMS, serving
from tests.crash.tracing import attached, calls_of, refusal
from tests.storage.contract import sample

pytestmark = pytest.mark.skipif(bool(refusal()), reason=refusal() or "-")
CHANGED = "tests.crash.changes:application({!r})"


def ordered(url: str, folder: Path, change: str | None, forms: Iterable[str]) -> dict[str, list[str]]:
    """The steps of an upload in each of the forms, by the form."""
    application = {"application": CHANGED.format(change)} if change else {}
    found = {}
    with serving(folder / "service", url, workers=1, **application) as place:
        (worker,) = place.workers()
        for form in forms:
            with attached(worker.pid, folder / "strace", CALLS):
                assert place.upload(sample(200_000, form), form).status == 201
            found[form] = steps(calls_of(folder / "strace"))
    return found


@pytest.mark.parametrize("change", [None, NAMED])
def test_an_upload_is_durable_before_it_is_answered(database_url: str, tmp_path: Path, change: str | None) -> None:
    """If this failed, a power cut between two steps would lose what was acknowledged, or show half a file."""
    assert ordered(database_url, tmp_path, change, FORMS) == dict.fromkeys(FORMS, STEPS)


def test_another_order_is_seen(database_url: str, tmp_path: Path) -> None:
    """If this failed, the test above would accept any order."""
    seen = ordered(database_url, tmp_path, "recorded before it is published", ["raw"])["raw"]
    assert seen.index("COMMIT") < seen.index("fsync of the file"), seen
