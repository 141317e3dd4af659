"""Uploads as a use case: what is a new file and what is the same again, and what is left when one fails."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta

import psycopg2
import pytest

from blobstore.core import receive, upkeep, upload
from blobstore.core.files import Changes
from blobstore.core.gate import Caller
from blobstore.core.store import Store
from blobstore.database import CommitStalled, DatabaseStalled
from blobstore.errors import (
    BlobstoreError,
    Busy,
    DigestMismatch,
    FileTooLarge,
    IncompleteBody,
    NotFound,
    QuotaExceeded,
    StorageFull,
    StorageUnavailable,
    UploadLost,
)
from blobstore.settings import Settings
from tests.conftest import libpq
from tests.core.acts import NOW, ask, drop, fetch, nothing_is_left, numbers, person, send
from tests.races.world import COMMIT, Actor
from tests.storage.contract import digest_of, sample
from tests.storage.faults import fails

ONE, OTHER = sample(1000, "one"), sample(2000, "other")


@pytest.fixture
def me(store: Store) -> Caller:
    return person(store)


@pytest.fixture
def actor(settings: Settings, store: Store) -> Iterator[Actor]:
    """Somebody with connections of his own, who can be made to fail at any step."""
    actor = Actor(settings, store.storage)
    yield actor
    actor.store.database.dispose()


def test_a_new_file(store: Store, me: Caller) -> None:
    """If this failed, the first upload of a content would not be what was sent and said."""
    made = send(store, me, b"hello, world\n", name="a.txt", folder="/x", visibility="private", tags=["t"])
    assert made.created
    file = made.file
    assert (file.name, file.folder, file.visibility, file.tags) == ("a.txt", "/x", "private", ["t"])
    assert (file.digest, file.size_bytes, file.content_type) == (
        digest_of(b"hello, world\n"),
        13,
        "text/plain; charset=utf-8",
    )
    assert file.created_at <= datetime.now(UTC) + timedelta(minutes=1)
    assert fetch(store, me, b"hello, world\n") == b"hello, world\n"
    with pytest.raises(NotFound):
        fetch(store, None, b"hello, world\n")


def test_no_bytes_are_a_content_too(store: Store, me: Caller) -> None:
    """If this failed, an empty file could not be stored, or would not be like others."""
    assert send(store, me, b"").created
    assert fetch(store, me, b"") == b""
    drop(store, me, b"")
    nothing_is_left(store)


def test_the_same_name_again(store: Store, me: Caller) -> None:
    """If this failed, a retry would make a second file."""
    first = send(store, me, ONE, name="x")
    again = send(store, me, ONE, name="x")
    assert (again.created, again.file) == (False, first.file)
    assert numbers(store, me) == (1000, 1000, 1, 1)


def test_the_same_name_with_options(store: Store, me: Caller) -> None:
    """If this failed, what is said with a repeated upload would be ignored."""
    first = send(store, me, ONE, name="x").file
    again = send(store, me, ONE, name="x", visibility="private", tags=["new"])
    assert (again.created, again.file.id) == (False, first.id)
    assert (again.file.visibility, again.file.tags) == ("private", ["new"])
    assert send(store, me, ONE, name="x").file.tags == ["new"]


@pytest.mark.parametrize("given", [{"name": "y"}, {"name": "x", "folder": "/elsewhere"}])
def test_another_place_is_another_file(store: Store, me: Caller, given: dict[str, str]) -> None:
    """If this failed, a second name would replace the first one, or be charged."""
    first = send(store, me, ONE, name="x").file
    second = send(store, me, ONE, **given)
    assert second.created
    assert second.file.id != first.id
    assert numbers(store, me) == (1000, 2000, 2, 1)


def test_without_a_name(store: Store, me: Caller) -> None:
    """If this failed, an upload without a name would be a second file beside any that has the content."""
    named = send(store, me, ONE, name="x").file
    assert send(store, me, ONE).file == named
    made = send(store, me, OTHER)
    assert (made.created, made.file.name, made.file.folder) == (True, digest_of(OTHER).hex, "/")
    assert send(store, me, OTHER).file == made.file


def test_without_a_name_but_with_a_folder(store: Store, me: Caller) -> None:
    """If this failed, a nameless upload into a folder would move a file there that another folder has."""
    here = send(store, me, ONE, name="x", folder="/a").file
    assert send(store, me, ONE, folder="/a").file == here
    elsewhere = send(store, me, ONE, folder="/b")
    assert (elsewhere.created, elsewhere.file.name, elsewhere.file.folder) == (True, digest_of(ONE).hex, "/b")


def test_an_expired_twin_is_none(store: Store, me: Caller) -> None:
    """If this failed, an upload would be answered with a file that is gone."""
    expired = send(store, me, ONE, name="x", expires_at=datetime.now(UTC) + timedelta(hours=1)).file
    ask(store, "UPDATE files SET expires_at = clock_timestamp()")
    again = send(store, me, ONE, name="x")
    assert again.created
    assert again.file.id != expired.id
    assert upkeep.reap(store, NOW) == 1
    assert fetch(store, me, ONE) == ONE
    assert numbers(store, me) == (1000, 1000, 1, 1)


def test_two_owners_pay_each(store: Store, me: Caller) -> None:
    """If this failed, somebody would learn from his quota, or from the answer, that another one has a content."""
    you = person(store, "you")
    assert send(store, me, ONE, name="x").created
    assert send(store, you, ONE, name="x").created
    assert numbers(store, me) == numbers(store, you) == (1000, 1000, 1, 1)
    assert ask(store, "SELECT refs FROM blobs") == [(2,)]


def _body(*pieces: bytes | Exception) -> Iterator[bytes]:
    for piece in pieces:
        if isinstance(piece, Exception):
            raise piece
        yield piece


def test_a_declared_digest_needs_no_body(store: Store, me: Caller) -> None:
    """If this failed, a content that the caller has would be sent again."""
    first = send(store, me, ONE, name="x").file
    unread = _body(AssertionError("the body was read"))
    again = upload.upload(store, me, unread, Changes(name="x"), declared=digest_of(ONE))
    assert (again.created, again.file) == (False, first)
    renamed = upload.upload(store, me, unread, Changes(name="y"), declared=digest_of(ONE))
    assert renamed.created
    assert numbers(store, me) == (1000, 2000, 2, 1)


@pytest.mark.parametrize("damaged", [False, True])
def test_a_declared_digest_proves_nothing(store: Store, me: Caller, damaged: bool) -> None:
    """If this failed, knowing a hash would be enough to have another one's bytes, or damage would not be healed."""
    owner = me if damaged else person(store, "you")
    send(store, owner, ONE, name="x")
    if damaged:
        ask(store, "UPDATE blobs SET published_at = NULL, damaged_at = clock_timestamp()")
    with pytest.raises(IncompleteBody):
        upload.upload(store, me, _body(IncompleteBody("cut")), Changes(name="x"), declared=digest_of(ONE))
    made = upload.upload(store, me, _body(ONE), Changes(name="x"), declared=digest_of(ONE))
    assert made.created is not damaged
    assert fetch(store, me, ONE) == ONE


