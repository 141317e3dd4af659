"""The dangerous interleavings of deletes and sweeps, and what the database may do to a COMMIT."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from typing import Any

import psycopg2
from sqlalchemy import event

from blobstore.core import delete, download, files, upkeep, upload, verify
from blobstore.core.files import Changes
from blobstore.errors import NotFound
from tests.conftest import libpq
from tests.races.scenarios import ONE
from tests.races.world import COMMIT, NOW, Actor, Violation, World
from tests.storage.contract import digest_of, sample

LOOK = "SELECT location FROM blobs"
LISTED = "SELECT digest FROM blobs\nWHERE refs = 0 AND published_at IS NULL"


def a_sweeper_that_stands_still(world: World) -> None:
    """Bytes published while a sweeper stands between its look and its delete would be deleted."""
    me, sweeper, uploader = world.caller(), world.actor(), world.actor()
    world.god.upload(me, ONE)
    world.god.delete(me, ONE)
    looked = world.stall()
    sweeper.after(LOOK, looked)
    sweeping = world.start(sweeper.sweep)
    looked.reached()
    uploading = world.start(uploader.upload, me, ONE)
    world.settle(uploading)
    looked.go_on()
    sweeping.result()
    uploading.result()
    world.serves(me, ONE)


def a_list_that_is_old(world: World) -> None:
    """A blob that was uploaded after the sweeper had listed it would be deleted."""
    me, sweeper = world.caller(), world.actor()
    world.god.upload(me, ONE)
    world.god.delete(me, ONE)
    listed = world.stall()
    sweeper.after(LISTED, listed)
    sweeping = world.start(sweeper.sweep)
    listed.reached()
    world.god.upload(me, ONE)
    listed.go_on()
    sweeping.result()
    world.serves(me, ONE)


def an_upload_of_what_is_being_forgotten(world: World) -> None:
    """An upload would fail because a sweep took the row that it counts on."""
    me, uploader, sweeper = world.caller(), world.actor(), world.actor()
    world.god.upload(me, ONE)
    world.god.delete(me, ONE)
    world.god.disown()
    locked = world.stall()
    uploader.after("INSERT INTO blobs", locked)
    uploading = world.start(uploader.upload, me, ONE)
    locked.reached()
    sweeping = world.start(sweeper.sweep)
    world.settle(sweeping)
    locked.go_on()
    sweeping.result()
    uploading.result()
    world.serves(me, ONE)


def bytes_go_only_when_nobody_vouches(world: World) -> None:
    """A crash of a sweep between the bytes and their row would leave a row that vouches for nothing."""
    me, sweeper = world.caller(), world.actor()
    world.god.upload(me, ONE)
    world.god.delete(me, ONE)
    sweeper.before("delete", world.audit)
    sweeper.after("delete", world.audit)
    sweeper.sweep()
    world.audit()


def a_location_that_changed(world: World) -> None:
    """A sweeper would forget newer bytes than those it deleted, and nothing would ever delete them."""
    me, sweeper = world.caller(), world.actor()
    world.god.upload(me, ONE)
    world.god.delete(me, ONE)
    deleted = world.stall()
    sweeper.after("delete", deleted)
    sweeping = world.start(sweeper.sweep)
    deleted.reached()
    world.god.upload(me, ONE)
    world.god.delete(me, ONE)
    world.god.disown()
    deleted.go_on()
    sweeping.result()
    world.god.sweep()
    world.audit()
    if list(world.storage.locations()):
        raise Violation("bytes are left")


def a_reader_beside_a_sweep(world: World) -> None:
    """A download that has begun would be cut by a delete and a sweep."""
    me, reader = world.caller(), world.actor()
    content = sample(3 * download.PIECE_BYTES)
    world.god.upload(me, content)
    found = download.find(reader.store, me, digest_of(content))
    pieces = download.read(reader.store, found, 0, found.size_bytes)
    with closing(pieces):
        world.god.delete(me, content)
        world.god.sweep()
        if world.path(content).exists():
            raise Violation("not swept")
        if b"".join(pieces) != content:
            raise Violation("a reader was cut")


def two_deletes_of_two_names(world: World) -> None:
    """Two parallel deletes of one content's names would count one of them twice, or not at all."""
    me = world.caller()
    ids = [world.god.upload(me, ONE, name=name).file.id for name in ("x", "y")]
    first, second = world.actor(), world.actor()
    counted = world.stall()
    first.after("SELECT files FROM claims", counted)
    one = world.start(delete.delete_file, first.store, me, ids[0])
    counted.reached()
    other = world.start(delete.delete_file, second.store, me, ids[1])
    world.settle(other)
    counted.go_on()
    one.result()
    other.result()
    world.audit()


def two_deletes_of_one_file(world: World) -> None:
    """Two parallel deletes of one file would take another name of the same content with it, or refund it twice."""
    me = world.caller()
    file_id, _ = [world.god.upload(me, ONE, name=name).file.id for name in ("x", "y")]
    first, second = world.actor(), world.actor()
    deleting = world.stall()
    first.before(COMMIT, lambda: first.before(COMMIT, deleting))  # the first COMMIT is that of the look
    one = world.start(delete.delete_file, first.store, me, file_id)
    deleting.reached()
    other = world.start(delete.delete_file, second.store, me, file_id)
    world.settle(other)
    deleting.go_on()
    one.result()
    if not isinstance(other.exception(), NotFound):
        raise Violation(f"deleted twice: {other.exception()!r}")
    world.audit()
    world.serves(me, ONE)


