"""`blobstore backup` and `blobstore restore`: what is kept, what is refused, and what is told."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

from blobstore import dumps
from blobstore.cli import main
from blobstore.cli.backup import BLOBS, DUMP
from blobstore.core import accounts, check
from blobstore.core.accounts import Account
from blobstore.core.admin import first_admin
from blobstore.core.store import Store, open_store
from blobstore.dumps import DumpError
from blobstore.environment import load
from blobstore.settings import Settings
from tests.conftest import PASSWORD, SECRET_KEY
from tests.core.acts import caller, drop, fetch, put
from tests.crash.backups import database
from tests.live import service
from tests.served import environment

CONTENTS = [b"one", b"two" * 100_000, b""]
ADMIN_KEPT = (
    "2 users, with the passwords of the backup (admins: boss); "
    "a password that `blobstore serve` has printed here before is void"
)
NO_ADMIN = "1 user, with the passwords of the backup; no admin: `blobstore serve` makes one and prints his password"
Run = Callable[..., tuple[int, str]]


@pytest.fixture
def elsewhere(database_url: str, tmp_path: Path) -> Iterator[Settings]:
    """Settings on another, empty database and another data folder."""
    with database(database_url, "elsewhere") as url:
        given = {"DATABASE_URL": url, "BLOBSTORE_DATA": str(tmp_path / "elsewhere"), "SECRET_KEY": SECRET_KEY}
        yield load(given, None)


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Run:
    """`run(settings, "backup", folder)` is that command with these settings: its exit code and all that it printed."""
    monkeypatch.chdir(tmp_path)

    def command(settings: Settings, *arguments: str | Path) -> tuple[int, str]:
        for name in os.environ:
            if name.startswith("BLOBSTORE_"):
                monkeypatch.delenv(name)
        monkeypatch.setenv("DATABASE_URL", settings.require_database())
        monkeypatch.setenv("BLOBSTORE_DATA", str(settings.data))
        result = CliRunner().invoke(main, [str(word) for word in arguments], catch_exceptions=False)
        return result.exit_code, result.output

    return command


@pytest.fixture
def me(store: Store) -> Account:
    """The user `me`, with files of all CONTENTS."""
    user = accounts.add(store, "me", PASSWORD)
    for content in CONTENTS:
        put(store, user, content)
    return user


def findings(settings: Settings, me: Account) -> list[str]:
    """What is wrong in a restored pair."""
    store = open_store(settings)
    wrong = [finding.rule for finding in check.check(store, deep=True)]
    wrong += [f"{content[:3]!r} is not served" for content in CONTENTS if fetch(store, caller(me), content) != content]
    store.database.dispose()
    return wrong


def test_what_was_kept_comes_back(store: Store, me: Account, elsewhere: Settings, run: Run, tmp_path: Path) -> None:
    """A backup would be of no use; or each would cost as much as the first, or show everybody what is in it."""
    kept = tmp_path / "kept"
    code, said = run(store.settings, "backup", kept)
    assert (code, said) == (0, "backed up: the database, and 3 blobs (300.0 kB)\n")
    assert kept.stat().st_mode & 0o777 == 0o700
    assert (kept / DUMP).stat().st_mode & 0o777 == 0o600
    again = run(store.settings, "backup", kept)
    assert again == (0, "backed up: the database, and 0 blobs (0 bytes), 3 were there already\n")
    assert sorted(path.name for path in kept.iterdir()) == [DUMP, "lock", BLOBS]
    code, said = run(elsewhere, "restore", kept)
    assert (code, said.splitlines()[0]) == (0, "restored: the database, and 3 blobs (300.0 kB)")
    assert findings(elsewhere, me) == []
    assert run(elsewhere, "user", "list")[1].startswith("me ")


def test_a_restore_says_whose_passwords_count(
    store: Store, me: Account, elsewhere: Settings, run: Run, tmp_path: Path
) -> None:
    """Who was shown a password at the first start would try it for ever, or look for one that was never made."""
    for settings, admins in ((store.settings, 0), (store.settings, 1)):
        if admins:
            accounts.add(store, "boss", PASSWORD, admin=True)
        run(settings, "backup", tmp_path / "kept")
        code, said = run(elsewhere, "restore", tmp_path / "kept", "--replace")
        assert code == 0
        there = open_store(elsewhere)
        assert [account.name for account in accounts.accounts(there) if account.role == "admin"] == ["boss"] * admins
        assert (first_admin(there) is None) == bool(admins)
        there.database.dispose()
        _, whose, todo = said.splitlines()
        assert whose == (ADMIN_KEPT if admins else NO_ADMIN)
        assert todo == "next: put secret.key and the settings back, `blobstore upkeep check --deep`, start the service"


def test_nothing_is_replaced_by_mistake(
    store: Store, me: Account, elsewhere: Settings, run: Run, tmp_path: Path
) -> None:
    """A restore in the wrong place would lose everything; or one in the right place would be impossible."""
    run(store.settings, "backup", tmp_path / "kept")
    drop(store, caller(me), CONTENTS[0])
    code, said = run(store.settings, "restore", tmp_path / "kept")
    assert (code, "--replace" in said) == (2, True)
    assert accounts.get(store, "me").file_count == 2
    assert run(store.settings, "restore", tmp_path / "kept", "--replace")[0] == 0
    store.database.dispose()
    assert findings(store.settings, me) == []
    code, said = run(elsewhere, "restore", tmp_path)
    assert (code, said) == (2, f"blobstore: {tmp_path}: there is no backup here\n")


def test_a_running_service_is_not_restored_under(store: Store, me: Account, run: Run, tmp_path: Path) -> None:
    """Requests would be answered from half of the old and half of the new."""
    run(store.settings, "backup", tmp_path / "kept")
    with service(tmp_path / "served", None) as live:
        code, said = run(
            store.settings.model_copy(update={"data": live.data}), "restore", tmp_path / "kept", "--replace"
        )
    assert code == 2
    assert "is served already" in said
    assert accounts.get(store, "me").file_count == 3


@pytest.mark.unaudited
def test_damage_is_told_when_it_is_copied(store: Store, me: Account, run: Run, tmp_path: Path) -> None:
    """A backup would be taken for a whole one, and the good copy of an earlier one be replaced by rot."""
    digest = put(store, me, b"rotten")
    rotten = store.settings.store / digest.hex[:2] / digest.hex
    rotten.chmod(0o640)
    rotten.write_bytes(b"ROTTEN")
    assert run(store.settings, "backup", tmp_path / "kept") == (
        1,
        f"damaged: {digest}\nbacked up: the database, and 3 blobs (300.0 kB)\n",
    )
    assert not list((tmp_path / "kept").glob(f"*/*/*{digest}*"))
    rotten.write_bytes(b"rotten")
    assert run(store.settings, "backup", tmp_path / "kept")[0] == 0
    rotten.write_bytes(b"ROTTEN")
    assert run(store.settings, "backup", tmp_path / "kept")[0] == 0
    assert (tmp_path / "kept" / BLOBS / digest.hex[:2] / digest.hex).read_bytes() == b"rotten"


@pytest.mark.parametrize("instead", [None, b"onE", b"on"])
def test_damage_is_told_when_it_comes_back(
    store: Store, me: Account, elsewhere: Settings, run: Run, tmp_path: Path, instead: bytes | None
) -> None:
    """A restored store would lack bytes, or have wrong ones, and nobody would know before they are asked for."""
    digest = put(store, me, CONTENTS[0])
    run(store.settings, "backup", tmp_path / "kept")
    copy = tmp_path / "kept" / BLOBS / digest.hex[:2] / digest.hex
    copy.unlink()
    if instead is not None:
        copy.write_bytes(instead)
    code, said = run(elsewhere, "restore", tmp_path / "kept")
    assert (code, said.splitlines()[0]) == (1, f"damaged: {digest}")
    there = open_store(elsewhere)
    assert [finding.rule for finding in check.check(there)] == ["a published blob without bytes"]
    there.database.dispose()


def test_a_failed_dump_leaves_the_older_one(store: Store, me: Account, run: Run, tmp_path: Path) -> None:
    """One night without a database would cost the backup of the day before."""
    kept = tmp_path / "kept"
    run(store.settings, "backup", kept)
    before = (kept / DUMP).read_bytes()
    with pytest.raises(DumpError, match="cannot be asked"):
        dumps.dump("postgresql+psycopg2://a:secret-password@127.0.0.1:1/c", kept / DUMP)
    with pytest.raises(DumpError, match=r"pg_dump failed: .*No such file"):
        dumps.dump(store.settings.require_database(), tmp_path / "absent" / DUMP)
    assert (kept / DUMP).read_bytes() == before


def test_a_broken_dump_changes_nothing(store: Store, me: Account, run: Run, tmp_path: Path) -> None:
    """A restore that fails in the middle would leave neither the old nor the new."""
    kept = tmp_path / "kept"
    run(store.settings, "backup", kept)
    whole = (kept / DUMP).read_bytes()
    (kept / DUMP).write_bytes(whole[: len(whole) // 2])
    code, said = run(store.settings, "restore", kept, "--replace")
    assert (code, said.startswith("blobstore: pg_restore failed: ")) == (2, True)
    assert accounts.get(store, "me").file_count == 3


def test_one_backup_at_a_time(store: Store, me: Account, run: Run, tmp_path: Path) -> None:
    """Two would write into each other's copies."""
    kept = tmp_path / "kept"
    run(store.settings, "backup", kept)
    holding = (
        "import sys, fcntl; f = open(sys.argv[1]); fcntl.flock(f, fcntl.LOCK_EX); print(flush=True); sys.stdin.read()"
    )
    command = [sys.executable, "-c", holding, str(kept / "lock")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout
        assert other.stdin
        other.stdout.readline()
        code, said = run(store.settings, "backup", kept)
        other.stdin.close()
    assert (code, "another backup" in said) == (2, True)


def test_the_tool_has_the_version_of_the_server() -> None:
    """A dump of an older tool would fail, and one of a newer tool would not go back into the older server."""
    assert dumps._version(dumps._program("pg_dump", 16)) == 16
    assert dumps._version(dumps._program("pg_restore", 18)) == 18
    assert dumps._version(dumps._program("pg_dump", 9)) >= 9
    with pytest.raises(DumpError, match="install postgresql-client-99"):
        dumps._program("pg_dump", 99)


@pytest.mark.parametrize(
    ("url", "dsn"),
    [
        ("postgresql+psycopg2://a:p%2Fw@h:1/d", "host=h dbname=d user=a port=1"),
        ("postgresql+psycopg2://a:pw@/d?host=%2Ftmp%2Fx&port=5432", "dbname=d user=a host=/tmp/x port=5432"),
        ("postgresql+psycopg2://a:pw@h/d?sslmode=require", "host=h dbname=d user=a sslmode=require"),
    ],
)
def test_no_password_is_on_a_command_line(url: str, dsn: str) -> None:
    """Everybody on the machine could read it."""
    assert dumps._dsn(url, password=False) == dsn


def test_the_embedded_database_is_backed_up_too(tmp_path: Path) -> None:
    """Who has no PostgreSQL of his own would have no backup."""

    def blobstore(data: str, *arguments: str | Path, given: str = "") -> str:
        command = [sys.executable, "-m", "blobstore", "--data", str(tmp_path / data), *map(str, arguments)]
        environ = environment(tmp_path / data)
        done = subprocess.run(
            command, check=True, capture_output=True, text=True, input=given, env=environ, cwd=tmp_path, timeout=120
        )
        return done.stdout

    blobstore("one", "db", "upgrade")
    blobstore("one", "user", "add", "ann", "--password-stdin", given=PASSWORD)
    assert blobstore("one", "backup", tmp_path / "kept") == "backed up: the database, and 0 blobs (0 bytes)\n"
    assert blobstore("two", "restore", tmp_path / "kept").startswith("restored: the database, and 0 blobs (0 bytes)\n")
    assert blobstore("two", "user", "list").split()[0] == "ann"
    assert blobstore("two", "upkeep", "check", "--deep") == "clean\n"
