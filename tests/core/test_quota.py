"""The quota: what is charged, refunded and refused, and what the numbers say."""

from __future__ import annotations

from dataclasses import replace

import pytest

from blobstore.core import quota
from blobstore.core.store import Store
from blobstore.errors import QuotaExceeded, Unauthenticated
from tests.core.acts import ask, drop, nothing_is_left, numbers, person, send
from tests.storage.contract import sample

ONE, OTHER = sample(1000, "one"), sample(2000, "other")


def test_what_the_numbers_say(store: Store) -> None:
    """If this failed, a user would be shown other numbers than those that decide."""
    me = person(store, quota_bytes=5000)
    for name in ("x", "y", "z"):
        send(store, me, ONE, name=name)
    send(store, me, OTHER)
    found = quota.read(store, me)
    assert (found.limit, found.used, found.reserved, found.logical) == (5000, 3000, 0, 5000)
    assert (found.files, found.contents, found.free, found.saved) == (4, 2, 2000, 2000)


def test_an_account_that_goes_meanwhile(store: Store) -> None:
    """A request beside the removal of its account would be an error of ours."""
    caller = person(store)
    ask(store, "DELETE FROM users WHERE id = :id", id=caller.user_id)
    with pytest.raises(Unauthenticated):
        quota.read(store, caller)


def test_without_a_limit(store: Store) -> None:
    """If this failed, a user without a limit would be refused, or shown one."""
    me = person(store)
    send(store, me, ONE)
    assert quota.read(store, me).limit is None
    assert quota.read(store, me).free is None


@pytest.mark.parametrize(("size", "fits"), [(999, True), (1000, True), (1001, False)])
def test_the_last_byte(store: Store, size: int, fits: bool) -> None:
    """If this failed, the last byte of a quota could not be used, or one more could."""
    me = person(store, quota_bytes=1000)
    if fits:
        assert send(store, me, sample(size)).created
    else:
        with pytest.raises(QuotaExceeded):
            send(store, me, sample(size))
    assert numbers(store, me)[0] == (size if fits else 0)


def test_a_full_quota_takes_what_costs_nothing(store: Store) -> None:
    """If this failed, a user with a full quota could not name his own content again, nor store no bytes."""
    me = person(store, quota_bytes=1000)
    send(store, me, ONE, name="x")
    full = replace(me, used_bytes=1000)
    assert send(store, full, ONE, name="y").created
    assert send(store, full, b"").created
    with pytest.raises(QuotaExceeded):
        send(store, full, b"x")
    assert numbers(store, me) == (1000, 2000, 3, 2)


def test_what_is_deleted_can_be_used_again(store: Store) -> None:
    """If this failed, a quota would fill up for ever."""
    me = person(store, quota_bytes=2500)
    for _ in range(3):
        send(store, me, OTHER)
        with pytest.raises(QuotaExceeded):
            send(store, me, ONE)
        drop(store, me, OTHER)
    nothing_is_left(store)


def test_a_quota_that_was_lowered(store: Store) -> None:
    """If this failed, a user above a lowered quota could not delete, or send again what is his, or could add to it."""
    me = person(store, quota_bytes=5000)
    send(store, me, ONE)
    send(store, me, OTHER)
    ask(store, "UPDATE users SET quota_bytes = 2500")
    assert quota.read(store, me).free == 0
    above = replace(me, quota_bytes=2500, used_bytes=3000)
    with pytest.raises(QuotaExceeded):
        send(store, above, b"x")
    assert send(store, above, b"").created
    assert not send(store, above, ONE).created
    drop(store, me, OTHER)
    assert quota.read(store, me).free == 1500
    send(store, me, b"x")


def test_reserved_bytes_are_taken(store: Store) -> None:
    """If this failed, the room that a resumable upload has reserved would be given away."""
    me = person(store, quota_bytes=1500)
    ask(store, "UPDATE users SET reserved_bytes = 600")
    assert quota.read(store, me).free == 900
    with pytest.raises(QuotaExceeded):
        send(store, me, ONE)
    ask(store, "UPDATE users SET reserved_bytes = 500")
    assert send(store, me, ONE).created
    ask(store, "UPDATE users SET reserved_bytes = 0")


def test_refused_before_the_body(store: Store) -> None:
    """If this failed, a body that cannot fit would be read first, or one that costs nothing would be refused."""
    me = person(store, quota_bytes=1000)
    send(store, me, ONE)
    full = replace(me, used_bytes=1000)
    with pytest.raises(QuotaExceeded) as refused:
        quota.refuse_early(store, full, 500, 500)
    assert (refused.value.limit_bytes, refused.value.used_bytes, refused.value.needed_bytes) == (1000, 1000, 500)
    quota.refuse_early(store, full, 1000, 1000)
    quota.refuse_early(store, full, 900, 1100)
    quota.refuse_early(store, me, 1000, 1000)
    quota.refuse_early(store, full, 0, 0)