def a_delete_beside_an_upload(world: World) -> None:
    """A delete and an upload of one content would wait for each other, until PostgreSQL ends one of them."""
    me, deleter, uploader = world.caller(), world.actor(), world.actor()
    world.god.upload(me, ONE, name="x")
    seen: list[str] = []
    for actor in (deleter, uploader):
        event.listen(actor.store.database.engine, "handle_error", lambda context: seen.append(_state(context)))
    counted = world.stall()
    deleter.after("SELECT files FROM claims", counted)
    deleting = world.start(deleter.delete, me, ONE)
    counted.reached()
    uploading = world.start(uploader.upload, me, ONE, name="y")
    world.settle(uploading)
    counted.go_on()
    deleting.result()
    uploading.result()
    if "40P01" in seen:
        raise Violation("a deadlock")
    world.serves(me, ONE)


def _state(context: Any) -> str:
    return str(getattr(context.original_exception, "pgcode", ""))


def a_stranger(world: World) -> None:
    """A private file could be read, changed or deleted by somebody else, by its id or by its hash."""
    me, you, store = world.caller(), world.caller("you"), world.god.store
    file_id = world.god.upload(me, ONE, name="x", visibility="private").file.id
    attempts: list[Callable[[], object]] = [
        lambda: files.get(store, you, file_id),
        lambda: files.change(store, you, file_id, Changes(name="y")),
        lambda: delete.delete_file(store, you, file_id),
        lambda: delete.delete_content(store, you, digest_of(ONE)),
        lambda: world.god.read(you, ONE),
        lambda: world.god.read(None, ONE),
    ]
    for attempt in attempts:
        with suppress(NotFound):
            raise Violation(f"a stranger gets {attempt()!r}")
    world.serves(me, ONE)


def what_is_acknowledged_is_synchronous(world: World) -> None:
    """A crash of PostgreSQL would undo what was acknowledged, or bring back rows whose bytes are swept."""
    me, actor = world.caller(), world.actor()
    engine = actor.store.database.engine
    transactions: list[tuple[str, str]] = []
    said: list[str] = []

    def commits(connection: Any) -> None:
        with connection.connection.cursor() as cursor:
            cursor.execute("SHOW synchronous_commit")
            transactions.append((cursor.fetchone()[0], " ".join(said)))
        said.clear()

    event.listen(engine, "before_cursor_execute", lambda *given: said.append(given[2]))
    event.listen(engine, "commit", commits)
    _everything(actor, me)
    for setting, statements in transactions:
        reserves = "INSERT INTO files" in statements and "SET ready_at" not in statements
        if setting != "on" and not reserves:
            raise Violation(f"acknowledged asynchronously: {statements}")


def _everything(actor: Actor, me: Any) -> None:
    actor.upload(me, ONE, name="x")
    actor.upload(me, ONE, name="x")
    upload.instant(actor.store, me, digest_of(ONE), Changes(name="y"))
    list(verify.verify(actor.store))
    actor.delete(me, ONE)
    upkeep.reap(actor.store, NOW)
    upkeep.adopt(actor.store, NOW)
    actor.sweep()


def a_commit_without_an_answer(world: World) -> None:
    """An upload whose COMMIT is still running when its connection is lost would be answered without knowing."""
    me, uploader = world.caller(), world.actor()
    with _commits_that_wait(world) as release:
        published = world.stall()
        uploader.before("publish", published)
        uploading = world.start(uploader.upload, me, ONE)
        published.reached()
        published.go_on()
        world.settle(uploading)
        _cut(uploader.connection)
        world.settle(uploading, waiters=2)
        release()
        error = uploading.exception()
    if error:
        raise Violation(f"stored, and answered {error!r}")
    world.serves(me, ONE)


@contextmanager
def _commits_that_wait(world: World) -> Iterator[Any]:
    """Every COMMIT that makes a file ready waits until the function that this yields is called."""
    gate = psycopg2.connect(libpq(world.settings.require_database()))
    world.ask("""
        CREATE FUNCTION wait_at_commit() RETURNS trigger LANGUAGE plpgsql AS
            'BEGIN PERFORM pg_advisory_xact_lock(77); RETURN NULL; END';
        CREATE CONSTRAINT TRIGGER wait_at_commit AFTER UPDATE ON files DEFERRABLE INITIALLY DEFERRED
            FOR EACH ROW EXECUTE FUNCTION wait_at_commit()""")
    try:
        gate.cursor().execute("SELECT pg_advisory_xact_lock(77)")
        yield gate.rollback
    finally:
        gate.close()
        world.ask("DROP TRIGGER wait_at_commit ON files; DROP FUNCTION wait_at_commit()")


def _cut(connection: Any) -> None:
    """Break the socket under a connection that another thread is waiting on."""
    with socket.socket(fileno=os.dup(connection.fileno())) as wire:
        wire.shutdown(socket.SHUT_RDWR)
