"""The embedded PostgreSQL: who may start it, who may reach it, what it says."""

from __future__ import annotations

import os
import shutil
import signal
import stat
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psycopg2
import pytest
from sqlalchemy import make_url

from blobstore import embedded, unprivileged
from tests.children import (
    BEGIN,
    HANG_SECONDS,
    NAMELESS,
    NOBODY,
    lives,
    others_python,
    output,
    postmaster,
    python,
    query,
    run,
    starter,
)

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")


@pytest.fixture
def data(tmp_path: Path) -> Iterator[Path]:
    """A data folder whose server is stopped in the end; pytest would keep a cluster of each test for three runs."""
    folder = tmp_path / "data"
    yield folder
    embedded.stop(folder)
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that every local user can enter."""
    folder = Path(tempfile.mkdtemp(prefix="blobstore-test-"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


@pytest.mark.parametrize("version", ["16", "18"])
def test_start_makes_a_cluster_of_the_wanted_version(data: Path, version: str) -> None:
    """A fresh machine would have no database, or another one than was asked for."""
    url = embedded.start(data, version)
    shown = query(url, "SHOW server_version")[0][0]
    assert str(shown).startswith(version)
    facts = "SELECT pg_encoding_to_char(encoding), datcollate FROM pg_database WHERE datname = current_database()"
    assert query(url, facts) == [("UTF8", "C")]
    durable = "SELECT name, setting FROM pg_settings WHERE name IN ('fsync', 'full_page_writes', 'synchronous_commit')"
    assert {setting for _, setting in query(url, durable)} == {"on"}


def test_an_existing_cluster_keeps_its_version(data: Path) -> None:
    """A new default of PG_VERSION would make everyone's database unreadable."""
    embedded.start(data, "16", durable=False)
    embedded.stop(data)
    url = embedded.start(data, "18", durable=False)
    assert embedded.version_of(data) == "16"
    assert str(query(url, "SHOW server_version")[0][0]).startswith("16")


def test_starting_a_running_server_only_gives_its_address(data: Path) -> None:
    """A command beside the service would break the service's database."""
    url = embedded.start(data, "18", durable=False)
    pid = postmaster(data).pid
    assert embedded.start(data, "18", durable=False) == url == embedded.address(data)
    assert postmaster(data).pid == pid


def test_many_processes_start_one_server(data: Path) -> None:
    """Two commands at once would make two clusters, or corrupt one."""
    children = [python(f"{BEGIN}; print(url)", data) for _ in range(4)]
    urls = {output(child) for child in children}
    assert len(urls) == 1
    assert query(urls.pop(), "SELECT 1") == [(1,)]


def test_the_last_user_stops_the_server(data: Path) -> None:
    """A command would leave a server running, or take it away from the service."""
    with embedded.running(data, "18", durable=False) as url:
        with embedded.running(data, "18", durable=False):
            pass
        assert query(url, "SELECT 1") == [(1,)]
        first = postmaster(data)
    assert not lives(first)


def test_a_service_that_was_killed_does_not_count_as_a_user(data: Path) -> None:
    """After kill -9 of the service the next command could never stop the server."""
    service, _ = starter(data, "; held = embedded.use(data)")
    with embedded.running(data, "18", durable=False):
        first = postmaster(data)
    assert lives(first)
    service.kill()
    service.communicate()
    with embedded.running(data, "18", durable=False):
        pass
    assert not lives(first)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGKILL])
def test_signals_to_the_starter_do_not_reach_the_server(data: Path, number: signal.Signals) -> None:
    """Ctrl-C would take the database away before the requests in flight have ended."""
    parent, url = starter(data)
    os.killpg(parent.pid, number)
    parent.communicate(timeout=HANG_SECONDS)
    assert query(url, "SELECT 1") == [(1,)]


def test_only_our_own_folders_are_closed(open_folder: Path) -> None:
    """A start would open or close folders of the machine, as the packaged launcher does up to the root."""
    folder = open_folder / "data"
    folder.mkdir(mode=0o755)
    before = {path: path.stat().st_mode for path in (folder, *folder.parents)}
    with embedded.running(folder, "18", durable=False):
        assert {path: path.stat().st_mode for path in before} == before
        assert stat.S_IMODE((folder / "postgres").stat().st_mode) == 0o700
        assert stat.S_IMODE((folder / "postgres.password").stat().st_mode) == 0o600
        assert stat.S_IMODE((folder / "postgres.log").stat().st_mode) == 0o600


@needs_root
@pytest.mark.parametrize("name", ["data", "x" * 100])
def test_another_local_user_cannot_reach_it(open_folder: Path, name: str) -> None:
    """Whoever has a login on the machine could try passwords, or use one that he has seen."""
    reach = "import socket, sys\ntry: socket.socket(socket.AF_UNIX).connect(sys.argv[1])\nexcept OSError as e: print(e)"
    with embedded.running(open_folder / name, "18", durable=False) as url:
        path = f"{make_url(url).query['host']}/.s.PGSQL.5432"
        assert output(run([sys.executable, "-c", reach, path], os.geteuid())) == ""
        assert "Permission denied" in output(run([others_python(), "-c", reach, path], NOBODY))