def test_another_digest_than_declared(store: Store, me: Caller) -> None:
    """If this failed, bytes would be stored that are not what their sender meant."""
    with pytest.raises(DigestMismatch):
        upload.upload(store, me, _body(ONE), Changes(), declared=digest_of(OTHER))
    nothing_is_left(store)


def test_a_body_that_breaks(store: Store, me: Caller) -> None:
    """If this failed, a cut upload would leave a file, a charge or staged bytes."""
    with pytest.raises(IncompleteBody):
        upload.upload(store, me, _body(ONE, IncompleteBody("cut")), Changes())
    nothing_is_left(store)


def test_larger_than_any_file(settings: Settings, store: Store, me: Caller) -> None:
    """If this failed, a body of unknown length could be of any size, or the largest file would be refused."""
    small = Store(settings.model_copy(update={"max_file_bytes": 1000}), store.database, store.storage)
    assert upload.upload(small, me, _body(ONE[:500], ONE[500:]), Changes()).created
    with pytest.raises(FileTooLarge):
        upload.upload(small, me, _body(OTHER[:1000], OTHER[1000:1001], AssertionError("read on")), Changes())
    with pytest.raises(FileTooLarge):
        upload.upload(small, me, _body(AssertionError("read")), Changes(), size_bytes=1001)
    assert numbers(store, me) == (1000, 1000, 1, 1)


