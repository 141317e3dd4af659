"""The planted bugs: the protocol's own functions and statements, each with one rule dropped."""

from __future__ import annotations

import inspect
import textwrap
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
from sqlalchemy import text

from blobstore.core import banned, blobs, delete, files, quota, upload
from blobstore.core.blobs import Locked
from blobstore.core.delete import Which
from blobstore.database import Prepared
from blobstore.errors import QuotaExceeded, UploadLost
from blobstore.offload import offload
from blobstore.storage.disk import Disk
from blobstore.storage.staging import DiskStaged
from tests.races.world import World

Plant = Callable[[pytest.MonkeyPatch, World | None], None]


def reword(module: ModuleType, name: str, old: str, new: str = "") -> Plant:
    """A statement in other words."""

    def plant(patch: pytest.MonkeyPatch, _: World | None) -> None:
        before = getattr(module, name)
        if isinstance(before, Prepared):
            patch.setattr(module, name, replace(before, sql=_other(before.sql, old, new)))
        else:
            patch.setattr(module, name, text(_other(before.text, old, new)))

    return plant


def swap(owner: object, name: str, instead: Any) -> Plant:
    return lambda patch, _: patch.setattr(owner, name, instead)


def _other(before: str, old: str, new: str) -> str:
    assert old in before, f"it does not say {old!r} any more"
    return before.replace(old, new)


def rewrite(owner: Any, name: str, old: str, new: str) -> Plant:
    """A function in other words."""

    def plant(patch: pytest.MonkeyPatch, _: World | None) -> None:
        before = getattr(owner, name)
        made: dict[str, Any] = {}
        exec(_other(textwrap.dedent(inspect.getsource(before)), old, new), before.__globals__, made)
        patch.setattr(owner, name, made[name])

    return plant


def other_blobs(module: ModuleType, **instead: Any) -> Plant:
    """One use case alone sees the owner of blobs with other functions."""
    return lambda patch, _: patch.setattr(module, "blobs", SimpleNamespace(**{**vars(blobs), **instead}))


def both(*plants: Plant) -> Plant:
    def plant(patch: pytest.MonkeyPatch, world: World | None) -> None:
        for each in plants:
            each(patch, world)

    return plant


_LOOK = text(blobs._LOCK.text.replace("FOR UPDATE", ""))
_COUNT = text(blobs._CLAIMED.text.replace("FOR UPDATE", ""))
_NOTHING = text(blobs._LOCK_OR_INSERT.text.split("ON CONFLICT", maxsplit=1)[0] + "ON CONFLICT (digest) DO NOTHING")


def look(session: Any, digest: Any) -> Locked | None:
    row = session.execute(_LOOK, {"digest": digest.hex}).one_or_none()
    return Locked(*row) if row else None


def count(session: Any, owner_id: int, digest: Any) -> int:
    return session.execute(_COUNT, {"owner": owner_id, "digest": digest.hex}).scalar() or 0


def insert_or_nothing(session: Any, digest: Any, size_bytes: int, content_type: str) -> Locked:
    values = {"digest": digest.hex, "size": size_bytes, "content_type": content_type}
    session.execute(_NOTHING, values)
    return Locked(*session.execute(_LOOK, values).one())


def always_whole(session: Any, *given: Any) -> Locked:
    locked = blobs.lock_or_insert(session, *given)
    return Locked(locked.size_bytes, locked.location, whole=locked.location is not None)


def vouch_if_needed(session: Any, digest: Any, location: str, content_type: str) -> None:
    if not Locked(*session.execute(_LOOK, {"digest": digest.hex}).one()).whole:
        blobs.vouch(session, digest, location, content_type)


def twin_before_the_lock(self: Any, location: str) -> Any:
    name, folder = upload._place(self.caller, self.digest, self.given)
    with self.store.database.transaction() as session:
        twin = files.find_twin(session, self.owner_id, self.digest, name=name, folder=folder, but=self.file_id)
        blob = blobs.lock(session, self.digest)
        if twin:
            self._drop_for(session, twin.id)
        else:
            self._ready(session)
        if blob and not blob.whole:
            blobs.vouch(session, self.digest, location, self.received.content_type)
        return upload.Outcome(
            upload._stored(
                session, self.store, self.caller, self.digest, twin.id if twin else self.file_id, (name, folder)
            ),
            created=not twin,
        )


