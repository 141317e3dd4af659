"""The oracle itself: every violation is planted once, and found; what is right is never called wrong."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest

from blobstore.core import check
from blobstore.core.gate import Caller
from blobstore.core.store import Store
from tests.core.acts import ask, drop, person, rules, send
from tests.storage.contract import digest_of, put, sample

ONE, OTHER = sample(1000, "one"), sample(2000, "other")


@pytest.fixture
def me(store: Store) -> Caller:
    """Somebody with two files, beside somebody else with one of the contents."""
    me = person(store)
    send(store, me, ONE, name="x")
    send(store, me, OTHER, name="x")
    send(store, person(store, "you"), ONE, name="x")
    return me


def _path(store: Store, content: bytes) -> Path:
    digest = digest_of(content).hex
    path = store.settings.store / digest[:2] / digest
    path.chmod(0o640)
    return path


STATEMENTS = {
    "used_bytes is not the sum of the claims": "UPDATE users SET used_bytes = used_bytes + 1 WHERE name = 'you'",
    "content_count is not the number of claims": "UPDATE users SET content_count = 7 WHERE name = 'me'",
    "file_count or logical_bytes is not what the files say": "UPDATE users SET logical_bytes = 1 WHERE name = 'me'",
    "reserved_bytes without a resumable upload": "UPDATE users SET reserved_bytes = 1 WHERE name = 'me'",
    "claims.files is not the number of files": "UPDATE claims SET files = 2 WHERE digest = :other",
    "blobs.refs is not the number of claims": "UPDATE blobs SET refs = 1 WHERE digest = :one",
    "a ready file whose blob is neither published nor known to be damaged": (
        "UPDATE blobs SET published_at = NULL WHERE digest = :other"
    ),
    "two live files of one owner with the same folder, name and digest": (
        "INSERT INTO files (id, owner_id, digest, name, folder, visibility, ready_at)"
        " SELECT 'second', owner_id, digest, name, folder, visibility, ready_at FROM files WHERE digest = :other"
    ),
    "the bytes are known to be damaged": (
        "UPDATE blobs SET published_at = NULL, damaged_at = clock_timestamp() WHERE digest = :one"
    ),
}
MORE = {
    "two live files of one owner with the same folder, name and digest": [
        "UPDATE claims SET files = 2 WHERE digest = :other",
        "UPDATE users SET file_count = file_count + 1, logical_bytes = logical_bytes + 2000 WHERE name = 'me'",
    ]
}
"""What else a planted row changes, so that one rule alone is broken."""


def _obstruct(store: Store) -> None:
    digest = digest_of(b"never uploaded").hex
    (store.settings.store / digest[:2] / digest).mkdir()


ON_DISK: dict[str, Callable[[Store], object]] = {
    "bytes without a row": lambda store: put(store.storage, sample(10, "rowless")),
    "no file in the place of a blob": _obstruct,
    "a published blob without bytes": lambda store: _path(store, ONE).unlink(),
    "a published blob of another size": lambda store: _path(store, ONE).write_bytes(ONE[:-1]),
    "a published blob with other bytes": lambda store: _path(store, ONE).write_bytes(ONE[::-1]),
}


def test_what_is_right_is_clean(store: Store, me: Caller) -> None:
    """If this failed, the oracle would find something wrong where nothing is."""
    assert rules(store) == []
    drop(store, me, ONE)
    assert rules(store) == []


@pytest.mark.unaudited
@pytest.mark.parametrize("rule", STATEMENTS)
def test_a_broken_row_is_found(store: Store, me: Caller, rule: str) -> None:
    """If this failed, no test and no operator would notice that this rule is broken."""
    values = {"one": digest_of(ONE).hex, "other": digest_of(OTHER).hex}
    for statement in (STATEMENTS[rule], *MORE.get(rule, [])):
        ask(store, statement, **{name: value for name, value in values.items() if f":{name}" in statement})
    assert rules(store) == [rule]


@pytest.mark.unaudited
@pytest.mark.parametrize("rule", ON_DISK)
def test_a_broken_disk_is_found(store: Store, me: Caller, rule: str) -> None:
    """If this failed, lost, changed or leaked bytes would pass every test."""
    ON_DISK[rule](store)
    assert rules(store) == [rule]


def test_every_question_is_broken_once() -> None:
    """If this failed, a question of the oracle would be asked that has never been seen to find anything."""
    assert set(check._QUESTIONS) == set(STATEMENTS)


@pytest.mark.unaudited
def test_only_a_deep_check_reads(store: Store, me: Caller) -> None:
    """If this failed, a plain check would read the whole store, or a deep one would not."""
    _path(store, ONE).write_bytes(ONE[::-1])
    assert list(check.check(store)) == []
    read: list[int] = []
    assert len(list(check.check(store, deep=True, progress=read.append))) == 1
    assert sum(read) == 3000
    assert check.totals(store) == (2, 3000)


@pytest.mark.unaudited
def test_young_bytes_may_be_an_upload(store: Store) -> None:
    """If this failed, an upload that is being published would be called a leak."""
    location = put(store.storage, ONE)
    assert list(check.check(store, grace=timedelta(hours=1))) == []
    assert list(check.check(store)) == [check.Finding("bytes without a row", location)]


def test_an_upload_under_way_is_no_finding(store: Store, me: Caller) -> None:
    """If this failed, the oracle could not be asked while anybody uploads."""
    ask(store, "UPDATE files SET ready_at = NULL WHERE digest = :d", d=digest_of(OTHER).hex)
    ask(store, "UPDATE blobs SET published_at = NULL WHERE digest = :d", d=digest_of(OTHER).hex)
    assert rules(store) == []


def test_nothing_is_changed(store: Store, me: Caller) -> None:
    """If this failed, looking would hide what is wrong."""
    before = [ask(store, f"SELECT * FROM {table} ORDER BY 1, 2") for table in ("users", "blobs", "claims", "files")]
    list(check.check(store, deep=True))
    after = [ask(store, f"SELECT * FROM {table} ORDER BY 1, 2") for table in ("users", "blobs", "claims", "files")]
    assert before == after
