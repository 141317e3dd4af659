"""What was taken away is away: while 32 clients read, no request that begins behind the answer comes in (I13, I14)."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from tests.conftest import NEW_PASSWORD, PASSWORD
from tests.edge import people
from tests.edge.people import ROOT, USERS, by, json_by
from tests.edge.place import Place, place
from tests.edge.wire import ask_json, basic, bearer, head
from tests.races.readers import AFTER, BEFORE, READERS, came_in, late, read_until
from tests.served import eventually

SECRET = b"what only some may read"
NOBODY = "X-Nobody: 1"
Revoked = tuple[list[bytes], Callable[[], None]]
"""What the readers ask, in turns, and what takes it from them: it returns when it was answered."""


@pytest.fixture(scope="module")
def here(migrated_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    """A service of two workers, on which connections stay."""
    with place(tmp_path_factory.mktemp("revoked"), migrated_url, workers=2, keepalive_seconds=60) as running:
        yield running


def reads(authorization: str, path: str = "/api/v1/me/quota") -> bytes:
    """What a reader sends, again and again."""
    return head(f"GET {path}", authorization)


def done(place: Place, request: bytes) -> Callable[[], None]:
    """Send it, and be done when a good answer has come."""

    def send() -> None:
        assert place.ask(request).status in (200, 204)

    return send


def uploaded(place: Place, authorization: str, **options: str) -> dict[str, str]:
    """A new file of somebody's."""
    query = "&".join(f"{name}={value}" for name, value in options.items())
    request = head(f"PUT /upload/x?{query}", authorization, "Connection: close", f"Content-Length: {len(SECRET)}")
    return dict(people.answered(place, request + SECRET))


def expires(place: Place, table: str, row_id: str) -> Callable[[], None]:
    """Make the row end soon, and be done when it has, by the database's clock."""

    def pass_by() -> None:
        mine = f"WHERE id = '{row_id}'"
        place.say(f"UPDATE {table} SET expires_at = clock_timestamp() + interval '0.2 s' {mine}")
        eventually(lambda: place.rows(f"SELECT 1 FROM {table} {mine} AND expires_at < clock_timestamp()"))

    return pass_by


def key_revoked(place: Place, user: str, me: str) -> Revoked:
    given = people.key(place, name=user)
    both = [reads(bearer(given["key"])), reads(basic(user, given["key"]))]
    return both, done(place, by(me, f"DELETE /api/v1/keys/{given['id']}"))


def key_expired(place: Place, user: str, me: str) -> Revoked:
    given = people.key(place, name=user)
    return [reads(bearer(given["key"]))], expires(place, "api_keys", given["id"])


def user_disabled(place: Place, user: str, me: str) -> Revoked:
    shown = [me, bearer(people.key(place, name=user)["key"]), bearer(people.token(place, user))]
    public = reads(NOBODY, f"/{uploaded(place, me)['sha256']}")
    return [*map(reads, shown), public], done(place, json_by(ROOT, f"PATCH {USERS}/{user}", {"disabled": True}))


def user_deleted(place: Place, user: str, me: str) -> Revoked:
    given = [reads(me), reads(NOBODY, f"/{uploaded(place, me)['sha256']}")]
    return given, done(place, json_by(me, "DELETE /api/v1/me", {"password": PASSWORD}))


def admin_no_more(place: Place, user: str, me: str) -> Revoked:
    people.change(place, user, role="admin")
    key = people.key(place, "admin", name=user)["key"]
    return [reads(me, USERS), reads(bearer(key), USERS)], done(
        place, json_by(ROOT, f"PATCH {USERS}/{user}", {"role": "user"})
    )


def of_a_password(place: Place, user: str, me: str) -> list[bytes]:
    """What a password gives: itself, a login, a signed link."""
    file = uploaded(place, me, visibility="private")
    url = people.answered(place, by(me, f"GET /api/v1/files/{file['id']}/download?mode=url"))["download_url"]
    link = "/api/v1/" + url.partition("/api/v1/")[2]
    return [reads(me), reads(bearer(people.token(place, user))), reads(NOBODY, link)]


def password_changed(place: Place, user: str, me: str) -> Revoked:
    change = json_by(me, "POST /api/v1/auth/password", {"current": PASSWORD, "new": NEW_PASSWORD})
    return of_a_password(place, user, me), done(place, change)


def password_reset(place: Place, user: str, me: str) -> Revoked:
    ticket = people.answered(place, by(ROOT, f"POST {USERS}/{user}/ticket"))["ticket"]
    redeem = ask_json("POST /api/v1/auth/password/reset/confirm", {"ticket": ticket, "new": NEW_PASSWORD}, me=False)
    return of_a_password(place, user, me), done(place, redeem)


def logged_out(place: Place, user: str, me: str) -> Revoked:
    given = bearer(people.token(place, user))
    return [reads(given)], done(place, by(given, "POST /api/v1/auth/logout"))


def session_ended(place: Place, user: str, me: str) -> Revoked:
    given = people.token(place, user)
    (session,) = people.answered(place, by(me, "GET /api/v1/auth/sessions"))["items"]
    return [reads(bearer(given))], done(place, by(me, f"DELETE /api/v1/auth/sessions/{session['id']}"))


def file_made_private(place: Place, user: str, me: str) -> Revoked:
    file = uploaded(place, me)
    addresses = [
        reads(NOBODY, path) for path in (f"/{file['sha256']}", f"/s/{file['id']}", f"/{file['sha256']}.sha256")
    ]
    return addresses, done(place, json_by(me, f"PATCH /api/v1/files/{file['id']}", {"visibility": "private"}))


def file_deleted(place: Place, user: str, me: str) -> Revoked:
    file = uploaded(place, me)
    given = [reads(who, f"/{file['sha256']}") for who in (me, NOBODY)]
    return given, done(place, by(me, f"DELETE /{file['sha256']}"))


def file_expired(place: Place, user: str, me: str) -> Revoked:
    file = uploaded(place, me)
    given = [reads(who, f"/{file['sha256']}") for who in (me, NOBODY)]
    return given, expires(place, "files", file["id"])


WAYS = (
    key_revoked, key_expired, user_disabled, user_deleted, admin_no_more, password_changed, password_reset, logged_out,
    session_ended, file_made_private, file_deleted, file_expired,
)  # fmt: skip


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)
def test_nobody_comes_in_behind_the_answer(here: Place, way: Callable[[Place, str, str], Revoked]) -> None:
    """Who was shut out, and was told so, would still be in at some worker."""
    user = way.__name__.replace("_", "-")
    requests, end = way(here, user, people.add(here, user))
    readers, over_at = read_until(here.live, requests, end)
    here.forget()
    assert late(readers, over_at) == []
    assert len(readers) == READERS
    for reader in readers:
        assert len(came_in(reader.answers)) >= BEFORE


def test_one_who_came_in_late_is_seen(here: Place) -> None:
    """The test above would pass whatever the service does: here nothing is taken from anybody."""
    readers, over_at = read_until(here.live, [reads(basic("me", PASSWORD))], lambda: None)
    assert len(late(readers, over_at)) >= READERS * AFTER
