"""The gate: which folder is in which, and what somebody may change who may only add."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from blobstore.core.files import Changes, StoredFile
from blobstore.core.gate import ALL_SCOPES, Caller, Scope, authorize, check_changes, check_folder, owns, within
from blobstore.core.store import Store
from blobstore.digest import Digest
from blobstore.errors import InsufficientScope, NotFound, OutsideFolder
from tests.core.acts import ask

NOW = datetime(2030, 1, 1, tzinfo=UTC)
LATER, EARLIER = NOW + timedelta(days=1), NOW - timedelta(days=1)
OWNER = Caller(1, "me", "user", ALL_SCOPES, None, 0, by_password=False, folder="/a")
ADDER = replace(OWNER, scopes=frozenset({Scope.READ, Scope.WRITE}))
FILE = StoredFile("id", 1, Digest("0" * 64), "x", "/a", 1, "", "private", ["t"], NOW, NOW, 0, None, damaged=False)
ENDS = st.none() | st.datetimes(timezones=st.just(UTC))
FOLDERS = ["/", "/a", "/a/b", "/a/b/c", "/ab", "/a b", "/A", "/b", "/b/a", "/.a", "/a%", "/a_", "/a\u0301", "/á"]


@pytest.mark.parametrize("folder", FOLDERS)
def test_a_folder_holds_whole_segments(store: Store, folder: str) -> None:
    """A key for /a would reach /ab; or the database would think otherwise of it than the gate."""
    below = {"/": set(FOLDERS), "/a": {"/a", "/a/b", "/a/b/c"}, "/a/b": {"/a/b", "/a/b/c"}, "/b": {"/b", "/b/a"}}
    for inner in FOLDERS:
        expected = inner in below.get(folder, {folder})
        assert owns(replace(OWNER, folder=folder), replace(FILE, folder=inner)) is expected, inner
        query = "SELECT starts_with(:inner || '/', :within)"
        assert ask(store, query, inner=inner, within=within(folder)) == [(expected,)], inner


def test_outside_of_the_folder_there_is_nothing() -> None:
    """A key of one folder would be told which files there are in others, or write there."""
    for scope in Scope:
        authorize(OWNER, scope, FILE)
        with pytest.raises(NotFound):
            authorize(OWNER, scope, replace(FILE, folder="/ab"))
    authorize(OWNER, Scope.READ, replace(FILE, folder="/ab", visibility="public"))
    check_folder(OWNER, "/a/b")
    with pytest.raises(OutsideFolder):
        check_folder(OWNER, "/")


@pytest.mark.parametrize(
    "changes",
    [
        {"name": "y"},
        {"folder": "/a/b"},
        {"visibility": "public"},
        {"tags": []},
        {"expires_at": EARLIER},
        {"expires_at": LATER, "tags": ["t", "u"]},
    ],
)
def test_who_adds_changes_nothing(changes: Changes) -> None:
    """A stolen append-only key could hide, publish or end what is there, and so delete it."""
    check_changes(OWNER, FILE, changes)
    with pytest.raises(InsufficientScope) as raised:
        check_changes(ADDER, FILE, changes)
    assert raised.value.scope == "delete"


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"name": "x", "folder": "/a", "visibility": "private", "tags": ["t"], "expires_at": NOW},
        {"expires_at": LATER},
        {"expires_at": None},
    ],
)
def test_what_takes_nothing_away_is_no_change(changes: Changes) -> None:
    """A backup that sends the same file again with the same words would be refused."""
    check_changes(ADDER, FILE, changes)


@given(ENDS, ENDS)
def test_a_life_is_only_lengthened(present: datetime | None, end: datetime | None) -> None:
    """A file that never expires would be given an end, or one that does an earlier one."""
    shorter = end is not None and (present is None or end < present)
    try:
        check_changes(ADDER, replace(FILE, expires_at=present), {"expires_at": end})
    except InsufficientScope:
        assert shorter
    else:
        assert not shorter
