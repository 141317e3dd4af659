"""The embedded PostgreSQL, after something of it or around it was killed."""

from __future__ import annotations

import os
import shutil
import signal
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import psutil
import psycopg2
import pytest

from blobstore import embedded
from tests.children import (
    BEGIN,
    HANG_SECONDS,
    output,
    postmaster,
    python,
    query,
    starter,
    until,
)


@pytest.fixture
def data(tmp_path: Path) -> Iterator[Path]:
    """A data folder whose server is stopped in the end; pytest would keep a cluster of each test for three runs."""
    folder = tmp_path / "data"
    yield folder
    embedded.stop(folder)
    shutil.rmtree(folder, ignore_errors=True)


def kill_server(data: Path, *, whole: bool) -> None:
    """kill -9 of the first process, or of all."""
    first = postmaster(data)
    for process in [first, *(first.children() if whole else [])]:
        process.kill()


@pytest.mark.parametrize("whole", [False, True])
def test_acknowledged_commits_survive_kill_9(data: Path, whole: bool) -> None:
    """An acknowledged upload would lose its row when the server is killed."""
    url = embedded.start(data, "18")
    query(url, "CREATE TABLE t (n bigint PRIMARY KEY)")
    done: list[int] = []

    def write() -> None:
        with suppress(psycopg2.Error):
            for n in range(1_000_000):
                query(url, f"INSERT INTO t VALUES ({n})")
                done.append(n)

    writer = threading.Thread(target=write)
    writer.start()
    until(lambda: len(done) > 50)
    kill_server(data, whole=whole)
    writer.join(HANG_SECONDS)
    assert embedded.start(data, "18") == url
    assert set(done) <= {n for (n,) in query(url, "SELECT n FROM t")}


def test_a_killed_server_whose_parent_does_not_reap_it_is_replaced(data: Path) -> None:
    """A zombie has a pid, and PostgreSQL takes that for a server which still runs."""
    parent, url = starter(data)
    first = postmaster(data)
    kill_server(data, whole=False)
    until(lambda: first.status() == psutil.STATUS_ZOMBIE)
    assert embedded.start(data, "18", durable=False) == url
    assert first.status() == psutil.STATUS_ZOMBIE
    assert query(url, "SELECT 1") == [(1,)]
    parent.communicate("", timeout=HANG_SECONDS)


def test_numbers_in_stale_files_are_not_believed(data: Path) -> None:
    """After a crash the old numbers belong to other processes, and the start would be refused for ever."""
    url = embedded.start(data, "18", durable=False)
    left = [data / "postgres" / name for name in ("postmaster.pid", ".s.PGSQL.5432.lock")]
    texts = [path.read_text() for path in left]
    embedded.stop(data)
    for path, text in zip(left, texts, strict=True):
        _, _, rest = text.partition("\n")
        path.write_text(f"{os.getpid()}\n{rest}")
    (data / "postgres" / ".s.PGSQL.5432").touch()
    assert embedded.start(data, "18", durable=False) == url
    assert query(url, "SELECT 1") == [(1,)]
    embedded.stop(data)
    (data / "postgres" / "postmaster.pid").touch()
    assert embedded.start(data, "18", durable=False) == url


def test_stop_spares_a_process_with_the_old_number(data: Path) -> None:
    """A stop after a crash would kill whatever has the server's number by now."""
    embedded.start(data, "18", durable=False)
    text = (data / "postgres" / "postmaster.pid").read_text()
    embedded.stop(data)
    other = python("sys.stdin.read()", data)
    (data / "postgres" / "postmaster.pid").write_text(f"{other.pid}\n" + text.partition("\n")[2])
    embedded.stop(data)
    output(other)


@pytest.mark.parametrize("reached", ["PG_VERSION", "global/pg_control", "base/1/PG_VERSION", "base/5"])
@pytest.mark.parametrize("whole", [False, True])
def test_a_killed_initdb_leaves_nothing_that_matters(data: Path, reached: str, whole: bool) -> None:
    """A half cluster would be taken for a whole one, or an orphaned initdb would write into the next."""
    parent = python(BEGIN, data)
    until(lambda: list(data.glob(f"postgres.new-*/{reached}")) or (data / "postgres").exists())
    if whole:
        os.killpg(parent.pid, signal.SIGKILL)
    parent.kill()
    parent.communicate()
    url = embedded.start(data, "18", durable=False)
    assert query(url, "SELECT 1") == [(1,)]
    assert not list(data.glob("postgres.new-*"))


def test_a_server_in_recovery_is_waited_for(data: Path) -> None:
    """A start beside one that recovers would take it for dead and break it."""
    url = embedded.start(data, "18", durable=False)
    kill_server(data, whole=True)
    children = [python(f"{BEGIN}; print(url)", data) for _ in range(3)]
    assert {output(child) for child in children} == {url}
