"""Bans: nobody gets it, nobody brings it, nobody pays for it; whatever dies on the way."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime

import pytest

from blobstore.core import banned, bans, download, files, links, quota, upkeep, upload
from blobstore.core.actor import OPERATOR, Actor
from blobstore.core.files import Filters
from blobstore.core.gate import Caller
from blobstore.core.store import Store
from blobstore.errors import BadCursor, BadOption, BadSignature, ContentBanned, NotFound
from tests.core.acts import NOW, ask, bytes_on_disk, fetch, nothing_is_left, numbers, person, send
from tests.storage.contract import digest_of, sample

ONE, OTHER = sample(1000, "one"), sample(2000, "other")
CHIEF = Actor("chief", "192.0.2.1", "r1")


def ban(store: Store, content: bytes, reason: str = "malware", by: Actor = CHIEF) -> bans.Banned:
    return bans.ban(store, digest_of(content), reason, by)


def ban_and_die(store: Store, content: bytes) -> None:
    """The ban, without what follows it."""
    with store.database.transaction() as session:
        banned.ban(session, digest_of(content), "malware", CHIEF)


def listed(store: Store, caller: Caller) -> list[str]:
    found = files.page(store, caller, Filters(), limit=100, cursor=None)
    return sorted(file.name for file in found.items)


def test_what_everybody_has_goes_and_is_refunded(store: Store) -> None:
    """If this failed, a banned content would stay somebody's, be paid for, or keep the disk full."""
    me, you = person(store), person(store, "you")
    for name, folder in (("x", "/"), ("y", "/"), ("z", "/.lfs")):
        send(store, me, ONE, name=name, folder=folder)
    send(store, me, OTHER, name="other")
    send(store, you, ONE, visibility="private")
    done = ban(store, ONE)
    assert (done.removed, done.created, done.ban.by) == (4, True, "chief")
    assert (numbers(store, me), numbers(store, you)) == ((2000, 2000, 1, 1), (0, 0, 0, 0))
    assert listed(store, me) == ["other"]
    assert fetch(store, None, OTHER) == OTHER
    upkeep.sweep(store, NOW)
    assert bytes_on_disk(store) == [digest_of(OTHER).hex]


@pytest.mark.parametrize("asker", ["nobody", "owner", "stranger"])
def test_everybody_is_told_why(store: Store, asker: str) -> None:
    """If this failed, a banned content would be served, or look as if it had never been there."""
    owner = person(store)
    caller = {"nobody": None, "owner": owner, "stranger": person(store, "you")}[asker]
    for digest in (send(store, owner, ONE).file.digest, digest_of(b"never here")):
        bans.ban(store, digest, "malware", CHIEF)
        with pytest.raises(ContentBanned) as refused:
            download.find(store, caller, digest)
        assert refused.value.reason == "malware"


def test_nobody_brings_it(store: Store) -> None:
    """If this failed, a banned content would come back, or its upload be charged."""
    me = person(store)
    ban(store, ONE)
    with pytest.raises(ContentBanned):
        send(store, me, ONE)
    assert (numbers(store, me), bytes_on_disk(store)) == ((0, 0, 0, 0), [])
    nothing_is_left(store)


def test_a_declared_content_is_refused_before_its_body(store: Store) -> None:
    """If this failed, a whole body would cross the network in vain."""
    me, taken = person(store), []

    def pieces() -> Iterator[bytes]:
        taken.append(ONE)
        yield ONE

    ban(store, ONE)
    with pytest.raises(ContentBanned):
        upload.upload(store, me, pieces(), {}, declared=digest_of(ONE))
    with pytest.raises(ContentBanned):
        upload.is_held(store, me, digest_of(ONE))
    assert taken == []


def test_before_its_removal_a_file_is_dead_already(store: Store) -> None:
    """If this failed, a ban of a content that many have would begin late, or an owner could keep it by a change."""
    me = person(store)
    file = send(store, me, ONE, name="x").file
    ban_and_die(store, ONE)
    assert listed(store, me) == []
    assert quota.read(store, me).used == 1000
    with pytest.raises(ContentBanned):
        files.get(store, me, file.id)
    with pytest.raises(ContentBanned):
        files.change(store, me, file.id, {"name": "y"})
    with pytest.raises(ContentBanned):
        upload.upload(store, me, [ONE], {"name": "x"})
    assert upkeep.reap(store, NOW) == 1
    nothing_is_left(store)


