"""The real use cases beside the model, on a real PostgreSQL and a real disk: hypothesis thinks of the steps.

After every step all rows, all counters, all bytes on the disk and all that the oracle finds are what the model says.
Few rules with many ways each: of many rules a run has only some.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import timedelta
from functools import partial
from typing import Any

from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    initialize,
    invariant,
    multiple,
    rule,
    run_state_machine_as_test,
)

from blobstore.core import admin, delete, files, removal, upkeep, upload, verify
from blobstore.core.files import Filters
from blobstore.core.gate import Caller
from blobstore.core.store import Store
from blobstore.errors import DigestMismatch, QuotaExceeded
from tests.core.acts import fetch
from tests.races.model import BAD, CONTENTS, GOOD, NEW, USERS
from tests.races.pair import DIGESTS, NUMBERS, Pair, by_clock, failing, path_of, rotten
from tests.storage.contract import put

STEPS = 20
NOW = timedelta(0)
OWNER = "the owner"
EVERYBODY = (*USERS, None)

owners = st.sampled_from(list(USERS))
strangers = st.sampled_from([OWNER, OWNER, OWNER, *USERS])
contents = st.integers(0, len(CONTENTS) - 1)
hours = st.integers(0, 2)
graces = st.sampled_from([0, 2])
changes = st.fixed_dictionaries(
    {},
    optional={
        "name": st.sampled_from(["x", "y"]),
        "folder": st.sampled_from(["/", "/a"]),
        "visibility": st.sampled_from(["public", "private"]),
        "expires": st.sampled_from([None, 1, 2]),
    },
)
"""`expires`: in so many hours, or never."""
uploads = st.tuples(
    owners, contents, changes, st.sampled_from(["plain", "unannounced", "declared", "declared as another"])
)
DYING = ("blob_locked", "reserved", "reserved", "before_record", "before_record", "recorded")
REMOVED = "removed"


class Machine(RuleBasedStateMachine):
    """Every rule does one thing to both, and compares what they answer."""

    made = Bundle("made")
    """The ids of files, gone or not."""

    def __init__(self, store: Store) -> None:
        super().__init__()
        self.pair = Pair(store)
        self.store, self.model, self.agree = store, self.pair.model, self.pair.agree

    @initialize(target=made, sent=st.lists(uploads, min_size=3, max_size=5))
    def begin(self, sent: list[Any]) -> Any:
        return self.upload(sent)

    @rule(target=made, sent=st.lists(uploads, min_size=1, max_size=3))
    def upload(self, sent: list[Any]) -> Any:
        made = []
        for owner, content, given, how in sent:
            declared = {"declared": content, "declared as another": (content + 1) % len(CONTENTS)}.get(how)
            alike = (DigestMismatch, QuotaExceeded) if how == "declared as another" else ()
            made += self._send(owner, content, given, *alike, declared=declared, announced=how != "unannounced")
            self.pair.compare()
        return multiple(*made)

    @rule(
        target=made,
        owner=owners,
        content=contents,
        given=changes,
        died=st.sampled_from(DYING),
        alone=st.booleans(),
    )
    def upload_that_dies(self, owner: str, content: int, given: dict[str, Any], died: str, alone: bool) -> Any:
        """`alone`: only this request fails, and clears up; else nobody is left who could."""
        with failing(died, *([] if alone else ["delete_locked"])):
            return multiple(*self._send(owner, content, given, OSError, QuotaExceeded, died=died, alone=alone))

    def _send(
        self,
        owner: str,
        content: int,
        given: dict[str, Any],
        *alike: type[Exception],
        declared: int | None = None,
        died: str = "",
        alone: bool = True,
        announced: bool = True,
    ) -> list[str]:
        """Upload to both. The id of the file if it was acknowledged."""
        acknowledged: list[str] = []

        def wanted() -> str:
            try:
                return self.model.upload(owner, content, self.pair.by_hour(given), declared=declared, died=died)
            except OSError:
                if alone:
                    self.model.give_up()
                raise

        def said() -> str:
            digest = None if declared is None else DIGESTS[declared]
            size = len(CONTENTS[content]) if announced else None
            caller, pieces = self.pair.owner(owner), [CONTENTS[content]]
            outcome = upload.upload(self.store, caller, pieces, by_clock(given), declared=digest, size_bytes=size)
            acknowledged.append(outcome.file.id)
            return NEW if outcome.created else outcome.file.id

        self.agree(wanted, said, *alike)
        return acknowledged

    @rule(file_id=made, by=strangers, given=changes)
    def change(self, file_id: str, by: str, given: dict[str, Any]) -> None:
        caller = self._somebody(file_id, by)
        self.agree(
            lambda: self.model.change(caller.name, file_id, self.pair.by_hour(given)),
            lambda: files.change(self.store, caller, file_id, by_clock(given)).name,
        )

    @rule(file_id=made, by=strangers)
    def delete_one(self, file_id: str, by: str) -> None:
        caller = self._somebody(file_id, by)
        self.agree(
            lambda: self.model.owned(caller.name, file_id) and self.model.drop(file_id),
            lambda: delete.delete_file(self.store, caller, file_id).files,
        )

    def _somebody(self, file_id: str, by: str) -> Caller:
        """The owner of the file, or who else is asked for."""
        file = self.model.files.get(file_id)
        return self.pair.owner(file.owner if file and by == OWNER else next(iter(USERS)) if by == OWNER else by)

    @rule(owner=owners, content=contents, how=st.sampled_from(["plainly", "dry run", "delete_locked", "deleted"]))
    def delete_by_hash(self, owner: str, content: int, how: str) -> None:
        dies = how in ("delete_locked", "deleted")

        def wanted() -> int:
            gone = self.model.drop_content(owner, content, dry_run=how in ("dry run", "delete_locked"))
            if dies:
                raise OSError
            return gone

        caller, dry_run = self.pair.owner(owner), how == "dry run"
        with failing(*([how] if dies else [])):
            self.agree(
                wanted, lambda: delete.delete_content(self.store, caller, DIGESTS[content], dry_run=dry_run).files
            )

    @rule(owner=owners, given=st.sampled_from([None, 0, 100, 160, 260, REMOVED]))
    def administer(self, owner: str, given: int | str | None) -> None:
        """Give the user another quota, or remove him with all that is his; another one gets his name then."""
        if given == REMOVED:
            removes = partial(removal.remove_account, self.store, owner)
            self.agree(lambda: self.model.drop(*self.model.of(owner)), removes)
            self.pair.add(owner)
        else:
            self.model.quotas[owner] = given
            admin.set_quota(self.store, owner, given)

    @rule(later=hours)
    def everybody_reads_everything(self, later: int) -> None:
        self.pair.wait(later)
        for content in range(len(CONTENTS)):
            for reader in EVERYBODY:
                self._read(reader, content)

    def _read(self, reader: str | None, content: int) -> None:
        kept = {GOOD: CONTENTS[content], BAD: rotten(CONTENTS[content])}
        self.agree(
            lambda: kept[self.model.read(reader, content)],
            lambda: fetch(self.store, self.pair.caller(reader), CONTENTS[content]),
        )

    @rule(limit=st.integers(1, 3))
    def everybody_looks_at_everything(self, limit: int) -> None:
        for owner in USERS:
            self._list(owner, limit)
        for file_id in self.model.files:
            for reader in EVERYBODY:
                self._look(reader, file_id)

    def _look(self, reader: str | None, file_id: str) -> None:
        self.agree(
            lambda: self.model.seen(reader, file_id).name,
            lambda: files.get(self.store, self.pair.caller(reader), file_id).name,
        )

    def _list(self, owner: str, limit: int) -> None:
        self.agree(lambda: self.model.listed(owner), lambda: list(self._pages(self.pair.owner(owner), limit)))

    def _pages(self, owner: Caller, limit: int) -> Iterator[str]:
        page = files.page(self.store, owner, Filters(), limit=limit, cursor=None)
        yield from (file.id for file in page.items)
        while page.next:
            page = files.page(self.store, owner, Filters(), limit=limit, cursor=page.next)
            yield from (file.id for file in page.items)

    @rule(later=hours, grace=graces)
    def reap(self, later: int, grace: int) -> None:
        self.pair.wait(later)
        self.agree(lambda: self.model.reap(grace), lambda: upkeep.reap(self.store, timedelta(hours=grace)))

    @rule(later=hours, grace=graces, died=st.sampled_from(["", "", "swept_mark", "swept_unlinked", "swept"]))
    def sweep(self, later: int, grace: int, died: str) -> None:
        self.pair.wait(later)

        def wanted() -> upkeep.Swept:
            unused = sorted(self.model.unused(grace), key=lambda content: DIGESTS[content].hex)
            if not died:
                return upkeep.Swept(*self.model.sweep(unused))
            self.model.disown(unused)
            if died == "swept_unlinked":
                self.model.unlink(unused[:1])
            if died == "swept":
                self.model.sweep(unused[:1])
            if unused or died == "swept_mark":
                raise OSError
            return upkeep.Swept(0, 0)

        with failing(died):
            self.agree(wanted, lambda: upkeep.sweep(self.store, timedelta(hours=grace)))

    @rule(what=st.sampled_from(["adopt", "verify"]))
    def look_after_the_bytes(self, what: str) -> None:
        pairs: dict[str, tuple[Callable[[], object], Callable[[], object]]] = {
            "adopt": (self.model.adopt, lambda: upkeep.adopt(self.store, NOW)),
            "verify": (
                self.model.verify,
                lambda: {NUMBERS[damage.digest.hex] for damage in verify.verify(self.store)},
            ),
        }
        self.agree(*pairs[what])

    @rule(content=contents, how=st.sampled_from(["rot", "rot", "vanish", "appear"]))
    def harm(self, content: int, how: str) -> None:
        """Bytes become others, or vanish, or have no row: a crash of PostgreSQL may take transaction 1 back."""
        there = [number for number, blob in enumerate(self.model.blobs) if blob.disk]
        if how == "appear":
            if self.model.blobs[content].row is None:
                put(self.store.storage, CONTENTS[content])
                self.model.blobs[content].disk = GOOD
        elif there:
            chosen = there[content % len(there)]
            path = path_of(self.store, chosen)
            path.unlink()
            rots = how == "rot" and bool(CONTENTS[chosen])
            self.model.blobs[chosen].disk = BAD if rots else None
            if rots:
                path.write_bytes(rotten(CONTENTS[chosen]))

    @invariant()
    def everything_is_as_it_should_be(self) -> None:
        self.pair.compare()


def run(
    store: Store,
    examples: int,
    *,
    always_the_same: bool = True,
    phases: tuple[Phase, ...] = (Phase.generate, Phase.shrink),
) -> None:
    """So many runs of about STEPS steps. Raises the first difference, with the fewest steps to it that were found."""
    run_state_machine_as_test(
        partial(Machine, store),
        settings=settings(
            max_examples=examples,
            stateful_step_count=STEPS,
            derandomize=always_the_same,
            database=None,
            deadline=None,
            phases=phases,
            suppress_health_check=list(HealthCheck),
        ),
    )
