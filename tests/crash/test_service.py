"""kill -9 of a worker, of the master, of PostgreSQL and of everything, while clients upload, delete and read."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from http.client import HTTPException
from pathlib import Path

import psutil
import pytest

from blobstore import embedded
from blobstore.core.store import Store, open_store
from blobstore.core.upload import upload
from blobstore.environment import load
from tests.children import postmaster
from tests.conftest import SECRET_KEY
from tests.crash import worker_kills
from tests.crash.peer import caller
from tests.crash.places import serving
from tests.live import Service, service
from tests.races.clients import Connection, final_look, login
from tests.races.stress import PATIENT, Hammer, tidy
from tests.served import eventually
from tests.storage.contract import digest_of, sample

DYING = {"workers": 2, "graceful_timeout_seconds": 5}
"""Not patient: while PostgreSQL is away every request is answered soon."""
ALONE = {**PATIENT, "workers": 1}
TOLD = {"200", "201", "404"}
NOT_TOLD = {"0", "503"}
"""No answer at all, or one that says that nothing was promised."""


def _workers(running: Service) -> list[psutil.Process]:
    return list(psutil.Process(running.process.pid).children())


def _kill(*processes: psutil.Process) -> None:
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            process.kill()


def _end(processes: list[psutil.Process]) -> None:
    """None of them runs after this: what does not end by itself is killed."""
    _, alive = psutil.wait_procs(processes, timeout=60)
    _kill(*alive)


def _judge(hammer: Hammer, running: Service, store: Store) -> None:
    """Nobody was told what is not true, and nothing is left of what nobody was told."""
    final_look(running.port, hammer.users, hammer.history)
    assert list(hammer.history.violations()) == []
    assert tidy(store) == []
    assert {answer.rpartition(" ")[2] for answer in hammer.history.answers} <= TOLD | NOT_TOLD


def test_a_worker_dies_before_it_answers(settings_and_store: tuple[Store, str]) -> None:
    """If this failed, a client that got no answer and asks again would get a second file, or be charged twice."""
    store, url = settings_and_store
    content = sample(1000)
    with service(store.settings.data, url, failpoints="before_reply=kill", **ALONE) as running:
        user = login(store, "me")
        connection = Connection(running.port, user.key)
        with pytest.raises((OSError, HTTPException)):
            connection.put("x", content)
        assert connection.ask("GET", f"/{digest_of(content)}") == (200, content)
        connection.close()
    again = upload(store, caller(user.user_id), [content], {"name": "x"})
    assert not again.created
    assert tidy(store) == []


@pytest.mark.parametrize("application", worker_kills.WAYS.values(), ids=["nameless", "named"])
def test_a_worker_dies_in_mid_upload(database_url: str, tmp_path: Path, application: str) -> None:
    """If this failed, kill -9 in the middle of uploads would lose what was acknowledged, or leave what was not."""
    with serving(tmp_path / "service", database_url, workers=2, application=application) as place:
        kills = worker_kills.Kills(place, seed=1)
        for _ in range(2):
            kills.kill()
        assert not kills.look()


def test_workers_and_their_master_die(settings_and_store: tuple[Store, str]) -> None:
    """If this failed, kill -9 of a worker, or of the first process, would lose what was acknowledged."""
    store, url = settings_and_store
    with service(store.settings.data, url, **PATIENT) as running:
        hammer = Hammer(running, store, clients=8)
        with hammer.running():
            for _ in range(3):
                hammer.answered(20)
                _kill(_workers(running)[0])
            hammer.answered(40)
            everybody = _workers(running)
            running.process.kill()
            hammer.answered(10)
        _end(everybody)
    with service(store.settings.data, url, **ALONE) as again:
        _judge(hammer, again, store)


@pytest.mark.parametrize("fresh", [False, True])
def test_workers_are_born_while_the_disk_is_away(settings_and_store: tuple[Store, str], fresh: bool) -> None:
    """If this failed, a disk that fails for a moment would end the whole service when a worker is replaced then."""
    store, url = settings_and_store
    folder, elsewhere = store.settings.store, store.settings.data / "elsewhere"
    content = sample(1000)
    with service(store.settings.data, url, **ALONE) as running:
        connection = Connection(running.port, login(store, "me").key)
        folder.rename(elsewhere)
        folder.touch()
        _kill(*_workers(running))
        assert eventually(lambda: _asked(connection, "/health")) == 200
        assert connection.put("x", content)[0] == 503
        assert _asked(connection, "/health/ready") == 503
        folder.unlink()
        if not fresh:
            elsewhere.rename(folder)
        assert connection.put("x", content)[0] == 201
        assert connection.ask("GET", f"/{digest_of(content)}") == (200, content)
        connection.close()
        assert len(_workers(running)) == 1


def _asked(connection: Connection, path: str) -> int | None:
    with suppress(OSError, HTTPException):
        return connection.ask("GET", path)[0]
    return None


@pytest.fixture
def settings_and_store(store: Store) -> tuple[Store, str]:
    """A store that is audited in the end, and the address of its database."""
    return store, store.settings.require_database()


@pytest.fixture
def data(tmp_path: Path) -> Iterator[Path]:
    """A data folder whose PostgreSQL is stopped in the end."""
    yield tmp_path / "data"
    embedded.stop(tmp_path / "data")


def test_postgresql_and_then_everything_dies(data: Path) -> None:
    """If this failed, kill -9 of PostgreSQL, and of all that is left, would lose what was acknowledged."""
    with service(data, None, **DYING) as running:
        store = _open(data)
        hammer = Hammer(running, store, clients=8)
        with hammer.running():
            hammer.answered(60)
            everybody = [*_workers(running), *postmaster(data).children()]
            _kill(postmaster(data))
            hammer.answered(10)
            _kill(*_workers(running))
            running.process.kill()
        _end(everybody)
    store.database.dispose()
    with service(data, None, **ALONE) as again:
        store = _open(data)
        _judge(hammer, again, store)
        store.database.dispose()


def _open(data: Path) -> Store:
    given = {"DATABASE_URL": embedded.address(data), "BLOBSTORE_DATA": str(data), "SECRET_KEY": SECRET_KEY}
    return open_store(load(given, None))