def record_first(self: Any) -> Any:
    outcome = self.record(f"disk:{self.digest.hex[:2]}/{self.digest}")
    offload(self.received.staged.publish, self.digest)
    return outcome


def resolve_unlocked(self: Any) -> Any:
    with self.store.database.transaction() as session:
        file = files.read(session, self.file_id)
    if file is None:
        raise UploadLost("not there yet")
    return upload.Outcome(file, created=True)


def look_for_the_ban_first(self: Any, location: str) -> Any:
    with self.store.database.transaction() as session:
        banned.check(session, self.digest)
    return _RECORD(self, location)


_RECORD = upload._Upload.record


def ready_or_not(self: Any, session: Any) -> None:
    session.execute(upload._READY, {"id": self.file_id, "owner": self.owner_id})


def ids_from_a_sequence(patch: pytest.MonkeyPatch, world: World) -> None:
    patch.setattr(upload, "random_base62", lambda _: f"{world.ask('SELECT count(*) FROM files')[0][0]:08}")


def look_then_charge(session: Any, owner_id: int, size_bytes: int, *, new: bool) -> None:
    limit, used = session.execute(quota._LOOK, {"owner": owner_id}).one()
    if new and limit is not None and used + size_bytes > limit:
        raise QuotaExceeded(limit_bytes=limit, used_bytes=used, needed_bytes=size_bytes)
    values = {"owner": owner_id, "size": size_bytes, "cost": size_bytes if new else 0, "contents": int(new)}
    session.execute(text(quota._CHARGE.text.rpartition("AND (")[0]), values)


def sweep_in_another_order(store: Any, digest: Any) -> int | None:
    with store.database.transaction() as session:
        disowned, location = blobs.still_disowned(session, digest)
    if disowned:
        with store.storage.exclusive(digest):
            store.storage.delete(location)
            with store.database.transaction() as session:
                blobs.forget(session, digest, location)
    return 0


def locked_for_sweeps_only(self: Any, shard: str, how: int) -> Any:
    import fcntl

    return _LOCKED(self, shard, how) if how == fcntl.LOCK_EX else nullcontext()


_LOCKED = Disk.locked


def keep_what_is_there(self: Any, digest: Any) -> str:
    if Path(self._place.shard_folder(digest), digest.hex).exists():
        self.discard()
        return f"disk:{digest.hex[:2]}/{digest}"
    return str(_PUBLISH(self, digest))


_PUBLISH = DiskStaged.publish


def empty_first(self: Any, location: str) -> None:
    Path(self._path(location)).chmod(0o600)
    Path(self._path(location)).write_bytes(b"")
    _DELETE(self, location)


_DELETE = Disk.delete


def still(session: Any, digest: Any) -> tuple[bool, str | None]:
    row = session.execute(text("SELECT location FROM blobs WHERE digest = :digest"), {"digest": digest.hex}).one()
    return True, row[0]


def at_least_one(*given: Any) -> int:
    return max(_DELETE_ROWS(*given), 1)


_DELETE_ROWS = delete._delete_rows


def claims_before_blobs(session: Any, owner_id: int, digest: Any, which: Which, values: Any) -> Any:
    blobs.claimed(session, owner_id, digest)
    return _REMOVE(session, owner_id, digest, which, values)


def asynchronous_delete(session: Any, *given: Any) -> Any:
    session.execute(text("SET LOCAL synchronous_commit = off"))
    return _REMOVE(session, *given)


_REMOVE = delete._remove

DROPS_PUBLISHED = [
    reword(blobs, name, " AND published_at IS NULL") for name in ("_DISOWNED", "_IS_DISOWNED", "_FORGET")
]
TAKES_WHAT_IS_CLAIMED = [
    reword(blobs, "_DISOWN", "refs = 0 AND published_at IS NOT NULL AND unreferenced_at", "now()"),
    reword(blobs, "_DISOWNED", "refs = 0 AND "),
    reword(blobs, "_IS_DISOWNED", " AND refs = 0"),
]
NO_LAST_LOOK = [
    reword(files, name, f" AND {banned.REASON.format('f.digest')} IS NULL") for name in ("_ONE", "_ONE_NOTED")
]
TAKE_OVER = "DO UPDATE SET published_at = NULL, location = EXCLUDED.location"
