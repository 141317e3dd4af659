"""A store and its model, side by side: asked the same, and compared to the last row and byte."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from blobstore import failpoints
from blobstore.core.check import check
from blobstore.core.files import Changes
from blobstore.core.gate import ALL_SCOPES, Caller
from blobstore.core.store import Store
from blobstore.errors import BlobstoreError
from tests.conftest import empty
from tests.core.acts import ask, person
from tests.races.model import BAD, CONTENTS, DAMAGED, DISOWNED, GOOD, NEW, USERS, WHOLE, Model
from tests.storage.contract import digest_of

DIGESTS = [digest_of(content) for content in CONTENTS]
NUMBERS = {digest.hex: number for number, digest in enumerate(DIGESTS)}
CLOCK = """
WITH moved AS (UPDATE blobs SET unreferenced_at = unreferenced_at - make_interval(hours => :hours))
UPDATE files SET expires_at = expires_at - make_interval(hours => :hours),
                 reserved_at = reserved_at - make_interval(hours => :hours)
"""
"""PostgreSQL's clock stays: everything that it is compared with moves back."""
FILES = """
SELECT f.id, u.name, f.digest, f.name, f.folder, f.visibility, f.ready_at IS NOT NULL, f.expires_at <= clock_timestamp()
FROM files f JOIN users u ON u.id = f.owner_id
"""
COUNTERS = "SELECT name, quota_bytes, used_bytes, logical_bytes, file_count, content_count FROM users"
BLOBS = f"""
SELECT digest, CASE WHEN damaged_at IS NOT NULL THEN '{DAMAGED}' WHEN published_at IS NOT NULL THEN '{WHOLE}'
                    ELSE '{DISOWNED}' END, location IS NOT NULL, refs FROM blobs
"""

Row = tuple[Any, ...]


class Pair:
    """Both, empty but for the users."""

    def __init__(self, store: Store) -> None:
        self.store, self.model = store, Model()
        empty(store.settings.require_database())
        for location, *_ in store.storage.locations():
            store.storage.delete(location)
        for owner in USERS:
            self.add(owner)

    def add(self, owner: str) -> None:
        """A new user of the product's; the model knows him already."""
        person(self.store, owner, self.model.quotas[owner])

    def caller(self, name: str | None) -> Caller | None:
        return self.owner(name) if name else None

    def owner(self, name: str) -> Caller:
        """The user as of now."""
        user_id, quota, used = ask(
            self.store, "SELECT id, quota_bytes, used_bytes FROM users WHERE name = :name", name=name
        )[0]
        return Caller(user_id, name, "user", ALL_SCOPES, quota, used, by_password=True)

    def agree(
        self,
        wanted: Callable[[], object],
        asked: Callable[[], object],
        *alike: type[Exception],
    ) -> None:
        """Ask the model and the product; the answers are the same, and so are errors, or else both are `alike`."""
        wants, says = answer(wanted), answer(asked)
        self.name_the_new_file()
        assert says == wants or {says, wants} <= set(alike), f"{says!r}, not {wants!r}"

    def name_the_new_file(self) -> None:
        """The model learns the id that the product has chosen."""
        if NEW in self.model.files:
            unknown = {row[0] for row in ask(self.store, "SELECT id FROM files")} - set(self.model.files)
            assert len(unknown) == 1, f"there is {unknown}, there should be one new file"
            self.model.files[unknown.pop()] = self.model.files.pop(NEW)

    def by_hour(self, given: dict[str, Any]) -> dict[str, Any]:
        """What the model is given for `expires` in so many hours."""
        hours = given.get("expires")
        return given if hours is None else {**given, "expires": self.model.hour + hours}

    def wait(self, hours: int) -> None:
        """Let so many hours pass."""
        self.model.hour += hours
        ask(self.store, CLOCK, hours=hours)

    def compare(self) -> None:
        """Everything is in the store as it is in the model, and the oracle finds what is wrong and nothing else."""
        _same(ask(self.store, FILES), self._files())
        _same(ask(self.store, COUNTERS), self._counters())
        _same(ask(self.store, BLOBS), self._blobs())
        _same(self._disk(), ((number, blob.disk) for number, blob in enumerate(self.model.blobs) if blob.disk))
        found = ((finding.rule, _number_in(finding.where)) for finding in check(self.store, deep=True))
        _same(found, self.model.findings())

    def _files(self) -> Iterator[Row]:
        for file_id, file in self.model.files.items():
            over = None if file.expires is None else self.model.is_over(file)
            digest, ready = DIGESTS[file.content].hex, file.turn is not None
            yield file_id, file.owner, digest, file.name, file.folder, file.visibility, ready, over

    def _counters(self) -> Iterator[Row]:
        for owner, quota in self.model.quotas.items():
            mine = [file.content for file in self.model.of(owner).values()]
            logical = sum(len(CONTENTS[content]) for content in mine)
            yield owner, quota, self.model.used(owner), logical, len(mine), len(set(mine))

    def _blobs(self) -> Iterator[Row]:
        for content, blob in enumerate(self.model.blobs):
            if blob.row:
                yield DIGESTS[content].hex, blob.row, blob.located, len(self.model.owners(content))

    def _disk(self) -> Iterator[tuple[int, str]]:
        """Only of the contents that there are; what else might lie there is a finding."""
        for number, content in enumerate(CONTENTS):
            path = path_of(self.store, number)
            if path.exists():
                yield number, {rotten(content): BAD, content: GOOD}[path.read_bytes()]


def _same(there: Iterable[Row], wanted: Iterable[Row]) -> None:
    only_there, only_wanted = Counter(there), Counter(wanted)
    assert only_there == only_wanted, f"there is {only_there - only_wanted}, there should be {only_wanted - only_there}"


def answer(call: Callable[[], object]) -> Any:
    """What it returns, or the class of the error that it raises."""
    try:
        return call()
    except (BlobstoreError, OSError) as error:
        return type(error)


def by_clock(given: dict[str, Any]) -> Changes:
    """What the product is given for `expires` in so many hours."""
    changes = {key: value for key, value in given.items() if key != "expires"}
    if "expires" in given:
        hours = given["expires"]
        changes["expires_at"] = None if hours is None else datetime.now(UTC) + timedelta(hours=hours)
    return Changes(**changes)  # type: ignore[typeddict-item]


def rotten(content: bytes) -> bytes:
    """Other bytes, as many."""
    return bytes(byte ^ 1 for byte in content)


def path_of(store: Store, content: int) -> Path:
    """Where the bytes lie on the disk."""
    return store.settings.store / DIGESTS[content].hex[:2] / DIGESTS[content].hex


@contextmanager
def failing(*points: str) -> Iterator[None]:
    """Whoever passes one of these failpoints gets an OSError."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(failpoints, "_actions", lambda: dict.fromkeys(points, "errno:EIO"))
        yield


def _number_in(where: str) -> int:
    found = re.search("[0-9a-f]{64}", where)
    assert found, where
    return NUMBERS[found[0]]