def test_a_long_path_has_its_socket_elsewhere_and_leaves_nothing(data: Path) -> None:
    """A deep data folder could not be used, or would leave folders behind in the temporary one."""
    deep = data / ("x" * 100) / "with, comma"
    with embedded.running(deep, "18", durable=False) as url:
        sockets = Path(str(make_url(url).query["host"]))
        assert query(url, "SELECT 1") == [(1,)]
        assert stat.S_IMODE(sockets.stat().st_mode) == 0o700
        assert not sockets.is_relative_to(deep)
    assert not sockets.exists()
    with embedded.running(deep, "18", durable=False) as again:
        assert again == url


def test_a_socket_that_was_removed_is_told_at_once(data: Path) -> None:
    """A cleaning of the temporary folder would leave every command waiting for ten minutes."""
    with embedded.running(data / ("x" * 100), "18", durable=False) as url:
        shutil.rmtree(str(make_url(url).query["host"]))
        with pytest.raises(embedded.EmbeddedError, match="was removed; restart the service"):
            embedded.start(data / ("x" * 100), "18", durable=False)


def test_a_taken_socket_folder_is_not_used(data: Path) -> None:
    """Somebody who took the name in the temporary folder could read every password that is sent."""
    deep = data / ("x" * 100)
    with embedded.running(deep, "18", durable=False) as url:
        sockets = Path(str(make_url(url).query["host"]))
    sockets.mkdir(mode=0o777)
    sockets.chmod(0o777)
    try:
        with embedded.running(deep, "18", durable=False) as again:
            assert again != url
    finally:
        sockets.rmdir()


@needs_root
@pytest.mark.parametrize("uid", [NOBODY, NAMELESS])
def test_an_ordinary_user_starts_it(open_folder: Path, uid: int) -> None:
    """It would only run as root, or not in a container whose user has a number and no name."""
    folder = open_folder / "data"
    folder.mkdir(mode=0o700)
    os.chown(folder, uid, uid)
    statements = f"{BEGIN}; print(embedded.version_of(data)); embedded.stop(data)"
    assert output(python(statements, folder, uid=uid)) == "18"
    assert (folder / "postgres").stat().st_uid == uid


@needs_root
def test_root_starts_what_an_ordinary_user_made(open_folder: Path) -> None:
    """Who runs one command with sudo would find his database unusable, or owned by root from then on."""
    folder = open_folder / "data"
    folder.mkdir(mode=0o700)
    os.chown(folder, NOBODY, NOBODY)
    by_nobody = f"{BEGIN}; embedded.stop(data)"
    output(python(by_nobody, folder, uid=NOBODY))
    with embedded.running(folder, "18", durable=False) as url:
        assert query(url, "SELECT 1") == [(1,)]
    output(python(by_nobody, folder, uid=NOBODY))


@needs_root
def test_root_without_user_namespaces_gets_one_clear_line(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In a strict container the start would end in a page of initdb's complaints."""
    monkeypatch.setenv("PATH", "/nonexistent")
    unprivileged._namespace.cache_clear()
    with pytest.raises(embedded.EmbeddedError, match="set DATABASE_URL, or start blobstore as another user"):
        embedded.start(data, "18")
    unprivileged._namespace.cache_clear()


def test_the_server_knows_no_secret_of_ours(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A secret from the environment would be in one more process, and PGDATA could move the cluster."""
    monkeypatch.setenv("SECRET_KEY", "0123456789abcdef" * 4)
    monkeypatch.setenv("PGDATA", "/nonexistent")
    embedded.start(data, "18", durable=False)
    assert set(postmaster(data).environ()) <= {"PATH", "LC_ALL", "TMPDIR", "PG_GRANDPARENT_PID"}


def test_the_log_has_no_values(data: Path) -> None:
    """A refused statement would leave names and secrets in a file that people send around."""
    url = embedded.start(data, "18", durable=False)
    query(url, "CREATE TABLE t (secret text PRIMARY KEY)")
    query(url, "INSERT INTO t VALUES ('hunter2')")
    with pytest.raises(psycopg2.errors.UniqueViolation):
        query(url, "INSERT INTO t VALUES ('hunter2')")
    with pytest.raises(psycopg2.errors.SyntaxError):
        query(url, "hunter2")
    embedded.stop(data)
    assert "hunter2" not in (data / "postgres.log").read_text()


def test_a_lost_password_is_named(data: Path) -> None:
    """The start would end in a traceback, or wait ten minutes."""
    embedded.start(data, "18", durable=False)
    embedded.stop(data)
    password = data / "postgres.password"
    kept = password.read_text()
    password.unlink()
    with pytest.raises(embedded.EmbeddedError, match="password is missing"):
        embedded.start(data, "18", durable=False)
    password.write_text("wrong")
    with pytest.raises(embedded.EmbeddedError, match="is not the password"):
        embedded.start(data, "18", durable=False)
    password.write_text(kept)


def test_a_damaged_cluster_is_named_at_once(data: Path) -> None:
    """The start would wait ten minutes and then not say why."""
    embedded.start(data, "18", durable=False)
    embedded.stop(data)
    (data / "postgres" / "global" / "pg_control").unlink()
    with pytest.raises(embedded.EmbeddedError, match=r"ended at its start: .*pg_control"):
        embedded.start(data, "18", durable=False)
