"""Whatever changes the store, as something to be killed: what was before, what is asked for, what was promised."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

from blobstore.core import upkeep, verify
from blobstore.errors import NotFound
from tests.crash.changes import NAMED
from tests.crash.judging import Promise, Promised
from tests.crash.peer import NOW, VERBS
from tests.crash.scene import DELETING, KEEPING, RECEIVING, SWEEPING, Scene, hex_of

CONTENT, ANOTHER, UNTOUCHED = "a content", "another content", "a content that nobody touches"

CALLS = "%file,%desc,%network"
"""What touches a file, a lock or the database. What only computes changes nothing that anybody else could see."""


@dataclass(frozen=True)
class Operation:
    """One verb of peer.py after `prepare`, which says what had been promised by then.

    `points`: the failpoints that it passes, as Peer.run takes them; `calls`: its system calls, as strace takes them.
    """

    verb: str
    prepare: Callable[[Scene], Promised]
    points: tuple[str, ...]
    changed: str = ""
    calls: str = CALLS

    def arguments(self, scene: Scene) -> dict[str, object]:
        """What the child is asked for."""
        if self.verb == "upload":
            return {"owner": scene.me, "content": CONTENT, "name": "x"}
        return {"owner": scene.me, "digest": hex_of(CONTENT)} if self.verb == "delete" else {}

    def acknowledge(self, scene: Scene, promised: Promised) -> None:
        """It was told that it is done."""
        promised.open.discard((scene.me, CONTENT))
        if self.verb == "upload":
            promised.kept.add((scene.me, CONTENT))
            promised.known.clear()

    def again(self, scene: Scene, promised: Promised) -> None:
        """Nobody was told anything, so he asks again; of what upkeep takes he uploads one anew."""
        promised.open.clear()
        if self.verb == "delete":
            with suppress(NotFound):
                VERBS["delete"](scene.store, owner=scene.me, digest=hex_of(CONTENT))
            return
        if self.verb == "prepare":
            VERBS["prepare"](scene.store)
        scene.upload(scene.me, CONTENT)
        promised.kept.add((scene.me, CONTENT))
        promised.known.clear()


def _kept(scene: Scene, *promises: Promise) -> Promised:
    """These are uploaded, and somebody else's content."""
    kept = {(scene.you, UNTOUCHED), *promises}
    for owner, content in sorted(kept):
        scene.upload(owner, content)
    return Promised(kept)


def _opened(scene: Scene, *promises: Promise) -> Promised:
    """The same, and what becomes of my own copy of the content is what the killed one leaves open."""
    promised = _kept(scene, *promises)
    promised.kept.discard((scene.me, CONTENT))
    promised.open.add((scene.me, CONTENT))
    return promised


def _nothing(scene: Scene) -> Promised:
    return _opened(scene)


def _yours(scene: Scene) -> Promised:
    return _opened(scene, (scene.you, CONTENT))


def _mine(scene: Scene) -> Promised:
    return _kept(scene, (scene.me, CONTENT))


def _mine_to_lose(scene: Scene) -> Promised:
    return _opened(scene, (scene.me, CONTENT))


def _ours_to_lose(scene: Scene) -> Promised:
    return _opened(scene, (scene.me, CONTENT), (scene.you, CONTENT))


def _rotten(scene: Scene) -> Promised:
    promised = _opened(scene, (scene.me, CONTENT))
    path = scene.store.settings.store / hex_of(CONTENT)[:2] / hex_of(CONTENT)
    path.chmod(0o640)
    path.write_bytes(b"rot")
    assert len(list(verify.verify(scene.store))) == 1
    promised.known.add(hex_of(CONTENT))
    return promised


def _unclaimed(scene: Scene) -> Promised:
    both = {(scene.me, CONTENT), (scene.me, ANOTHER)}
    promised = _kept(scene, *both)
    for owner, content in both:
        VERBS["delete"](scene.store, owner=owner, digest=hex_of(content))
    promised.kept -= both
    return promised


def _stalled(scene: Scene) -> Promised:
    for content in (CONTENT, ANOTHER):
        scene.peer("upload", "before_record", owner=scene.me, content=content, name="x")
    return _kept(scene)


def _expired(scene: Scene) -> Promised:
    both = {(scene.me, CONTENT), (scene.me, ANOTHER)}
    promised = _kept(scene, *both)
    scene.ask("UPDATE files SET expires_at = clock_timestamp() WHERE owner_id = :me RETURNING id", me=scene.me)
    promised.kept -= both
    return promised


def _rowless(scene: Scene) -> Promised:
    scene.peer("upload", "after_dirsync", owner=scene.me, content=CONTENT, name="x")
    upkeep.reap(scene.store, NOW)
    upkeep.sweep(scene.store, NOW)
    promised = _kept(scene)
    promised.known.add(f"disk:{hex_of(CONTENT)[:2]}/{hex_of(CONTENT)}")
    return promised


def _unprepared(scene: Scene) -> Promised:
    shutil.rmtree(scene.store.settings.data / "another", ignore_errors=True)
    return _kept(scene)


_UPLOADING = (*RECEIVING, *KEEPING)
_TWICE = tuple(f"{turn}*{point}" for turn in (1, 2) for point in DELETING)
OPERATIONS = {
    "upload": Operation("upload", _nothing, _UPLOADING),
    "upload under a name": Operation("upload", _nothing, _UPLOADING, NAMED),
    "upload of another's content": Operation("upload", _yours, _UPLOADING),
    "upload once more": Operation("upload", _mine, RECEIVING),
    "upload that heals": Operation("upload", _rotten, _UPLOADING),
    "delete": Operation("delete", _mine_to_lose, DELETING),
    "delete of a shared content": Operation("delete", _ours_to_lose, DELETING),
    "reap": Operation("reap", _stalled, _TWICE),
    "expiry": Operation("reap", _expired, _TWICE),
    "sweep": Operation("sweep", _unclaimed, (*SWEEPING, *(f"2*{point}" for point in SWEEPING[1:]))),
    # Its two thousand other calls look into the folders.
    "adopt": Operation("adopt", _rowless, (), calls="%network"),
}
"""Those that are killed."""
STORING = {
    **{name: operation for name, operation in OPERATIONS.items() if name.startswith("upload")},
    "sweep": OPERATIONS["sweep"],
    "adopt": Operation("adopt", _rowless, ()),
    "prepare": Operation("prepare", _unprepared, ()),
}
"""Those that use the disk."""
