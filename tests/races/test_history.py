"""The judge of the stress runs: right histories pass, wrong ones do not."""

from __future__ import annotations

from itertools import permutations

import pytest

from tests.races.history import NEVER, History, Request

UPLOADED = (False, True)
UPLOADED_AGAIN = (True, True)
DELETED = (True, False)
NOT_FOUND = (False, False)
SEEN = (True, None)
MISSED = (False, None)
LOST_UPLOAD = (None, True)
LOST_DELETE = (None, False)

Said = tuple[tuple[bool | None, bool | None], int, int]

RIGHT: dict[str, list[Said]] = {
    "one after the other": [(UPLOADED, 1, 2), (SEEN, 3, 4), (UPLOADED_AGAIN, 5, 6), (DELETED, 7, 8), (MISSED, 9, 10)],
    "the delete was between": [(UPLOADED, 1, 2), (UPLOADED, 3, 8), (DELETED, 4, 9), (SEEN, 10, 11)],
    "read before or after": [(UPLOADED, 1, 9), (MISSED, 2, 3), (SEEN, 4, 5)],
    "a lost upload came late": [(LOST_UPLOAD, 1, NEVER), (MISSED, 2, 3), (SEEN, 4, 5)],
    "a lost upload never came": [(LOST_UPLOAD, 1, NEVER), (MISSED, 2, 3), (UPLOADED, 4, 5)],
    "a lost delete came": [(UPLOADED, 1, 2), (LOST_DELETE, 3, NEVER), (SEEN, 4, 5), (MISSED, 6, 7)],
}
WRONG: dict[str, list[Said]] = {
    "an acknowledged upload is lost": [(UPLOADED, 1, 2), (MISSED, 3, 4)],
    "made twice": [(UPLOADED, 1, 5), (UPLOADED, 2, 6)],
    "deleted twice": [(UPLOADED, 1, 2), (DELETED, 3, 6), (DELETED, 4, 7)],
    "a read out of nothing": [(SEEN, 1, 2), (UPLOADED, 3, 4)],
    "back and forth": [(UPLOADED, 1, 9), (SEEN, 2, 3), (MISSED, 4, 5)],
    "there again after a delete": [(UPLOADED, 1, 2), (DELETED, 3, 4), (SEEN, 5, 6)],
    "one lost upload that came twice": [(LOST_UPLOAD, 1, NEVER), (SEEN, 2, 3), (DELETED, 4, 5), (SEEN, 6, 7)],
    "a lost delete explains no file": [(LOST_DELETE, 1, NEVER), (SEEN, 2, 3)],
}


def _violations(said: list[Said]) -> list[str]:
    history = History()
    for (was, then), began, ended in said:
        history.add([("key", Request(f"at {began}", was, then, began, ended))], "answer")
    return list(history.violations())


@pytest.mark.parametrize("name", RIGHT)
def test_a_right_history_passes(name: str) -> None:
    """If this failed, a stress run would be called a failure that was none."""
    for said in permutations(RIGHT[name]):
        assert _violations(list(said)) == []


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_history_is_found(name: str) -> None:
    """If this failed, a stress run that lost or invented a file would be called a success."""
    for said in permutations(WRONG[name]):
        assert len(_violations(list(said))) == 1


def test_keys_are_judged_apart() -> None:
    """If this failed, one owner's upload would explain what another one sees."""
    history = History()
    history.add([("one", Request("uploaded", *UPLOADED, 1, 2))], "answer")
    history.add([("other", Request("seen", *SEEN, 3, 4))], "answer")
    assert list(history.violations()) == ["other: no order explains seen"]
