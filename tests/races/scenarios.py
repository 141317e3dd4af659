"""The dangerous interleavings of uploads with each other, step by step. Each says what would be broken if it failed."""

from __future__ import annotations

from collections.abc import Callable

from blobstore.core import upkeep, upload, verify
from blobstore.core.delete import Which, remove
from blobstore.core.files import Changes
from blobstore.core.gate import Caller
from blobstore.errors import AlreadyExists, BlobstoreError, QuotaExceeded, UploadLost
from tests.races.world import COMMIT, LOOK_FOR_TWIN, NOW, Actor, Violation, World
from tests.storage.contract import digest_of, put, sample

Scenario = Callable[[World], None]
ONE, OTHER = sample(100, "one"), sample(60, "other")
PENDING = "SELECT id, owner_id, digest FROM files\nWHERE ready_at IS NULL"


def two_records_of_one_name(world: World) -> None:
    """Two parallel uploads of one content under one name would become two files."""
    me, first, second = world.caller(), world.actor(), world.actor()
    published = [world.stall(), world.stall()]
    uploads = []
    for actor, stall in zip((first, second), published, strict=True):
        actor.before("publish", stall)
        uploads.append(world.start(actor.upload, me, ONE, name="x"))
        stall.reached()
    looked = world.stall()
    first.after(LOOK_FOR_TWIN, looked)
    published[0].go_on()
    looked.reached()
    published[1].go_on()
    world.settle(uploads[1])
    looked.go_on()
    made = [running.result().created for running in uploads]
    world.audit()
    if sorted(made) != [False, True]:
        raise Violation(f"created: {made}")
    world.serves(me, ONE)


def a_delete_beside_the_same_upload(world: World) -> None:
    """A repeated upload would be acknowledged with a file that had just been deleted."""
    me, uploader, deleter = world.caller(), world.actor(), world.actor()
    world.god.upload(me, ONE)
    looked = world.stall()
    uploader.before(COMMIT, looked)
    uploading = world.start(uploader.upload, me, ONE)
    looked.reached()
    deleting = world.start(deleter.delete, me, ONE)
    deleted_before = world.settle(deleting)
    looked.go_on()
    uploading.result()
    deleting.result()
    if deleted_before:
        world.serves(me, ONE)


def a_delete_beside_an_instant_upload(world: World) -> None:
    """A new name without a body would be given to a content that is no longer claimed, and not charged."""
    me, uploader, deleter = world.caller(), world.actor(), world.actor()
    world.god.upload(me, ONE, name="x")
    looked = world.stall()
    uploader.after(LOOK_FOR_TWIN, looked)
    uploading = world.start(upload.instant, uploader.store, me, digest_of(ONE), Changes(name="y"))
    looked.reached()
    deleting = world.start(deleter.delete, me, ONE)
    world.settle(deleting)
    looked.go_on()
    uploading.result()
    deleting.result()
    world.audit()


def a_rename_beside_an_upload(world: World) -> None:
    """A file would be renamed onto the name that the same content is being uploaded under."""
    me, uploader, renamer = world.caller(), world.actor(), world.actor()
    file_id = world.god.upload(me, ONE, name="y").file.id
    published, looked = world.stall(), world.stall()
    uploader.before("publish", published)
    uploading = world.start(uploader.upload, me, ONE, name="x")
    published.reached()
    renamer.after(LOOK_FOR_TWIN, looked)
    renaming = world.start(_rename, renamer, me, file_id, "x")
    looked.reached()
    published.go_on()
    world.settle(uploading)
    looked.go_on()
    uploading.result()
    renaming.result()
    world.audit()


def _rename(actor: Actor, me: Caller, file_id: str, name: str) -> None:
    from blobstore.core import files

    try:
        files.change(actor.store, me, file_id, Changes(name=name))
    except AlreadyExists:
        return


def two_contents_for_one_quota(world: World) -> None:
    """Two parallel uploads that fit the quota only one at a time would both be stored."""
    me, first, second = world.caller(quota_bytes=100), world.actor(), world.actor()
    charging = world.stall()
    first.before("UPDATE users", charging)
    uploading = world.start(first.upload, me, ONE)
    charging.reached()
    second.upload(me, OTHER)
    charging.go_on()
    refused = isinstance(uploading.exception(), QuotaExceeded)
    world.audit()
    if not refused:
        raise Violation(f"not refused: {uploading.exception()!r}")


def exactly_the_quota(world: World) -> None:
    """The last byte of a quota could not be used."""
    me = world.caller(quota_bytes=len(ONE))
    world.god.upload(me, ONE)
    world.serves(me, ONE)


def a_reaped_upload(world: World) -> None:
    """An upload that the reaper gave up would be acknowledged without a file."""
    me, you, uploader = world.caller(), world.caller("you"), world.actor()
    world.god.upload(you, ONE)
    published = world.stall()
    uploader.before("publish", published)
    uploading = world.start(uploader.upload, me, ONE, visibility="private")
    published.reached()
    upkeep.reap(world.god.store, NOW)
    published.go_on()
    answer = uploading.exception()
    if not isinstance(answer, UploadLost):
        raise Violation(f"not told that it is lost: {answer!r}")
    world.serves(you, ONE)


