"""Rate limits: exact, whoever counts."""

from __future__ import annotations

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from blobstore.core import limits
from blobstore.core.limits import Limiter
from blobstore.core.store import Store
from blobstore.errors import TooManyAttempts
from tests.children import query
from tests.served import environment

LIMIT = (5, 3600, "login", "me", "192.0.2.1")
WORKER = """
import sys
from blobstore.core.limits import Limiter
from blobstore.database import Database
from blobstore.environment import load
settings = load()
limiter = Limiter(Database(settings.require_database(), settings))
limiter.retry_after_seconds(20, 3600, "login")
print("ready", flush=True)
sys.stdin.readline()
print(sum(limiter.hit(20, 3600, "login") for _ in range(10)))
"""


def test_exactly_so_many_pass_in_four_workers(database_url: str, tmp_path: Path) -> None:
    """With n workers n times as many guesses would be allowed."""
    environ = environment(tmp_path, DATABASE_URL=database_url)
    command = [sys.executable, "-c", WORKER]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    workers = [subprocess.Popen(command, text=True, env=environ, cwd=tmp_path, **pipes) for _ in range(4)]  # type: ignore[call-overload]
    for worker in workers:
        assert worker.stdout.readline() == "ready\n"
    for worker in workers:
        worker.stdin.write("go\n")
        worker.stdin.flush()
    assert sum(int(worker.communicate(timeout=60)[0]) for worker in workers) == 20
    assert all(worker.returncode == 0 for worker in workers)


def test_exactly_so_many_pass_in_many_threads(store: Store) -> None:
    """Requests at the same time would slip past the limit."""
    limiter = Limiter(store.database)
    with ThreadPoolExecutor(8) as pool:
        passed = list(pool.map(lambda _: limiter.hit(*LIMIT), range(25)))
    assert passed.count(True) == 5


def test_what_is_too_much_says_when_to_come_back(store: Store) -> None:
    """A client would hammer the service, or give up; or not know what it has too many of."""
    limiter = Limiter(store.database)
    for _ in range(5):
        limiter.take("signups", *LIMIT)
    with pytest.raises(TooManyAttempts) as refused:
        limiter.take("signups", *LIMIT)
    assert 3500 < refused.value.retry_after_seconds <= 3601
    assert refused.value.detail.startswith("too many signups; try again in 3")


def test_limits_have_names(store: Store) -> None:
    """One user's mistakes would lock out another."""
    limiter = Limiter(store.database)
    while limiter.hit(*LIMIT):
        pass
    assert limiter.hit(*LIMIT[:-1], "192.0.2.2")
    assert limiter.hit(5, 3600, "login", "other", "192.0.2.1")


def test_what_is_given_back_may_be_used_again(store: Store) -> None:
    """Right passwords would count as wrong ones; or more could be given back than was taken."""
    limiter = Limiter(store.database)
    for _ in range(20):
        assert limiter.hit(*LIMIT)
        limiter.give_back(*LIMIT)
    for _ in range(3):
        limiter.give_back(*LIMIT)
    assert [limiter.hit(*LIMIT) for _ in range(6)] == [True] * 5 + [False]


def test_a_window_ends(store: Store, database_url: str) -> None:
    """Who was refused once would be refused for ever."""
    limiter = Limiter(store.database)
    while limiter.hit(*LIMIT):
        pass
    assert 3500 < limiter.retry_after_seconds(*LIMIT) <= 3601
    query(database_url, "UPDATE rate_limits SET expires_at = clock_timestamp()")
    assert limiter.retry_after_seconds(*LIMIT) == 1
    assert [limiter.hit(*LIMIT) for _ in range(6)] == [True] * 5 + [False]
    assert limiter.retry_after_seconds(*LIMIT) > 3500


def test_a_window_that_ended_is_forgotten(store: Store, database_url: str) -> None:
    """A row for every address that ever failed would stay."""
    limiter = Limiter(store.database)
    for number in range(3):
        limiter.hit(5, 3600, str(number))
    query(database_url, "UPDATE rate_limits SET expires_at = clock_timestamp() WHERE key LIKE '%/1/%'")
    assert limits.forget_expired(store.database) == 1
    assert query(database_url, "SELECT count(*) FROM rate_limits") == [(2,)]


def test_the_library_may_reset_and_clear(store: Store) -> None:
    """The storage would not be one that the library can use."""
    storage = limits.PostgresStorage(store.database)
    assert storage.check()
    assert [storage.incr("a", 60), storage.incr("a", 60, 2), storage.incr("b", 60)] == [1, 3, 1]
    storage.clear("a")
    assert (storage.get("a"), storage.get("b")) == (0, 1)
    assert storage.reset() == 1
    assert storage.get("b") == 0
