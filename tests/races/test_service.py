"""Races over real HTTP, through a service of two workers."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace

import pytest

from tests.conftest import empty
from tests.races import crowds
from tests.races.clients import Connection, final_look, login
from tests.races.crowds import Turn, delete, put
from tests.races.place import Place, opened
from tests.races.soak import POOL, ROOM_BYTES, Held, at_rest
from tests.races.stress import Hammer, tidy
from tests.served import eventually
from tests.storage.contract import digest_of, sample

OFTEN = {crowds.a_tenth_of_the_quota: 3, crowds.the_same_content: 2, crowds.overlapping_sets: 2}
"""How often a turn is taken; the others once."""


@pytest.fixture(scope="module")
def place(migrated_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    """A service for all tests of this module."""
    empty(migrated_url)
    with opened(tmp_path_factory.mktemp("data"), migrated_url) as found:
        yield found


@pytest.fixture(autouse=True)
def audit(place: Place) -> Iterator[None]:
    """After each test every invariant is asked, before and after an upkeep without grace."""
    yield
    assert tidy(place.store) == []


@pytest.mark.parametrize(
    ("turn", "number"), [(turn, number) for turn in crowds.TURNS for number in range(OFTEN.get(turn, 1))]
)
def test_a_crowd(place: Place, turn: Turn, number: int) -> None:
    """If this failed, requests at the same instant would be answered or counted otherwise than one after the other."""
    assert turn(place, number) == []


def test_twelve_owners_of_one_content(place: Place) -> None:
    """If this failed, parallel uploads and deletes of one content by many owners would leave it, or lose it."""
    users = [login(place.store, f"owner{number}") for number in range(4)]
    content = sample(20_000, "shared")
    uploads = place.at_once([(users[number % 4], put(str(number), content)) for number in range(12)])
    assert [status for status, _ in uploads] == [201] * 12
    assert place.ask("SELECT refs FROM blobs WHERE digest = :d", d=digest_of(content).hex) == [(4,)]
    deletes = place.at_once([(user, delete(content)) for user in users])
    assert [status for status, _ in deletes] == [200] * 4
    assert tidy(place.store) == []
    assert place.ask("SELECT digest FROM blobs WHERE digest = :d", d=digest_of(content).hex) == []
    assert not (place.store.settings.store / digest_of(content).hex[:2] / digest_of(content).hex).exists()


def test_uploads_and_deletes_of_one_content_at_once(place: Place) -> None:
    """If this failed, one owner's delete would take away what another one, or he himself, uploads meanwhile."""
    users = [login(place.store, f"mixed{number}") for number in range(6)]
    content = sample(50_000, "mixed")
    place.at_once([(user, put("x", content)) for user in users[:3]])
    uploads = [(user, put("x", content)) for user in users[3:]]
    answers = place.at_once([*uploads, *((user, delete(content)) for user in users[:3])])
    assert [status for status, _ in answers] == [201] * 3 + [200] * 3
    assert tidy(place.store) == []
    for user in users[3:]:
        connection = Connection(place.service.port, user.key)
        assert connection.ask("GET", f"/{digest_of(content)}") == (200, content)
        connection.close()


def test_everything_at_once(place: Place) -> None:
    """If this failed, a client would be answered what is not true, or a deadlock or an error of ours."""
    hammer = Hammer(place.service, place.store, clients=8)
    with hammer.running():
        time.sleep(4)
        hammer.answered(20)
        hammer.until(lambda: hammer.rounds)
    final_look(place.service.port, hammer.users, hammer.history)
    assert list(hammer.history.violations()) == []
    assert {answer[-3:] for answer in hammer.history.answers} <= {"200", "201", "404"}


def test_what_the_workers_hold_is_seen(place: Place) -> None:
    """If this failed, a soak would not notice descriptors, memory or staged files that stay."""
    user = login(place.store, "slow")
    with place.service.connect() as client:
        head = ["PUT /upload/x HTTP/1.1", "Host: localhost", f"Authorization: Bearer {user.key}", "Content-Length: 9"]
        client.send("\r\n".join([*head, "", "half"]))
        assert eventually(lambda: Held.by(place).staged) == 1
    held = at_rest(place)
    assert (held.workers, held.staged, list(held.beyond(held))) == (2, 0, [])
    less = Held(2, held.memory_bytes - 3 * ROOM_BYTES, held.descriptors - 2 * POOL - 1, 0)
    assert [said.partition(":")[0] for said in replace(held, staged=1).beyond(less)] == [
        "memory",
        "descriptors",
        "staged",
    ]
