"""Deletes as a use case: what goes, what stays, and what the quota gets back."""

from __future__ import annotations

import pytest

from blobstore.core import delete, upkeep
from blobstore.core.gate import Caller, Scope
from blobstore.core.store import Store
from blobstore.errors import InsufficientScope, NotFound
from tests.core.acts import NOW, ask, bytes_on_disk, drop, fetch, nothing_is_left, numbers, person, send
from tests.storage.contract import digest_of, sample

ONE, OTHER = sample(1000, "one"), sample(2000, "other")


@pytest.fixture
def me(store: Store) -> Caller:
    return person(store)


@pytest.fixture
def you(store: Store) -> Caller:
    return person(store, "you")


def test_one_of_two_names(store: Store, me: Caller) -> None:
    """If this failed, the delete of one name would take the content, or give the quota back too early."""
    first, second = (send(store, me, ONE, name=name).file.id for name in ("x", "y"))
    assert delete.delete_file(store, me, first) == delete.Deleted(files=1, freed_bytes=0)
    assert numbers(store, me) == (1000, 1000, 1, 1)
    assert fetch(store, me, ONE) == ONE
    assert delete.delete_file(store, me, second) == delete.Deleted(files=1, freed_bytes=1000)
    with pytest.raises(NotFound):
        delete.delete_file(store, me, second)
    nothing_is_left(store)


def test_by_hash_takes_every_name(store: Store, me: Caller) -> None:
    """If this failed, a content would survive its delete under another name."""
    for name in ("x", "y", "z"):
        send(store, me, ONE, name=name)
    send(store, me, OTHER)
    assert drop(store, me, ONE) == delete.Deleted(files=3, freed_bytes=1000)
    with pytest.raises(NotFound):
        drop(store, me, ONE)
    with pytest.raises(NotFound):
        fetch(store, me, ONE)
    assert numbers(store, me) == (2000, 2000, 1, 1)


def test_by_hash_in_one_folder(store: Store, me: Caller) -> None:
    """If this failed, a delete in one folder would reach another one."""
    for folder in ("/", "/a", "/b"):
        send(store, me, ONE, name="x", folder=folder)
    assert delete.delete_content(store, me, digest_of(ONE), folder="/a") == delete.Deleted(1, 0)
    assert ask(store, "SELECT folder FROM files ORDER BY folder") == [("/",), ("/b",)]


def test_what_another_protocol_keeps(store: Store, me: Caller) -> None:
    """If this failed, a delete by hash would break a repository that another protocol keeps under the same account."""
    send(store, me, ONE, name="x")
    send(store, me, ONE, name="x", folder="/.lfs/repository")
    assert drop(store, me, ONE) == delete.Deleted(1, 0)
    assert delete.delete_content(store, me, digest_of(ONE), folder="/.lfs/repository") == delete.Deleted(1, 1000)


def test_a_dry_run(store: Store, me: Caller) -> None:
    """If this failed, asking what a delete would do would do it."""
    file_id = send(store, me, ONE).file.id
    assert delete.delete_content(store, me, digest_of(ONE), dry_run=True) == delete.Deleted(1, 1000)
    assert delete.delete_file(store, me, file_id, dry_run=True) == delete.Deleted(1, 1000)
    assert fetch(store, me, ONE) == ONE
    assert numbers(store, me) == (1000, 1000, 1, 1)


@pytest.mark.parametrize("first", [0, 1])
def test_two_owners_in_either_order(store: Store, me: Caller, you: Caller, first: int) -> None:
    """If this failed, what one owner deletes would be gone for the other, or stay after both."""
    owners = [me, you]
    for owner in owners:
        send(store, owner, ONE, visibility="private")
    one, other = owners[first], owners[1 - first]
    drop(store, one, ONE)
    upkeep.sweep(store, NOW)
    with pytest.raises(NotFound):
        fetch(store, one, ONE)
    assert fetch(store, other, ONE) == ONE
    assert numbers(store, one) == (0, 0, 0, 0)
    drop(store, other, ONE)
    nothing_is_left(store)


def test_what_is_not_ones_own(store: Store, me: Caller, you: Caller) -> None:
    """If this failed, somebody could delete another one's file, or learn that it is there."""
    file_id = send(store, you, ONE, visibility="private").file.id
    with pytest.raises(NotFound):
        delete.delete_file(store, me, file_id)
    with pytest.raises(NotFound):
        drop(store, me, ONE)
    assert fetch(store, you, ONE) == ONE


def test_without_the_scope(store: Store, me: Caller) -> None:
    """If this failed, a key that may only write could delete."""
    send(store, me, ONE)
    writer = Caller(me.user_id, me.name, me.role, frozenset({Scope.READ, Scope.WRITE}), None, 0, by_password=False)
    with pytest.raises(InsufficientScope):
        drop(store, writer, ONE)


def test_what_is_not_ready_is_not_deleted_by_hash(store: Store, me: Caller) -> None:
    """If this failed, a delete would take an upload of the same content that is still under way."""
    send(store, me, ONE, name="x")
    send(store, me, ONE, name="y")
    ask(store, "UPDATE files SET ready_at = NULL WHERE name = 'y'")
    assert drop(store, me, ONE) == delete.Deleted(1, 0)
    with pytest.raises(NotFound):
        drop(store, me, ONE)
    assert numbers(store, me) == (1000, 1000, 1, 1)


def test_two_contents_in_one_shard(store: Store, me: Caller) -> None:
    """If this failed, a delete and a sweep would reach another content whose digest begins alike."""
    contents = [sample(100, str(number)) for number in range(300)]
    by_shard: dict[str, bytes] = {}
    for content in contents:
        shard = digest_of(content).hex[:2]
        if shard in by_shard:
            break
        by_shard[shard] = content
    neighbour = by_shard[shard]
    assert content != neighbour
    send(store, me, content)
    send(store, me, neighbour)
    drop(store, me, content)
    assert upkeep.sweep(store, NOW).blobs == 1
    assert fetch(store, me, neighbour) == neighbour
    assert bytes_on_disk(store) == [digest_of(neighbour).hex]


def test_the_bytes_wait_for_the_sweep(store: Store, me: Caller) -> None:
    """If this failed, a delete would be slower than one transaction, or a download that has begun would be cut."""
    send(store, me, ONE)
    drop(store, me, ONE)
    assert bytes_on_disk(store) == [digest_of(ONE).hex]
    assert send(store, me, ONE).created
    upkeep.sweep(store, NOW)
    assert fetch(store, me, ONE) == ONE
