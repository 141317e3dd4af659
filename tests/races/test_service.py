"""Races over real HTTP, through a service of two workers."""

from __future__ import annotations

import json
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import pytest
from sqlalchemy import text

from blobstore.app import open_store
from blobstore.core.store import Store
from blobstore.environment import load
from tests.conftest import SECRET_KEY, empty
from tests.live import Service, service
from tests.races.clients import Connection, Login, final_look, login
from tests.races.stress import PATIENT, Hammer, tidy
from tests.storage.contract import A_MINUTE, digest_of, sample

Answer = tuple[int, bytes]


@dataclass
class Place:
    """A service and its store."""

    service: Service
    store: Store

    def ask(self, statement: str, **values: Any) -> list[tuple[Any, ...]]:
        with self.store.database.transaction() as session:
            return [tuple(row) for row in session.execute(text(statement), values)]

    def at_once(self, asked: list[tuple[Login, Callable[[Connection], Answer]]]) -> list[Answer]:
        """All answers to requests that are sent at the same time, each on a connection of its own."""
        gate = threading.Barrier(len(asked))

        def send(user: Login, request: Callable[[Connection], Answer]) -> Answer:
            connection = Connection(self.service.port, user.key)
            try:
                gate.wait(A_MINUTE)
                return request(connection)
            finally:
                connection.close()

        with ThreadPoolExecutor(len(asked)) as pool:
            return [running.result() for running in [pool.submit(send, *each) for each in asked]]


@pytest.fixture(scope="module")
def place(migrated_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    """A service for all tests of this module."""
    empty(migrated_url)
    data = tmp_path_factory.mktemp("data")
    store = open_store(
        load({"DATABASE_URL": migrated_url, "BLOBSTORE_DATA": str(data), "SECRET_KEY": SECRET_KEY}, None)
    )
    with service(data, migrated_url, **PATIENT) as running:
        yield Place(running, store)
    store.database.dispose()


@pytest.fixture(autouse=True)
def audit(place: Place) -> Iterator[None]:
    """After each test every invariant is asked, before and after an upkeep without grace."""
    yield
    assert tidy(place.store) == []


def _put(name: str, content: bytes) -> Callable[[Connection], Answer]:
    return lambda connection: connection.put(name, content)


def _delete(content: bytes) -> Callable[[Connection], Answer]:
    return lambda connection: connection.ask("DELETE", f"/{digest_of(content)}")


@pytest.mark.parametrize("turn", range(3))
def test_fifty_uploads_of_a_tenth_of_the_quota(place: Place, turn: int) -> None:
    """If this failed, parallel uploads would exceed a quota, or be refused although they fit."""
    size = 1000
    user = login(place.store, f"quota{turn}", quota_bytes=10 * size)
    asked = [(user, _put(f"{number}", sample(size, f"{turn} {number}"))) for number in range(50)]
    answers = place.at_once(asked)
    assert Counter(status for status, _ in answers) == {201: 10, 413: 40}
    refused = [json.loads(body) for status, body in answers if status == 413]
    assert {(problem["code"], problem["limit_bytes"]) for problem in refused} == {("quota_exceeded", 10 * size)}
    mine = "SELECT used_bytes, file_count, content_count FROM users WHERE id = :id"
    assert place.ask(mine, id=user.user_id) == [(10 * size, 10, 10)]


@pytest.mark.parametrize("names", [1, 50])
def test_the_same_content_fifty_times(place: Place, names: int) -> None:
    """If this failed, parallel uploads of one content would fail, or be charged more than once."""
    user = login(place.store, f"same{names}", quota_bytes=5000)
    content = sample(5000, f"same {names}")
    answers = place.at_once([(user, _put(str(number % names), content)) for number in range(50)])
    assert Counter(status for status, _ in answers) == {201: names, **({200: 50 - names} if names < 50 else {})}
    mine = "SELECT used_bytes, file_count, content_count FROM users WHERE id = :id"
    assert place.ask(mine, id=user.user_id) == [(5000, names, 1)]
    assert place.ask("SELECT files FROM claims WHERE owner_id = :id", id=user.user_id) == [(names,)]


def test_twelve_owners_of_one_content(place: Place) -> None:
    """If this failed, parallel uploads and deletes of one content by many owners would leave it, or lose it."""
    users = [login(place.store, f"owner{number}") for number in range(4)]
    content = sample(20_000, "shared")
    uploads = place.at_once([(users[number % 4], _put(str(number), content)) for number in range(12)])
    assert [status for status, _ in uploads] == [201] * 12
    assert place.ask("SELECT refs FROM blobs WHERE digest = :d", d=digest_of(content).hex) == [(4,)]
    deletes = place.at_once([(user, _delete(content)) for user in users])
    assert [status for status, _ in deletes] == [200] * 4
    assert tidy(place.store) == []
    assert place.ask("SELECT digest FROM blobs WHERE digest = :d", d=digest_of(content).hex) == []
    assert not (place.store.settings.store / digest_of(content).hex[:2] / digest_of(content).hex).exists()


def test_uploads_and_deletes_of_one_content_at_once(place: Place) -> None:
    """If this failed, one owner's delete would take away what another one, or he himself, uploads meanwhile."""
    users = [login(place.store, f"mixed{number}") for number in range(6)]
    content = sample(50_000, "mixed")
    place.at_once([(user, _put("x", content)) for user in users[:3]])
    uploads = [(user, _put("x", content)) for user in users[3:]]
    answers = place.at_once([*uploads, *((user, _delete(content)) for user in users[:3])])
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