def test_a_full_disk_is_told_before_the_body(settings: Settings, store: Store, me: Caller) -> None:
    """If this failed, the floor of free space would be used up by uploads."""
    full = Store(settings.model_copy(update={"free_floor_bytes": 1 << 62}), store.database, store.storage)
    with pytest.raises(StorageFull):
        upload.upload(full, me, _body(AssertionError("read")), Changes(), size_bytes=1)
    nothing_is_left(store)


def test_beyond_the_quota(store: Store) -> None:
    """If this failed, a refused upload would leave a row, bytes, or a charge."""
    me = person(store, quota_bytes=999)
    with pytest.raises(QuotaExceeded) as refused:
        send(store, me, ONE)
    assert (refused.value.limit_bytes, refused.value.used_bytes, refused.value.needed_bytes) == (999, 0, 1000)
    nothing_is_left(store)


FAILURES: dict[str, tuple[Callable[[Actor], None], type[BlobstoreError]]] = {
    "stage": (lambda actor: actor.before("stage", fails(StorageFull("full"))), StorageFull),
    "write": (lambda actor: actor.before("write", fails(StorageFull("full"))), StorageFull),
    "publish": (lambda actor: actor.before("publish", fails(StorageUnavailable("EIO"))), StorageUnavailable),
    "published": (lambda actor: actor.after("publish", fails(StorageUnavailable("EIO"))), StorageUnavailable),
}


@pytest.mark.parametrize("step", FAILURES)
@pytest.mark.parametrize("there", [False, True])
def test_a_storage_that_fails(store: Store, me: Caller, actor: Actor, step: str, there: bool) -> None:
    """If this failed, an upload that the disk refused would be acknowledged, stay charged, or harm what is there."""
    plant, answer = FAILURES[step]
    if there:
        send(store, me, ONE, name="x")
    plant(actor)
    with pytest.raises(answer):
        actor.upload(me, ONE, name="y")
    assert ask(store, "SELECT count(*) FROM files") == [(int(there),)]
    if there:
        assert fetch(store, me, ONE) == ONE
        drop(store, me, ONE)
    nothing_is_left(store)


def test_a_commit_that_did_not_happen(store: Store, me: Caller, actor: Actor) -> None:
    """If this failed, an upload whose COMMIT broke would be acknowledged, or never be reclaimed."""

    def end_the_connection() -> None:
        with psycopg2.connect(libpq(store.settings.require_database())) as other, other.cursor() as cursor:
            cursor.execute("SELECT pg_terminate_backend(%s)", [actor.connection.info.backend_pid])
        other.close()

    actor.before("publish", lambda: actor.before(COMMIT, end_the_connection))
    with pytest.raises(UploadLost):
        actor.upload(me, ONE, name="x")
    assert ask(store, "SELECT ready_at FROM files") == [(None,)]
    assert actor.upload(me, ONE, name="x").created
    assert upkeep.reap(store, NOW) == 1
    assert numbers(store, me) == (1000, 1000, 1, 1)
    assert fetch(store, me, ONE) == ONE


@pytest.mark.parametrize(
    ("error", "left"), [(DatabaseStalled("no answer"), 1), (CommitStalled("no answer"), 1), (Busy("locked"), 0)]
)
def test_a_database_that_stalls_is_asked_no_more(
    store: Store, me: Caller, actor: Actor, error: BlobstoreError, left: int
) -> None:
    """If this failed, a client would wait twice as long as he must, for a tidying that upkeep does anyway."""

    def stall() -> None:
        raise error

    actor.before("publish", lambda: actor.before("UPDATE files SET ready_at", stall))
    with pytest.raises(type(error)):
        actor.upload(me, ONE, name="x")
    assert ask(store, "SELECT count(*) FROM files") == [(left,)]
    assert upkeep.reap(store, NOW) == left
    nothing_is_left(store)


def test_an_owner_who_is_disabled_meanwhile(store: Store, me: Caller, actor: Actor) -> None:
    """If this failed, somebody who was shut out would still store what he was sending."""
    actor.before("publish", lambda: ask(store, "UPDATE users SET disabled = true"))
    with pytest.raises(NotFound):
        actor.upload(me, ONE)
    nothing_is_left(store)


def test_what_was_received_is_dropped(store: Store, me: Caller) -> None:
    """If this failed, a body that nobody keeps would stay on the disk."""
    with receive.receive(store, me, [ONE]):
        pass
    nothing_is_left(store)