def a_reaper_that_stands_still(world: World) -> None:
    """A file that became ready after the reaper had listed it would be deleted."""
    me, uploader, reaper = world.caller(), world.actor(), world.actor()
    published, listed = world.stall(), world.stall()
    uploader.before("publish", published)
    uploading = world.start(uploader.upload, me, ONE)
    published.reached()
    reaper.after(PENDING, listed)
    reaping = world.start(upkeep.reap, reaper.store, NOW)
    listed.reached()
    published.go_on()
    uploading.result()
    listed.go_on()
    reaping.result()
    world.serves(me, ONE)


def an_id_after_a_crash_of_the_database(world: World) -> None:
    """An upload whose first transaction a crash undid would record the row of another one that has its id."""
    me, you, first, second = world.caller(), world.caller("you"), world.actor(), world.actor()
    world.god.upload(you, ONE)
    stalls = [world.stall(), world.stall()]
    first.before("publish", stalls[0])
    one = world.start(first.upload, me, ONE, visibility="private")
    stalls[0].reached()
    (lost,) = world.ask("SELECT id FROM files WHERE ready_at IS NULL")[0]
    remove(world.god.store, me.user_id, digest_of(ONE), Which.OWN_PENDING, {"id": lost})
    second.before("publish", stalls[1])
    other = world.start(second.upload, me, OTHER)
    stalls[1].reached()
    stalls[0].go_on()
    answer = one.exception()
    world.audit()
    if not isinstance(answer, UploadLost):
        raise Violation(f"not told that it is lost: {answer!r}")
    stalls[1].go_on()
    other.result()
    world.serves(me, OTHER)


def nothing_is_said_before_it_is_true(world: World) -> None:
    """A crash before a publish, or before any COMMIT, would leave a file whose bytes are not there."""
    me, uploader = world.caller(), world.actor()
    for name in ("x", "y"):
        uploader.before("publish", world.audit)
        uploader.after("publish", world.audit)
        uploader.before(COMMIT, world.audit)
        uploader.upload(me, ONE, name=name)
    world.audit()


def a_rotten_blob(world: World) -> None:
    """An upload of a content that is stored already, but has rotted unnoticed, would not be readable."""
    me, you = world.caller(), world.caller("you")
    world.god.upload(you, ONE)
    world.rot(ONE)
    world.god.upload(me, ONE, name="x")
    world.serves(me, ONE)
    world.serves(you, ONE)


def a_damaged_blob(world: World) -> None:
    """The same upload again would not heal a blob that is known to be damaged."""
    me = world.caller()
    world.god.upload(me, ONE, name="x")
    world.rot(ONE)
    if len(list(verify.verify(world.god.store))) != 1:
        raise Violation("rot was not found")
    again = world.god.upload(me, ONE, name="x")
    world.serves(me, ONE)
    world.audit()
    if again.created:
        raise Violation("the same file became two")


def a_verifier_that_stands_still(world: World) -> None:
    """A blob that was healed meanwhile would be called damaged by one who had read it before."""
    me, slow = world.caller(), world.actor()
    world.god.upload(me, ONE, name="x")
    world.rot(ONE)
    judged = world.stall()
    slow.before("UPDATE blobs SET published_at = NULL, damaged_at", judged)
    verifying = world.start(lambda: list(verify.verify(slow.store)))
    judged.reached()
    list(verify.verify(world.god.store))
    world.god.upload(me, ONE, name="x")
    judged.go_on()
    verifying.result()
    world.serves(me, ONE)
    world.audit()


def a_verifier_slower_than_a_healing(world: World) -> None:
    """Bytes that an upload replaced, before anybody knew of their damage, would be condemned for the old ones."""
    me, slow = world.caller(), world.actor()
    world.god.upload(me, ONE, name="x")
    world.rot(ONE)
    judged = world.stall()
    slow.before("UPDATE blobs SET published_at = NULL, damaged_at", judged)
    verifying = world.start(lambda: list(verify.verify(slow.store)))
    judged.reached()
    world.god.upload(me, ONE, name="y")
    judged.go_on()
    verifying.result()
    world.serves(me, ONE)
    world.audit()


def an_adopter_that_stands_still(world: World) -> None:
    """Bytes that were uploaded while the adopter looked at them would lose their row to it."""
    me, adopter = world.caller(), world.actor()
    put(world.storage, ONE)
    looked = world.stall()
    adopter.after("SELECT EXISTS (SELECT FROM blobs", looked)
    adopting = world.start(upkeep.adopt, adopter.store, NOW)
    looked.reached()
    world.god.upload(me, ONE)
    looked.go_on()
    adopting.result()
    world.serves(me, ONE)
    world.audit()


def an_upload_that_fails_late(world: World) -> None:
    """An upload that failed between its transactions would stay charged, or take the twin's file with it."""
    me, uploader = world.caller(), world.actor()
    world.god.upload(me, ONE, name="x")
    uploader.after("publish", _refuse)
    uploading = world.start(uploader.upload, me, ONE, name="y")
    if uploading.exception() is None:
        raise Violation("acknowledged although it failed")
    world.audit()
    if world.ask("SELECT count(*) FROM files") != [(1,)]:
        raise Violation("a failed upload stays charged")
    world.serves(me, ONE)


def _refuse() -> None:
    raise BlobstoreError("refused, for the test")
