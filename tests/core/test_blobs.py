"""The owner of blobs and claims: what each of its steps says of a row, and under which condition."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

import pytest
from sqlalchemy.orm import Session

from blobstore.core import blobs
from blobstore.core.store import Store
from blobstore.digest import Digest
from tests.core.acts import A_DAY, NOW, ask, person
from tests.storage.contract import digest_of

DIGEST = digest_of(b"content")
KIND = "text/plain"
PLACE = "disk:xx"


@pytest.fixture
def session(store: Store) -> Iterator[Session]:
    """A transaction that is undone at the end."""
    with store.database.transaction() as session:
        yield session
        session.rollback()


@pytest.fixture
def me(store: Store) -> int:
    return person(store).user_id


def _published(session: Session, digest: Digest = DIGEST) -> blobs.Locked:
    blobs.lock_or_insert(session, digest, 7, KIND)
    blobs.vouch(session, digest, PLACE, KIND)
    return _locked(session, digest)


def _locked(session: Session, digest: Digest = DIGEST) -> blobs.Locked:
    found = blobs.lock(session, digest)
    assert found is not None
    return found


def test_a_new_row_vouches_for_nothing(session: Session) -> None:
    """If this failed, a content would be called stored before it is."""
    assert blobs.lock(session, DIGEST) is None
    assert blobs.lock_or_insert(session, DIGEST, 7, KIND) == blobs.Locked(7, None, whole=False)
    assert _locked(session) == blobs.Locked(7, None, whole=False)


def test_a_row_that_is_there_keeps_what_it_says(session: Session) -> None:
    """If this failed, the lock of a second upload would change the row of the first."""
    _published(session)
    assert blobs.lock_or_insert(session, DIGEST, 7, "other/kind") == blobs.Locked(7, PLACE, whole=True)


def test_the_first_claim_alone_is_new(session: Session, me: int) -> None:
    """If this failed, a second name would be charged, or a first one would not."""
    _published(session)
    assert blobs.claim(session, me, DIGEST)
    assert not blobs.claim(session, me, DIGEST)
    assert blobs.claimed(session, me, DIGEST) == 2
    assert not blobs.release(session, me, DIGEST, files=1, of=2)
    assert blobs.claimed(session, me, DIGEST) == 1
    assert blobs.release(session, me, DIGEST, files=1, of=1)
    assert blobs.claimed(session, me, DIGEST) == 0


def test_a_claim_goes_with_all_its_files(session: Session, me: int) -> None:
    """If this failed, a delete of all names at once would leave the claim."""
    _published(session)
    for _ in range(3):
        blobs.claim(session, me, DIGEST)
    assert blobs.release(session, me, DIGEST, files=3, of=3)
    assert blobs.disown(session, NOW, 10) == 1


def test_what_is_claimed_is_not_disowned(session: Session, me: int) -> None:
    """If this failed, a sweep would stop vouching for what somebody has."""
    _published(session)
    blobs.claim(session, me, DIGEST)
    assert blobs.disown(session, NOW, 10) == 0
    assert blobs.disowned(session, NOW, "", 10) == []
    assert blobs.still_disowned(session, DIGEST) == (False, None)
    assert not blobs.forget(session, DIGEST, PLACE)


def test_what_is_published_is_not_forgotten(session: Session, me: int) -> None:
    """If this failed, a row would go whose bytes are still vouched for."""
    _published(session)
    blobs.claim(session, me, DIGEST)
    blobs.release(session, me, DIGEST, files=1, of=1)
    assert blobs.still_disowned(session, DIGEST) == (False, None)
    assert not blobs.forget(session, DIGEST, PLACE)
    assert blobs.disown(session, A_DAY, 10) == 0
    assert blobs.disown(session, NOW, 10) == 1
    assert not _locked(session).whole
    assert blobs.still_disowned(session, DIGEST) == (True, PLACE)


def test_a_row_is_forgotten_at_its_own_location_only(session: Session) -> None:
    """If this failed, a sweeper would forget newer bytes than those that it deleted."""
    assert blobs.adopt(session, DIGEST, 7, PLACE)
    assert not blobs.forget(session, DIGEST, "disk:elsewhere")
    assert not blobs.forget(session, DIGEST, None)
    assert blobs.forget(session, DIGEST, PLACE)
    assert blobs.lock(session, DIGEST) is None


def test_a_row_without_bytes_is_forgotten(session: Session) -> None:
    """If this failed, the row of an upload that never published would stay for ever."""
    blobs.lock_or_insert(session, DIGEST, 7, KIND)
    assert blobs.disowned(session, A_DAY, "", 10) == [DIGEST]
    assert blobs.still_disowned(session, DIGEST) == (True, None)
    assert blobs.forget(session, DIGEST, None)


def test_adopt_takes_no_row_over(session: Session) -> None:
    """If this failed, bytes on the disk would make a published row an unpublished one."""
    before = _published(session)
    assert not blobs.adopt(session, DIGEST, 99, "disk:elsewhere")
    assert _locked(session) == before


def test_damage_is_of_what_was_seen(session: Session) -> None:
    """If this failed, a blob that was published anew would be called damaged for its older bytes."""
    _published(session)
    seen = session.connection().exec_driver_sql("SELECT published_at FROM blobs").scalar_one()
    assert not blobs.damage(session, DIGEST, "disk:elsewhere", seen)
    assert not blobs.damage(session, DIGEST, PLACE, seen - timedelta(microseconds=1))
    assert blobs.damage(session, DIGEST, PLACE, seen)
    assert not _locked(session).whole
    blobs.vouch(session, DIGEST, PLACE, KIND)
    assert _locked(session).whole


def test_disowned_goes_on_behind_the_last(session: Session) -> None:
    """If this failed, a sweep would pass over blobs, or come to the same ones for ever."""
    digests = sorted(digest_of(str(number).encode()) for number in range(5))
    for digest in digests:
        blobs.adopt(session, digest, 1, PLACE)
    assert blobs.disowned(session, NOW, "", 2) == digests[:2]
    assert blobs.disowned(session, NOW, digests[1].hex, 2) == digests[2:4]
    assert blobs.disowned(session, NOW, digests[4].hex, 2) == []


def test_a_sweep_passes_over_what_is_locked(store: Store, session: Session) -> None:
    """If this failed, a sweep would wait for every upload of what it would take, and uploads for the sweep."""
    blobs.lock_or_insert(session, DIGEST, 7, KIND)
    session.commit()
    ask(store, "UPDATE blobs SET published_at = now(), location = 'disk:xx', unreferenced_at = '-infinity'")
    _locked(session)
    with store.database.transaction() as other:
        assert blobs.disown(other, NOW, 10) == 0
    session.rollback()
    with store.database.transaction() as other:
        assert blobs.disown(other, NOW, 10) == 1
    ask(store, "DELETE FROM blobs")