def test_a_ban_that_died_is_finished_when_it_is_lifted(store: Store) -> None:
    """If this failed, what one owner lost another one would get back, by the moment of a crash."""
    me = person(store)
    send(store, me, ONE)
    ban_and_die(store, ONE)
    bans.lift(store, digest_of(ONE), CHIEF)
    assert numbers(store, me) == (0, 0, 0, 0)
    assert send(store, me, ONE).created
    assert fetch(store, None, ONE) == ONE


def test_a_lifted_ban_lets_it_in_again(store: Store) -> None:
    """If this failed, a mistake could not be undone, or would be undone for those who did not send it again."""
    me, you = person(store), person(store, "you")
    file = send(store, you, ONE).file
    ban(store, ONE)
    bans.lift(store, digest_of(ONE), CHIEF)
    assert send(store, me, ONE).created
    assert (fetch(store, None, ONE), numbers(store, you)) == (ONE, (0, 0, 0, 0))
    with pytest.raises(NotFound):
        files.get(store, you, file.id)
    with pytest.raises(NotFound):
        bans.lift(store, digest_of(ONE), CHIEF)


def test_the_address_of_a_file_tells_those_who_might_see_it(store: Store) -> None:
    """If this failed, a dead short link would tell nothing; or a stranger learn that there was a private file."""
    me, you = person(store), person(store, "you")
    public, private = send(store, me, ONE, name="x").file, send(store, me, OTHER, visibility="private").file
    ban(store, ONE)
    ban(store, OTHER)
    for caller in (None, me, you):
        with pytest.raises(ContentBanned):
            files.get(store, caller, public.id)
    with pytest.raises(ContentBanned):
        files.get(store, me, private.id)
    for stranger in (None, you):
        with pytest.raises(NotFound):
            files.get(store, stranger, private.id)
    ask(store, "UPDATE users SET disabled = true WHERE name = 'me'")
    with pytest.raises(NotFound):
        files.get(store, None, public.id)


def test_a_signed_link_tells_too(store: Store) -> None:
    """If this failed, who was given a link would take the ban for a mistake; or a made-up one tell of the file."""
    me = person(store)
    file = send(store, me, ONE, visibility="private").file
    link, _ = links.sign(store, me, file.id)
    forged = links.Link(link.expires, link.key_id, "A" * 43)
    ban(store, ONE)
    with pytest.raises(ContentBanned):
        links.opened(store, file.id, link)
    for wrong, now in ((forged, None), (link, datetime.fromtimestamp(link.expires + 1, UTC))):
        with pytest.raises(BadSignature):
            links.opened(store, file.id, wrong, now)


def test_a_ban_is_given_another_reason(store: Store) -> None:
    """If this failed, a mistyped reason would stay, or the ban be counted as a new one."""
    send(store, person(store), ONE)
    first = ban(store, ONE, "malwear")
    again = ban(store, ONE, "malware", OPERATOR)
    assert (again.created, again.removed, again.ban.reason, again.ban.by) == (False, 0, "malware", None)
    assert again.ban.created_at == first.ban.created_at


@pytest.mark.parametrize("reason", ["", "  ", "two\nlines", "\x00", "\ud800", "a\u202eb", "x" * 1001])
def test_what_is_no_reason_is_refused(store: Store, reason: str) -> None:
    """If this failed, everybody would be shown nothing, or what breaks their terminal."""
    with pytest.raises(BadOption):
        ban(store, ONE, reason)
    assert ask(store, "SELECT count(*) FROM bans") == [(0,)]


def test_bans_are_paged(store: Store) -> None:
    """If this failed, an admin would not see every ban, or see one twice."""
    digests = [digest_of(b"%d" % number) for number in range(5)]
    for digest in digests:
        bans.ban(store, digest, "malware", CHIEF)
    first = bans.page(store, limit=2, cursor=None)
    second = bans.page(store, limit=3, cursor=first.next)
    assert [ban.digest for ban in (*first.items, *second.items)] == digests[::-1]
    assert second.next is None
    with pytest.raises(BadCursor):
        bans.page(store, limit=2, cursor="bm90IG9uZQ")
