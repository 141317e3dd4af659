"""What a store is judged by: who was promised what, and what of that is lost, corrupt or left over."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Self

from blobstore.core.check import Finding, check
from blobstore.errors import BlobstoreError
from tests.core.acts import fetch
from tests.crash.peer import caller
from tests.crash.scene import Scene, hex_of

Promise = tuple[int, str]
"""An owner and a content of his."""

LOST = {
    "a published blob without bytes",
    "a ready file whose blob is neither published nor known to be damaged",
    "the bytes are known to be damaged",
}
CORRUPT = {"a published blob of another size", "a published blob with other bytes"}


@dataclass
class Harm:
    """What is wrong, each thing once, by its name."""

    lost: set[str] = field(default_factory=set)
    corrupt: set[str] = field(default_factory=set)
    leaked: set[str] = field(default_factory=set)

    def __ior__(self, other: Harm) -> Self:
        self.lost |= other.lost
        self.corrupt |= other.corrupt
        self.leaked |= other.leaked
        return self

    def __bool__(self) -> bool:
        return bool(self.lost or self.corrupt or self.leaked)

    def __str__(self) -> str:
        return "; ".join(sorted(self.lost | self.corrupt | self.leaked))

    def note(self, findings: Iterable[Finding]) -> None:
        """Sort what the check has found."""
        for finding in findings:
            kind = self.lost if finding.rule in LOST else self.corrupt if finding.rule in CORRUPT else self.leaked
            kind.add(f"{finding.rule}: {finding.where}")


@dataclass
class Promised:
    """What was acknowledged, what is `open`, because its request had no answer, and where findings are `known`."""

    kept: set[Promise]
    open: set[Promise] = field(default_factory=set)
    known: set[str] = field(default_factory=set)

    def look(self, scene: Scene) -> Harm:
        """What is wrong now, with whatever an upkeep would take still there."""
        harm = Harm()
        harm.note(finding for finding in check(scene.store, deep=True) if finding.where not in self.known)
        there = ready(scene)
        for owner, content in self.kept:
            if (owner, hex_of(content)) not in there or not _serves(scene, owner, content):
                harm.lost.add(f"{content!r} of user {owner}")
        theirs = {(owner, hex_of(content)) for owner, content in self.kept | self.open}
        harm.leaked |= {f"a file that nobody has: {file}" for file in there - theirs}
        return harm

    def look_after_upkeep(self, scene: Scene) -> Harm:
        """The same when upkeep without any grace has run: nothing may be there that is in no ready file."""
        scene.tidy()
        harm = self.look(scene)
        digests = {digest for _, digest in ready(scene)}
        harm.leaked |= {f"{name} on the disk" for name in scene.on_disk() if name not in digests}
        for table in ("blobs", "claims", "files"):
            rows = {digest for (digest,) in scene.ask(f"SELECT digest FROM {table}")}
            harm.leaked |= {f"{digest} in {table}" for digest in rows - digests}
        return harm


def ready(scene: Scene) -> set[tuple[int, str]]:
    """The owner and the digest of every file that is there."""
    look = "SELECT owner_id, digest FROM files WHERE ready_at IS NOT NULL AND expires_at IS NULL"
    return {(owner, digest) for owner, digest in scene.ask(look)}


def _serves(scene: Scene, owner: int, content: str) -> bool:
    try:
        return fetch(scene.store, caller(owner), content.encode()) == content.encode()
    except BlobstoreError:
        return False
