"""The store as it should be, in the fewest words: who has which files, and what is known of a content's bytes.

Nothing happens at once here, time passes in whole hours, and every rule is said once. The machine compares it with the
tables and the disk after every step.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from blobstore.errors import AlreadyExists, ContentDamaged, DigestMismatch, NotFound, QuotaExceeded
from tests.storage.contract import digest_of, sample

USERS: dict[str, int | None] = {"ann": None, "bob": 160}
"""With their quotas, in the beginning."""
CONTENTS = [b"", *(sample(size, f"{size} {number}") for number, size in enumerate((100, 100, 60)))]
WHOLE, DAMAGED, DISOWNED = "whole", "damaged", "disowned"
GOOD, BAD = "good", "bad"
NEW = "new"
"""A file that has been made just now: its id is the product's to choose."""


@dataclass
class File:
    """A file, ready or not; `expires` and `since` are hours. `turn`: when it became ready, among all others."""

    owner: str
    content: int
    name: str
    folder: str
    since: int
    visibility: str = "public"
    expires: int | None = None
    turn: int | None = None


@dataclass
class Blob:
    """A content: what its row says (None: no row), whether the row has a location, and what lies on the disk."""

    row: str | None = None
    located: bool = False
    disk: str | None = None
    unused_since: int = 0

    def vouch(self) -> None:
        self.row, self.located = WHOLE, True


