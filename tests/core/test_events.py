"""The audit log: what is acknowledged has its event, what is rolled back has none, and nothing is changed later."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import event
from sqlalchemy.exc import DBAPIError

from blobstore.core import (
    accounts,
    admin,
    bans,
    delete,
    events,
    files,
    keys,
    links,
    new_email,
    new_password,
    removal,
    sessions,
    tickets,
    upload,
)
from blobstore.core.actor import OPERATOR, Actor
from blobstore.core.events import Action, Filters, StoredEvent
from blobstore.core.gate import ALL_SCOPES, Caller, Scope
from blobstore.core.store import Store
from blobstore.core.tickets import Purpose
from blobstore.errors import BadCursor, BlobstoreError
from tests.conftest import PASSWORD
from tests.core.acts import ask, person, send
from tests.storage.contract import digest_of, sample

ONE = sample(1000, "one")
BY = Actor("me", "192.0.2.1", "r1")
VISITOR = Actor(None, "192.0.2.5", "r5")
CHIEF = Actor("chief", "192.0.2.9", "r9")


def me(store: Store, quota_bytes: int | None = None) -> Caller:
    """A new user `me`, who asks from somewhere."""
    account = person(store, "me", quota_bytes)
    return Caller(account.user_id, "me", "user", ALL_SCOPES, quota_bytes, 0, by_password=True, epoch=0, actor=BY)


def logged(store: Store, **filters: Any) -> list[StoredEvent]:
    """All events, the oldest first."""
    return events.page(store, Filters(**filters), limit=1000, cursor=None).items[::-1]


def last(store: Store) -> StoredEvent:
    return logged(store)[-1]


def statements(store: Store, call: Callable[[], object]) -> int:
    """How many statements the database is sent."""
    said: list[str] = []

    def hear(_connection: object, _cursor: object, statement: str, *_: object) -> None:
        said.append(statement)

    event.listen(store.database.engine, "before_cursor_execute", hear)
    call()
    event.remove(store.database.engine, "before_cursor_execute", hear)
    return len(said)


def test_an_upload_is_noted_with_what_it_was(store: Store) -> None:
    """If this failed, nobody could say who brought a file, when and from where; or an answered one would be missing."""
    caller = me(store)
    file = send(store, caller, ONE, name="x", folder="/f").file
    found = last(store)
    assert (found.user, found.owner_id, found.action) == ("me", caller.user_id, "upload")
    assert (found.digest, found.file_id) == (file.digest.hex, file.id)
    assert (found.address, found.request_id, found.details) == ("192.0.2.1", "r1", {"name": "x", "folder": "/f"})
    send(store, caller, ONE, name="x", folder="/f")
    upload.instant(store, caller, digest_of(ONE), {"name": "y"})
    assert [(each.action, each.details["name"]) for each in logged(store)[-2:]] == [("upload", "x"), ("upload", "y")]


def test_an_upload_that_changes_a_file_is_a_change_too(store: Store) -> None:
    """If this failed, a private file could be made public by sending it again, and the log would not say so."""
    caller = me(store)
    quiet = Store(store.settings.model_copy(update={"audit_traffic": False}), store.database, store.storage)
    for where, left in ((store, ["upload", "file_changed", "upload"]), (quiet, ["file_changed"])):
        before = len(logged(store))
        content = sample(10, str(left))
        send(where, caller, content, name="x", visibility="private")
        send(where, caller, content, name="x", visibility="public")
        assert [each.action for each in logged(store)[before:]] == left
        (changed,) = [each for each in logged(store)[before:] if each.action == "file_changed"]
        assert (changed.details["was"], changed.details["now"]) == ({"visibility": "private"}, {"visibility": "public"})
    before = len(logged(store))
    send(quiet, caller, content, name="x", visibility="public")
    assert len(logged(store)) == before


def test_what_fails_leaves_no_event(store: Store) -> None:
    """If this failed, the log would tell of what has not happened."""
    caller = me(store, quota_bytes=10)
    before = len(logged(store))
    for attempt in (
        lambda: send(store, caller, ONE),
        lambda: delete.delete_content(store, caller, digest_of(ONE)),
        lambda: keys.revoke(store, caller.user_id, "none", BY),
        lambda: admin.change(store, "nobody", {"quota": 1}, CHIEF),
        lambda: accounts.add(store, "me", PASSWORD, by=CHIEF),
    ):
        with pytest.raises(BlobstoreError):
            attempt()
    send(store, caller, b"small")
    delete.delete_content(store, caller, digest_of(b"small"), dry_run=True)
    assert [each.action for each in logged(store)[before:]] == ["upload"]


def test_the_log_costs_an_upload_no_round_trip(store: Store) -> None:
    """If this failed, every small upload would wait for the database once more."""
    quiet = Store(store.settings.model_copy(update={"audit_traffic": False}), store.database, store.storage)
    caller = me(store)
    new = [statements(one, lambda one=one: send(one, caller, sample(10, str(one)))) for one in (quiet, store)]  # type: ignore[misc]
    again = [statements(one, lambda one=one: send(one, caller, sample(10, str(one)))) for one in (quiet, store)]  # type: ignore[misc]
    assert new[0] == new[1]
    assert again[0] == again[1]
    assert len(logged(store, action=Action.UPLOAD)) == 2


def test_each_change_is_noted(store: Store) -> None:
    """If this failed, something could be done here without a trace of who did it."""
    caller = me(store)
    file = send(store, caller, ONE, name="x", visibility="private").file
    files.change(store, caller, file.id, {"name": "y", "visibility": "public"})
    assert (last(store).action, last(store).file_id) == ("file_changed", file.id)
    assert last(store).details == {
        "name": "x", "folder": "/", "was": {"name": "x", "visibility": "private"},
        "now": {"name": "y", "visibility": "public"},
    }  # fmt: skip
    delete.delete_file(store, caller, file.id)
    assert last(store).details == {"name": "y", "folder": "/", "files": 1, "freed_bytes": 1000}
    send(store, caller, ONE, name="z")
    delete.delete_content(store, caller, digest_of(ONE))
    assert last(store).action == "content_deleted"
    assert last(store).details == {"folder": "/", "files": 1, "freed_bytes": 1000}
    private = send(store, caller, ONE, visibility="private").file
    links.sign(store, caller, private.id)
    assert (last(store).action, last(store).file_id) == ("link_signed", private.id)
    stored, _ = keys.issue(store, caller.user_id, "laptop", [Scope.READ], by=BY)
    assert (last(store).action, last(store).target) == ("key_issued", stored.id)
    assert last(store).details == {"name": "laptop", "scopes": ["read"], "folder": "/", "expires_at": None}
    rotated, _ = keys.rotate(store, caller.user_id, stored.id, timedelta(0), BY)
    assert (last(store).action, last(store).target, last(store).details["old"]) == (
        "key_rotated",
        rotated.id,
        stored.id,
    )
    keys.revoke(store, caller.user_id, rotated.id, BY)
    assert (last(store).action, last(store).target) == ("key_revoked", rotated.id)
    sessions.log_in(store, caller, "192.0.2.1", "curl")
    session_id = last(store).target
    assert last(store).action == "login"
    sessions.log_out(store, caller.user_id, session_id or "", BY)
    assert (last(store).action, last(store).target) == ("logout", session_id)
    assert {each.user for each in logged(store)} == {"me"}
    assert {each.owner_id for each in logged(store)} == {caller.user_id}


def test_each_act_on_a_user_is_noted(store: Store) -> None:
    """If this failed, an admin could change what others have, and nobody could tell which one it was."""
    made = accounts.add(store, "ann", PASSWORD, email="ann@files.example", quota_bytes=5, by=CHIEF)
    assert (last(store).action, last(store).details) == ("user_added", {"role": "user", "quota": 5})
    admin.change(store, "ann", {"quota": 7, "email": "new@files.example"}, CHIEF)
    assert last(store).details == {"now": {"quota": 7, "email": "changed"}}
    ticket, _ = tickets.issue(store, "ann", by=CHIEF)
    assert last(store).action == "ticket_issued"
    tickets.redeem_password(store, ticket, "a new password", by=VISITOR)
    assert (last(store).action, last(store).user, last(store).address) == ("password_reset", None, "192.0.2.5")
    new_email.set_email(store, "ann", "newer@files.example", CHIEF)
    assert (last(store).action, last(store).details) == ("email_changed", {})
    ticket, _ = tickets.issue(store, "ann", Purpose.EMAIL, by=CHIEF)
    tickets.redeem_email(store, ticket, by=VISITOR)
    assert (last(store).action, last(store).address) == ("email_verified", "192.0.2.5")
    new_password.set_password(store, "ann", "yet another one", CHIEF)
    assert last(store).action == "password_changed"
    admin.set_disabled(store, "ann", disabled=True)
    assert (last(store).user, last(store).address) == (None, "command line")
    removal.remove_account(store, "ann", CHIEF)
    assert (last(store).action, last(store).details) == ("user_removed", {"files": 0})
    assert {(each.target, each.owner_id) for each in logged(store)} == {("ann", made.id)}


def test_a_ban_and_what_it_takes_are_noted(store: Store) -> None:
    """If this failed, an owner could not find out what became of his file, nor an admin who banned it."""
    caller, before = me(store), len(logged(store))
    send(store, caller, ONE)
    bans.ban(store, digest_of(ONE), "malware", CHIEF)
    bans.lift(store, digest_of(ONE), CHIEF)
    found = [(each.action, each.owner_id, each.details) for each in logged(store)[before + 1 :]]
    assert found == [
        ("content_banned", None, {"reason": "malware"}),
        ("content_removed", caller.user_id, {"files": 1, "freed_bytes": 1000}),
        ("ban_lifted", None, {}),
    ]
    assert {each.digest for each in logged(store)[before:]} == {digest_of(ONE).hex}


@pytest.mark.parametrize("statement", ["UPDATE events SET user_name = 'you'", "DELETE FROM events", "TRUNCATE events"])
def test_nothing_is_changed_later(store: Store, statement: str) -> None:
    """If this failed, whoever has the rights of the service could rewrite what he has done."""
    events.write(store, BY, Action.LOGIN)
    with pytest.raises(DBAPIError, match="added to"):
        ask(store, statement)
    with pytest.raises(DBAPIError, match="added to"):
        ask(store, "SET LOCAL blobstore.retention = 'on'; UPDATE events SET user_name = 'you'")
    assert [each.user for each in logged(store)] == ["me"]


def test_what_is_old_is_forgotten(store: Store) -> None:
    """If this failed, addresses would be kept for longer than people are told, or younger events be lost."""
    for days in (89, 91, 400):
        events.write(store, BY, Action.LOGIN, days=days)
        ask(store, _backdate(days))
    assert events.forget_old(store) == 2
    assert [each.details["days"] for each in logged(store)] == [89]
    for_ever = Store(store.settings.model_copy(update={"audit_days": 0}), store.database, store.storage)
    assert events.forget_old(for_ever) == 0


def _backdate(days: int) -> str:
    columns = "user_name, owner_id, action, digest, file_id, target, address, request_id, details"
    old = f"clock_timestamp() - interval '{days} days'"
    return f"""
        INSERT INTO events (at, {columns}) SELECT {old}, {columns} FROM events WHERE details ->> 'days' = '{days}';
        SET LOCAL blobstore.retention = 'on';
        DELETE FROM events WHERE details ->> 'days' = '{days}' AND at > clock_timestamp() - interval '1 day'"""


def test_the_log_is_filtered_and_paged(store: Store) -> None:
    """If this failed, an admin would not find an event, or a page would miss one or show one twice."""
    for number in range(7):
        events.write(store, CHIEF if number % 2 else BY, Action.LOGIN if number < 4 else Action.LOGOUT, n=number)
    first = events.page(store, Filters(), limit=3, cursor=None)
    second = events.page(store, Filters(), limit=4, cursor=first.next)
    assert [each.details["n"] for each in (*first.items, *second.items)] == [6, 5, 4, 3, 2, 1, 0]
    assert second.next is None
    assert [each.details["n"] for each in logged(store, user="chief")] == [1, 3, 5]
    assert [each.details["n"] for each in logged(store, user="chief", action=Action.LOGIN)] == [1, 3]
    third = logged(store)[3].at
    assert [each.details["n"] for each in logged(store, after=third)] == [3, 4, 5, 6]
    assert [each.details["n"] for each in logged(store, before=third)] == [0, 1, 2]
    with pytest.raises(BadCursor):
        events.page(store, Filters(), limit=1, cursor="WzEsMl0")


def test_an_export_has_everything_in_its_order(store: Store) -> None:
    """If this failed, the copy of the log would lack the events where two batches meet."""
    ask(
        store,
        """INSERT INTO events (at, action, address, request_id, details)
           SELECT now() - interval '1 minute', 'login', '', '', jsonb_build_object('n', n)
           FROM generate_series(1, 2500) n""",
    )
    found = list(events.export(store, Filters(), OPERATOR))
    assert [each.details.get("n") for each in found] == [*range(1, 2501), None]
    assert found[-1].action == "events_exported"
    recent = datetime.now(UTC) - timedelta(seconds=30)
    assert len(list(events.export(store, Filters(after=recent), OPERATOR))) == 2


def test_an_activity_is_of_one_account(store: Store) -> None:
    """If this failed, a new user would read what an earlier one of his name did, or one what another one did."""
    caller = me(store)
    send(store, caller, ONE)
    send(store, person(store, "you"), ONE)
    found = events.activity(store, caller, limit=10, cursor=None)
    assert [each.owner_id for each in found.items] == [caller.user_id]
    removal.remove_account(store, "me")
    assert events.activity(store, me(store), limit=10, cursor=None).items == []
