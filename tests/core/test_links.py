"""Signed links."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from blobstore.core import admin, delete, files, keys, links, new_password, upload
from blobstore.core.accounts import Account
from blobstore.core.files import StoredFile
from blobstore.core.gate import ALL_SCOPES, Caller, Scope
from blobstore.core.links import Link
from blobstore.core.store import Store
from blobstore.errors import BadSignature
from tests.conftest import NEW_PASSWORD
from tests.core.acts import person


@pytest.fixture
def caller(user: Account) -> Caller:
    return Caller(user.id, user.name, "user", ALL_SCOPES, None, 0, by_password=True)


@pytest.fixture
def file(store: Store, caller: Caller) -> StoredFile:
    return upload.upload(store, caller, [b"secret"], {"visibility": "private", "name": "x"}).file


def test_a_link_opens_the_file_it_was_signed_for(store: Store, caller: Caller, file: StoredFile) -> None:
    """Nobody could read a private file by its link."""
    link, _ = links.sign(store, caller, file.id)
    assert links.opened(store, file.id, link) == file


@pytest.mark.parametrize(
    "change",
    [
        {"expires": 0},
        {"expires": 2**40},
        {"key_id": "00000000"},
        {"key_id": ""},
        {"signature": ""},
        {"signature": "é"},
        {"signature": "A" * 43},
    ],
)
def test_a_changed_link_opens_nothing(
    store: Store, caller: Caller, file: StoredFile, change: dict[str, int | str]
) -> None:
    """A link could be stretched or forged."""
    link, _ = links.sign(store, caller, file.id)
    with pytest.raises(BadSignature):
        links.opened(store, file.id, replace(link, **change))  # type: ignore[arg-type]


def test_a_link_does_not_open_another_file(store: Store, caller: Caller, file: StoredFile) -> None:
    """A link to one file would be a link to all."""
    other = upload.upload(store, caller, [b"other"], {"visibility": "private"}).file
    link, _ = links.sign(store, caller, file.id)
    with pytest.raises(BadSignature):
        links.opened(store, other.id, link)


def test_a_link_ends(store: Store, caller: Caller, file: StoredFile) -> None:
    """A link would open its file for ever."""
    link, expires_at = links.sign(store, caller, file.id)
    assert links.opened(store, file.id, link, expires_at - timedelta(seconds=1)) == file
    with pytest.raises(BadSignature):
        links.opened(store, file.id, link, expires_at)


def test_a_link_cannot_be_longer_than_a_week(store: Store, caller: Caller, file: StoredFile) -> None:
    """A clock that was wrong once would leave a link for years."""
    link, _ = links.sign(store, caller, file.id, datetime.now(UTC) + timedelta(days=8))
    with pytest.raises(BadSignature):
        links.opened(store, file.id, link)


def test_a_change_of_password_ends_every_link(store: Store, caller: Caller, file: StoredFile) -> None:
    """Whoever has lost his password could not take back what a thief has signed."""
    link, _ = links.sign(store, caller, file.id)
    new_password.set_password(store, caller.name, NEW_PASSWORD)
    with pytest.raises(BadSignature):
        links.opened(store, file.id, link)


def test_a_link_ends_with_the_key_that_it_was_made_with(store: Store, caller: Caller, file: StoredFile) -> None:
    """Whoever has stolen a key could sign links to everything, and its revocation would not take them back."""
    stored, _ = keys.issue(store, caller.user_id, "laptop", [Scope.READ])
    link, _ = links.sign(store, replace(caller, key_id=stored.id), file.id)
    assert links.opened(store, file.id, link) == file
    with pytest.raises(BadSignature):
        links.opened(store, file.id, replace(link, api_key=None))
    keys.revoke(store, caller.user_id, stored.id)
    with pytest.raises(BadSignature):
        links.opened(store, file.id, link)


def test_a_link_ends_when_its_key_expires(store: Store, caller: Caller, file: StoredFile) -> None:
    """A key for a minute could open files for an hour."""
    stored, _ = keys.issue(store, caller.user_id, "k", [Scope.READ], expires_at=datetime.now(UTC))
    link, _ = links.sign(store, replace(caller, key_id=stored.id), file.id)
    with pytest.raises(BadSignature):
        links.opened(store, file.id, link)


def test_a_link_of_a_disabled_user_does_not_come_back(store: Store, caller: Caller, file: StoredFile) -> None:
    """What a thief has signed would open again as soon as the account is given back to its user."""
    link, _ = links.sign(store, caller, file.id)
    admin.set_disabled(store, caller.name, disabled=True)
    admin.set_disabled(store, caller.name, disabled=False)
    with pytest.raises(BadSignature):
        links.opened(store, file.id, link)


def test_a_link_to_a_deleted_file_is_like_a_wrong_one(store: Store, caller: Caller, file: StoredFile) -> None:
    """A deleted file could still be read, or a made-up link would tell whether there is such a file."""
    link, _ = links.sign(store, caller, file.id)
    delete.delete_file(store, caller, file.id)
    with pytest.raises(BadSignature):
        links.opened(store, file.id, link)


def test_who_reads_it_only_because_it_is_public_signs_no_more(store: Store, caller: Caller, file: StoredFile) -> None:
    """A stranger could keep a file that its owner takes back, or a key that may not read could come to do it."""
    files.change(store, caller, file.id, {"visibility": "public"})
    others = (None, person(store, "other"), replace(caller, scopes=frozenset({Scope.WRITE})))
    signed = [links.sign(store, each, file.id)[0] for each in others]
    own, _ = links.sign(store, caller, file.id)
    for link in (*signed, own):
        links.opened(store, file.id, link)
    files.change(store, caller, file.id, {"visibility": "private"})
    for link in signed:
        with pytest.raises(BadSignature):
            links.opened(store, file.id, link)
    links.opened(store, file.id, own)


def test_an_older_secret_of_the_ring_still_verifies(store: Store, caller: Caller, file: StoredFile) -> None:
    """A new SECRET_KEY would end every link at once."""
    link, _ = links.sign(store, caller, file.id)
    secret_key = store.settings.require_secret_key()
    ring = store.settings.model_copy(
        update={"secret_key": _Secret("a new secret that is long enough 9876543210," + secret_key)}
    )
    assert links.opened(replace(store, settings=ring), file.id, link) == file
    newer, _ = links.sign(replace(store, settings=ring), caller, file.id)
    with pytest.raises(BadSignature):
        links.opened(store, file.id, Link(newer.expires, newer.key_id, newer.signature))


class _Secret(str):
    __slots__ = ()

    def get_secret_value(self) -> str:
        return str(self)