@dataclass
class Model:
    """Everything. Methods that refuse raise what the product must raise."""

    quotas: dict[str, int | None] = field(default_factory=USERS.copy)
    files: dict[str, File] = field(default_factory=dict)
    blobs: list[Blob] = field(default_factory=lambda: [Blob() for _ in CONTENTS])
    hour: int = 0
    turns: int = 0

    def of(self, owner: str, content: int | None = None) -> dict[str, File]:
        """Every file that counts for the owner."""
        return {
            file_id: file
            for file_id, file in self.files.items()
            if file.owner == owner and content in (None, file.content)
        }

    def lives(self, file: File) -> bool:
        return file.turn is not None and not self.is_over(file)

    def is_over(self, file: File) -> bool:
        return file.expires is not None and file.expires <= self.hour

    def used(self, owner: str) -> int:
        """What the owner pays for: each of his contents once."""
        return sum(len(CONTENTS[content]) for content in {file.content for file in self.of(owner).values()})

    def check_quota(self, owner: str, content: int) -> None:
        """What he has already costs nothing, and so does what is empty."""
        cost = 0 if self.of(owner, content) else len(CONTENTS[content])
        quota = self.quotas[owner]
        if cost and quota is not None and self.used(owner) + cost > quota:
            raise QuotaExceeded(limit_bytes=quota, used_bytes=self.used(owner), needed_bytes=cost)

    def twin(self, owner: str, content: int, given: dict[str, Any], but: str = "") -> str | None:
        """The owner's oldest live file of that content in that place; where none is given, any place will do."""
        wanted = {key: given[key] for key in ("name", "folder") if key in given}
        if "name" in wanted:
            wanted.setdefault("folder", "/")
        found = {
            file_id: file
            for file_id, file in self.of(owner, content).items()
            if self.lives(file) and file_id != but and all(getattr(file, key) == wanted[key] for key in wanted)
        }
        return min(found, key=lambda file_id: found[file_id].turn or 0, default=None)

    def upload(
        self, owner: str, content: int, given: dict[str, Any], *, declared: int | None = None, died: str = ""
    ) -> str:
        """The file that an upload becomes, NEW unless it was there; `died` is the failpoint that it does not survive.

        Raises DigestMismatch, QuotaExceeded, OSError where it dies.
        """
        if declared is not None and self.holds(owner, declared):
            return self.repeated(owner, declared, given) or self.make_ready(self.reserve(owner, declared, given))
        if declared not in (None, content):
            raise DigestMismatch("", "")
        self.die_at("blob_locked", died)
        twin = self.repeated(owner, content, given)
        if twin:
            return twin
        self.check_quota(owner, content)
        self.reserve(owner, content, given)
        self.die_at("reserved", died)
        self.blobs[content].disk = GOOD
        self.die_at("before_record", died)
        made = self.record(given)
        self.die_at("recorded", died)
        return made

    def give_up(self) -> None:
        """What a failed upload does when it still can: it deletes what it has reserved."""
        if NEW in self.files and self.files[NEW].turn is None:
            self.drop(NEW)

    @staticmethod
    def die_at(point: str, died: str) -> None:
        if point == died:
            raise OSError

    def holds(self, owner: str, content: int) -> bool:
        """Whether an upload that declares this content needs no body."""
        return self.blobs[content].row == WHOLE and any(map(self.lives, self.of(owner, content).values()))

    def repeated(self, owner: str, content: int, given: dict[str, Any]) -> str | None:
        """The file that an upload repeats, with what was given applied; None when it is a new one."""
        twin = self.twin(owner, content, given) if self.blobs[content].row == WHOLE else None
        if twin:
            self.apply(twin, given)
        return twin

    def reserve(self, owner: str, content: int, given: dict[str, Any]) -> str:
        """Transaction 1 of an upload that repeats nothing."""
        blob = self.blobs[content]
        blob.row = blob.row or DISOWNED
        place = {"name": digest_of(CONTENTS[content]).hex, "folder": "/"}
        self.files[NEW] = File(owner, content, **{**place, **given}, since=self.hour)
        return NEW

    def record(self, given: dict[str, Any]) -> str:
        """Transaction 2, when the bytes are there: the file, or the twin that was there before it."""
        file = self.files[NEW]
        self.blobs[file.content].vouch()
        twin = self.twin(file.owner, file.content, {"name": file.name, "folder": file.folder}, but=NEW)
        if twin is None:
            return self.make_ready(NEW)
        self.drop(NEW)
        self.apply(twin, given)
        return twin

    def make_ready(self, file_id: str) -> str:
        self.turns += 1
        self.files[file_id].turn = self.turns
        return file_id

    def apply(self, file_id: str, given: dict[str, Any]) -> None:
        for key, value in given.items():
            setattr(self.files[file_id], key, value)

    def drop(self, *file_ids: str) -> int:
        """The ordinary delete; the bytes stay."""
        for file_id in file_ids:
            content = self.files.pop(file_id).content
            if not self.owners(content):
                self.blobs[content].unused_since = self.hour
        return len(file_ids)

    def owners(self, content: int) -> set[str]:
        return {file.owner for file in self.files.values() if file.content == content}

    def owned(self, owner: str, file_id: str) -> File:
        """A live file of the owner's. Raises NotFound for every other one."""
        file = self.files.get(file_id)
        if file is None or file.owner != owner or not self.lives(file):
            raise NotFound("")
        return file

    def change(self, owner: str, file_id: str, given: dict[str, Any]) -> str:
        """PATCH; the name it has then. Raises NotFound, AlreadyExists."""
        file = self.owned(owner, file_id)
        place = {"name": file.name, "folder": file.folder}
        wanted = place | {key: given[key] for key in place if key in given}
        if wanted != place and self.twin(owner, file.content, wanted, but=file_id):
            raise AlreadyExists("")
        self.apply(file_id, given)
        return file.name

    def drop_content(self, owner: str, content: int, *, dry_run: bool = False) -> int:
        """DELETE by hash: all names that he gave it, expired ones too. Raises NotFound."""
        ready = [file_id for file_id, file in self.of(owner, content).items() if file.turn is not None]
        if not ready:
            raise NotFound("")
        return len(ready) if dry_run else self.drop(*ready)

    def read(self, reader: str | None, content: int) -> str:
        """GET by hash: what the bytes are. Raises NotFound, ContentDamaged."""
        live = filter(self.lives, self.files.values())
        if not any(file.content == content and (file.visibility == "public" or file.owner == reader) for file in live):
            raise NotFound("")
        blob = self.blobs[content]
        if blob.row == WHOLE and blob.disk is None:
            blob.row = DAMAGED
        if blob.row != WHOLE or blob.disk is None:
            raise ContentDamaged("")
        return blob.disk

    def seen(self, reader: str | None, file_id: str) -> File:
        """A file by its id. Raises NotFound."""
        file = self.files.get(file_id)
        if file is None or not self.lives(file) or (file.visibility != "public" and file.owner != reader):
            raise NotFound("")
        return file

    def listed(self, owner: str) -> list[str]:
        """The owner's live files, newest first."""
        live = {file_id: file.turn or 0 for file_id, file in self.of(owner).items() if self.lives(file)}
        return sorted(live, key=lambda file_id: -live[file_id])

    def reap(self, grace: int) -> int:
        """Expired files, and uploads that nobody has finished for so many hours."""
        stalled = [
            file_id for file_id, file in self.files.items() if file.turn is None and self.hour - file.since >= grace
        ]
        expired = [file_id for file_id, file in self.files.items() if self.is_over(file) and file_id not in stalled]
        return self.drop(*stalled, *expired)

    def unused(self, grace: int) -> list[int]:
        """The contents that a sweep takes."""
        return [
            content
            for content, blob in enumerate(self.blobs)
            if blob.row and not self.owners(content) and self.hour - blob.unused_since >= grace
        ]

    def disown(self, contents: list[int]) -> None:
        for content in contents:
            if self.blobs[content].row == WHOLE:
                self.blobs[content].row = DISOWNED

    def unlink(self, contents: list[int]) -> int:
        """The bytes that their rows know of; how many."""
        known = [content for content in contents if self.blobs[content].located]
        freed = sum(len(CONTENTS[content]) for content in known if self.blobs[content].disk)
        for content in known:
            self.blobs[content].disk = None
        return freed

    def sweep(self, contents: list[int]) -> tuple[int, int]:
        """How many rows went, and how many bytes."""
        freed = self.unlink(contents)
        for content in contents:
            self.blobs[content] = Blob(disk=self.blobs[content].disk)
        return len(contents), freed

    def adopt(self) -> int:
        """Bytes without a row get one that vouches for nothing."""
        found = [blob for blob in self.blobs if blob.disk and not blob.row]
        for blob in found:
            blob.row, blob.located, blob.unused_since = DISOWNED, True, self.hour
        return len(found)

    def verify(self) -> set[int]:
        """The contents that are vouched for and are not what they were; from now on that is known."""
        found = {number for number, blob in enumerate(self.blobs) if blob.row == WHOLE and blob.disk != GOOD}
        for number in found:
            self.blobs[number].row = DAMAGED
        return found

    def findings(self) -> Iterator[tuple[str, int]]:
        """What the oracle has to say, and nothing else."""
        for content, blob in enumerate(self.blobs):
            if blob.disk and not blob.row:
                yield "bytes without a row", content
            if blob.row == WHOLE and blob.disk != GOOD:
                yield f"a published blob with{' other' if blob.disk else 'out'} bytes", content
            if blob.row == DAMAGED and self.owners(content):
                yield "the bytes are known to be damaged", content
