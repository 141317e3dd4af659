"""The dangerous interleavings of bans with uploads, step by step. Each says what would be broken if it failed."""

from __future__ import annotations

from concurrent.futures import Future

from blobstore.core import banned, bans
from blobstore.core.actor import OPERATOR
from blobstore.core.gate import Caller
from blobstore.core.upload import Outcome
from blobstore.errors import ContentBanned
from tests.races.scenarios import ONE
from tests.races.world import LOOK_FOR_TWIN, Actor, Violation, World
from tests.storage.contract import digest_of

READY, ACKNOWLEDGED = "UPDATE files SET ready_at", "INSERT INTO events"


def an_upload_of_what_is_banned(world: World) -> None:
    """The bytes of a banned content would be published, and charged until somebody takes them away again."""
    me, uploader = world.caller(), world.actor()
    bans.ban(world.god.store, digest_of(ONE), "for the test", OPERATOR)
    published: list[bool] = []
    uploader.before("publish", lambda: published.append(True))
    _is_refused(world, world.start(uploader.upload, me, ONE))
    if published:
        raise Violation("published although banned")


def a_ban_beside_an_upload(world: World) -> None:
    """A content that is banned between the two transactions of its upload would be live, or charged for ever."""
    me, uploader = world.caller(), world.actor()
    published = world.stall()
    uploader.before("publish", published)
    uploading = world.start(uploader.upload, me, ONE)
    published.reached()
    _ban_and_die(world)
    published.go_on()
    _is_refused(world, uploading)


def a_ban_while_a_record_waits(world: World) -> None:
    """A record that looked for the ban before it had the lock would make a banned content live."""
    me, uploader, holder = world.caller(), world.actor(), world.actor()
    published, held = world.stall(), world.stall()
    uploader.before("publish", published)
    uploading = world.start(uploader.upload, me, ONE)
    published.reached()
    holder.before(READY, held)
    holding = world.start(holder.upload, world.caller("you"), ONE)
    held.reached()
    published.go_on()
    world.settle(uploading)
    _ban_and_die(world)
    held.go_on()
    _refused(holding)
    _is_refused(world, uploading)


def a_ban_behind_a_record(world: World) -> None:
    """An upload that a ban comes too late for would stay charged, and live again when the ban is lifted."""
    me, uploader, banner = world.caller(), world.actor(), world.actor()
    recorded = world.stall()
    uploader.after(ACKNOWLEDGED, recorded)
    uploading = world.start(uploader.upload, me, ONE)
    recorded.reached()
    banning = world.start(bans.ban, banner.store, digest_of(ONE), "for the test", OPERATOR)
    world.settle(banning)
    recorded.go_on()
    uploading.exception()
    banning.result()
    _nothing_is_left(world)


def a_ban_beside_a_repeated_upload(world: World) -> None:
    """A repeated upload would be acknowledged with a file that a ban had taken before it was looked for."""
    me, uploader = world.caller(), world.actor()
    world.god.upload(me, ONE, name="x")
    looking = world.stall()
    uploader.before(LOOK_FOR_TWIN, looking)
    uploading = world.start(uploader.upload, me, ONE, name="x")
    looking.reached()
    _ban_and_die(world)
    looking.go_on()
    _refused(uploading)
    bans.finish(world.god.store)
    _nothing_is_left(world)


def _ban_and_die(world: World) -> None:
    """The ban alone: what follows it is upkeep's."""
    with world.god.store.database.transaction() as session:
        banned.ban(session, digest_of(ONE), "for the test", OPERATOR)


def _refused(uploading: Future[Outcome]) -> None:
    answer = uploading.exception()
    if not isinstance(answer, ContentBanned):
        raise Violation(f"not told that it is banned: {answer!r}")


def _is_refused(world: World, uploading: Future[Outcome]) -> None:
    _refused(uploading)
    _nothing_is_left(world)


def _nothing_is_left(world: World) -> None:
    if world.ask("SELECT count(*) FROM files") != [(0,)]:
        raise Violation("a file of a banned content is left")
    if world.ask("SELECT count(*) FROM users WHERE used_bytes + file_count > 0") != [(0,)]:
        raise Violation("a banned content stays charged")
    world.audit()
    _is_not_served(world.god, None)


def _is_not_served(reader: Actor, caller: Caller | None) -> None:
    try:
        reader.read(caller, ONE)
    except ContentBanned:
        return
    raise Violation("a banned content is served")
