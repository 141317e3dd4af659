"""The embedded PostgreSQL under a service that goes on: started again when it died, and never by mistake."""

from __future__ import annotations

import logging
import os
import re
import shutil
import signal
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import httpx
import psutil
import pytest

from blobstore import embedded, keeper
from blobstore.cluster import is_own
from blobstore.environment import load
from blobstore.keeper import Keeper
from tests.children import HANG_SECONDS, lives, postmaster, query, until
from tests.conftest import SECRET_KEY
from tests.crash.outages import kill, kill_first
from tests.live import Service, service

PAUSE = re.compile(r"tried again in (\d+) s")


@pytest.fixture
def data(tmp_path: Path) -> Iterator[Path]:
    """A data folder whose server is stopped in the end; pytest would keep a cluster of each test for three runs."""
    folder = tmp_path / "data"
    yield folder
    embedded.stop(folder)
    shutil.rmtree(folder / "postgres", ignore_errors=True)


@pytest.fixture
def gate(tmp_path: Path) -> Path:
    """While this file is absent, whoever starts the server again stands still."""
    return tmp_path / "gate"


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The time, in seconds, as its only element."""
    now = [1000.0]
    monkeypatch.setattr(keeper, "monotonic", lambda: now[0])
    return now


@pytest.fixture
def died(data: Path) -> Path:
    """The data folder of a cluster that was killed, as if our own parent served it."""
    embedded.start(data, "18", durable=False)
    kill(data)
    until(lambda: embedded.has_died(data))
    (data / "serve.lock").write_text(str(os.getppid()))
    return data


def keeper_of(data: Path, url: str | None = None, is_alive: Callable[[], bool] = lambda: True) -> Keeper:
    """A keeper, as a worker with these settings has it."""
    given = {"DATABASE_URL": url or embedded.address(data), "BLOBSTORE_DATA": str(data), "SECRET_KEY": SECRET_KEY}
    return Keeper(load(given, None), is_alive)


def is_ready(live: Service) -> bool:
    """Whether it can work."""
    return httpx.get(f"{live.url}/health/ready", timeout=HANG_SECONDS).status_code == 200


def another(first: psutil.Process, data: Path) -> bool:
    """Whether a server answers that is not the first."""
    with suppress(OSError, IndexError, psutil.Error, embedded.EmbeddedError):
        return postmaster(data).pid != first.pid and embedded.answers(data)
    return False


def comes_back(live: Service, end: Callable[[Path], None], times: int) -> None:
    """End the server, for the so manieth time, and wait until the service has noticed that it is back."""
    first = postmaster(live.data)
    end(live.data)
    until(lambda: another(first, live.data))
    until(lambda: is_ready(live))
    until(lambda: live.log.read_text().count("PostgreSQL answers again") == times)


@pytest.mark.parametrize("end", [kill, kill_first])
def test_a_killed_server_comes_back(data: Path, end: Callable[[Path], None]) -> None:
    """Every request would be refused until somebody restarts the service."""
    with service(data, None, workers=3) as live:
        for times in (1, 2):
            comes_back(live, end, times)
        last = postmaster(data)
        said = live.log.read_text()
    assert said.count("PostgreSQL has died") == said.count("PostgreSQL answers again") == 2
    assert live.process.returncode == 0
    assert not lives(last)


@pytest.mark.parametrize("killed", [False, True], ids=["ended", "killed"])
@pytest.mark.parametrize("point", ["restart_wanted", "restarted"])
def test_no_server_outlives_the_service(data: Path, gate: Path, point: str, killed: bool) -> None:
    """A stop in the moment of a start would leave a PostgreSQL that nobody ends; or the loop would stand still."""
    with service(data, None, workers=1, BLOBSTORE_FAILPOINTS=f"{point}=wait:{gate}") as live:
        kill(data)
        until(Path(f"{gate}.reached").exists)
        assert httpx.get(f"{live.url}/health", timeout=HANG_SECONDS).status_code == 200
        if killed:
            (worker,) = live.workers()
            worker.kill()
        live.process.send_signal(signal.SIGTERM)
        assert live.process.wait(HANG_SECONDS) == 0
    assert embedded.has_died(data)


@pytest.mark.parametrize("point", ["restart_wanted", "restarted"])
def test_a_killed_keeper_is_replaced(data: Path, gate: Path, point: str) -> None:
    """Whatever kills PostgreSQL and a worker at once, as an empty memory does, would need an operator."""
    with service(data, None, workers=1, BLOBSTORE_FAILPOINTS=f"{point}=1*wait:{gate}") as live:
        first = postmaster(data)
        kill(data)
        until(Path(f"{gate}.reached").exists)
        (worker,) = live.workers()
        worker.kill()
        gate.touch()
        until(lambda: another(first, data))
        until(lambda: is_ready(live))
    assert embedded.has_died(data)


def test_a_server_that_lives_is_left_alone(data: Path) -> None:
    """A frozen or a recovering server would get a second one beside it, on the same files."""
    url = embedded.start(data, "18", durable=False)
    server = postmaster(data)
    stopped = [server, *server.children(recursive=True)]
    for process in stopped:
        process.suspend()
    assert embedded.restart(data, lambda: True) is None
    server.kill()
    until(lambda: not lives(server))
    assert embedded.restart(data, lambda: True) is None
    for process in stopped[1:]:
        process.resume()
    until(lambda: embedded.has_died(data))
    assert embedded.restart(data, lambda: True) is not None
    assert embedded.start(data, "18", durable=False) == url
    assert query(url, "SELECT 1") == [(1,)]


def test_a_server_that_was_just_started_is_stopped_in_good_order(died: Path) -> None:
    """A stop in the moment of a start would wait a minute for a server that was told nothing, and cut it off."""
    logged_bytes = embedded.restart(died, lambda: True)
    embedded.stop(died)
    said = (died / "postgres.log").read_text()[logged_bytes:]
    assert "received fast shutdown request" in said
    assert "immediate shutdown" not in said


def test_only_our_own_server_is_started(died: Path, database_url: str) -> None:
    """A database would run beside the one that is used; or one be started that nobody will stop."""
    assert not is_own(died, database_url)
    assert not is_own(died, None)
    keeper_of(died, database_url).turn()
    keeper_of(died, is_alive=lambda: False).turn()
    for text in ("", "1", str(os.getpid())):
        (died / "serve.lock").write_text(text)
        keeper_of(died).turn()
    (died / "serve.lock").unlink()
    keeper_of(died).turn()
    assert embedded.has_died(died)


def test_one_worker_keeps_it(died: Path) -> None:
    """All workers would start it and complain at once; or none, when the first has ended."""
    alive = [True]
    first, second = keeper_of(died, is_alive=lambda: alive[0]), keeper_of(died)
    first.turn()
    until(lambda: embedded.answers(died))
    kill(died)
    until(lambda: embedded.has_died(died))
    second.turn()
    assert embedded.has_died(died)
    alive[0] = False
    first.turn()
    assert embedded.has_died(died)
    second.turn()
    assert not embedded.has_died(died)


def test_what_ends_at_its_start_is_tried_less_often(
    died: Path, clock: list[float], caplog: pytest.LogCaptureFixture
) -> None:
    """A full disk would cost a core and fill the log; or nobody would learn why PostgreSQL is away."""
    caplog.set_level(logging.WARNING, "blobstore.keeper")
    control = died / "postgres" / "global" / "pg_control"
    kept = control.rename(control.with_name("kept"))
    kept_by = keeper_of(died)
    for _ in range(7):
        kept_by.turn()
        until(lambda: embedded.has_died(died))
        kept_by.turn()
        clock[0] += int(PAUSE.findall(caplog.text)[-1]) - 0.1
        kept_by.turn()
        assert embedded.has_died(died)
        clock[0] += 0.2
    assert PAUSE.findall(caplog.text) == ["1", "2", "4", "8", "16", "30", "30"]
    assert caplog.text.count("PostgreSQL has died") == 1
    assert len(re.findall(r"PostgreSQL ended at its start: .*pg_control.*bytes are free", caplog.text)) == 7
    kept.rename(control)
    kept_by.turn()
    until(lambda: embedded.answers(died))
    kept_by.turn()
    assert caplog.text.count("PostgreSQL answers again") == 1
