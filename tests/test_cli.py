"""The command line: what people and scripts type, and what they get."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import click
import pytest
from click.testing import CliRunner
from flask.testing import FlaskClient

from blobstore import __version__
from blobstore.cli import COMMANDS, main
from blobstore.core import accounts, rounds, upload
from blobstore.core.accounts import Account
from blobstore.core.credentials import Credentials
from blobstore.core.gate import ALL_SCOPES, Caller, Scope
from blobstore.core.store import Store
from blobstore.digest import Digest
from blobstore.errors import StorageUnavailable, Unauthenticated
from tests.children import query
from tests.conftest import NEW_PASSWORD, PASSWORD, SECRET_KEY
from tests.core.acts import ask, caller
from tests.served import environment
from tests.storage.contract import digest_of

LIMIT = 60
BAD = digest_of(b"bad").hex


@dataclass
class Ran:
    """One command: its exit code and what it printed."""

    code: int
    output: str
    errors: str


Run = Callable[..., Ran]


@pytest.fixture
def run(store: Store, database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """`run("user", "list", given="line")` is `blobstore user list` on the store of this test, within this process."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("SECRET_KEY", raising=False)
    for name in os.environ:
        if name.startswith("BLOBSTORE_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("DATABASE_URL", database_url)
    monkeypatch.setenv("BLOBSTORE_DATA", str(store.settings.data))

    def command(*arguments: str, given: str = "") -> Ran:
        result = CliRunner().invoke(main, arguments, input=given, catch_exceptions=False)
        return Ran(result.exit_code, result.stdout, result.stderr)

    return command


def put(store: Store, account: Account, content: bytes, *, ready: bool = True) -> Digest:
    """Upload a file of the account."""
    caller = Caller(account.id, account.name, "user", ALL_SCOPES, None, 0, by_password=True)
    digest = upload.upload(store, caller, [content], {}).file.digest
    if not ready:
        url = store.settings.require_database()
        query(url, "UPDATE files SET ready_at = NULL, reserved_at = now() - interval '2 hours'")
    return digest


def path_of(store: Store, digest: Digest) -> Path:
    """Where the bytes are."""
    return store.settings.store / digest.hex[:2] / digest.hex


def test_the_list_of_commands_is_quick() -> None:
    """Help would take a second, for all that a service needs; or be another list than that of the commands."""
    look = "import sys; from blobstore.cli import main; main(['--help'], standalone_mode=False); print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", look], check=True, capture_output=True, text=True)
    assert not {"flask", "gevent", "alembic", "sqlalchemy", "pydantic", "rich"} & set(done.stdout.split())
    for name, (_, line) in COMMANDS.items():
        command = main.get_command(click.Context(main), name)
        assert command is not None
        assert command.name == name
        assert line in " ".join(done.stdout.split())
        if isinstance(command, click.Group):
            assert all(word in command.commands for word in line.rstrip(".").partition(": ")[2].split(", "))


def test_a_command_imports_no_service(run: Run, store: Store) -> None:
    """A cron job would spend most of its time on what only a worker needs."""
    look = "import sys; from blobstore.cli import main; main(sys.argv[1:], standalone_mode=False); print(*sys.modules)"
    for command in (["upkeep", "status"], ["storage", "status"]):
        done = subprocess.run([sys.executable, "-c", look, *command], check=True, capture_output=True, text=True)
        assert not {"flask", "gunicorn", "alembic", "rich.console"} & set(done.stdout.split()), command


def test_a_user_is_made_and_may_log_in(run: Run, store: Store) -> None:
    """Nobody could be let in."""
    made = run("user", "add", "Ann", "--email", "ann@files.example", "--password-stdin", given=PASSWORD + "\n")
    assert (made.code, made.output) == (0, "ann may log in now, with a quota of 10.0GiB\n")
    assert Credentials(store).by_password("ann", PASSWORD, "a").quota_bytes == 10 << 30
    made = run("user", "add", "boss", "--admin", "--quota", "none", "--password-stdin", given=PASSWORD)
    assert made.output == "boss may log in now, with no quota\n"
    assert Scope.ADMIN in Credentials(store).by_password("boss", PASSWORD, "a").scopes
    assert run("user", "add", "small", "--quota", "5MiB", "--password-stdin", given=PASSWORD).code == 0
    assert accounts.get(store, "small").quota_bytes == 5 << 20


def test_a_password_is_asked_for_twice_and_not_shown(run: Run, store: Store) -> None:
    """A mistyped password would lock the user out, or stand on the screen."""
    assert run("user", "add", "ann", given=f"{PASSWORD}\nother one\n").code != 0
    made = run("user", "add", "ann", given=f"{PASSWORD}\n{PASSWORD}\n")
    assert made.code == 0
    assert PASSWORD not in made.output
    assert Credentials(store).by_password("ann", PASSWORD, "a").name == "ann"


def test_a_password_keeps_its_spaces(run: Run, store: Store) -> None:
    """A password from a file would be another one than the file's."""
    run("user", "add", "ann", "--password-stdin", given=f"  {PASSWORD}  \r\nmore\n")
    with pytest.raises(Unauthenticated):
        Credentials(store).by_password("ann", PASSWORD, "a")
    assert Credentials(store).by_password("ann", f"  {PASSWORD}  ", "b").name == "ann"


def test_users_are_listed(run: Run, store: Store, user: Account) -> None:
    """Nobody could see who uses how much."""
    put(store, user, b"12345")
    accounts.add(store, "zoe", PASSWORD, email="zoe@files.example", admin=True)
    run("user", "disable", "me")
    lines = run("user", "list").output.splitlines()
    assert [line.split() for line in lines] == [
        ["me", "disabled", "1", "files", "5B"],
        ["zoe", "admin", "0", "files", "0B", "zoe@files.example"],
    ]
    first, second = map(json.loads, run("user", "list", "--json").output.splitlines())
    assert (first["name"], first["used_bytes"], first["disabled"], second["role"]) == ("me", 5, True, "admin")
    assert "password_hash" not in first


def test_a_user_is_changed(run: Run, store: Store, user: Account) -> None:
    """An admin could not help a user, nor stop one."""
    said = run("user", "passwd", "me", "--password-stdin", given=NEW_PASSWORD + "\n").output
    assert said == "me has a new password; the old one is refused from now on\n"
    assert Credentials(store).by_password("me", NEW_PASSWORD, "a").name == "me"
    assert run("user", "quota", "me", "2GiB").output == "me has a quota of 2.0GiB\n"
    assert run("user", "quota", "me", "none").output == "me has no quota\n"
    assert run("user", "disable", "me").output == "me is disabled; `blobstore user enable me` undoes it\n"
    with pytest.raises(Unauthenticated):
        Credentials(store).by_password("me", NEW_PASSWORD, "a")
    assert run("user", "enable", "me").output == "me may log in again\n"
    assert Credentials(store).by_password("me", NEW_PASSWORD, "a").name == "me"


def test_a_role_is_given_and_taken(run: Run, store: Store, user: Account) -> None:
    """Nobody could help out an admin, or the last one could lose what nobody could give back."""
    assert run("user", "role", "me", "admin").output == "me is an admin from the next request on\n"
    assert Scope.ADMIN in Credentials(store).by_password("me", PASSWORD, "a").scopes
    last = run("user", "role", "me", "user")
    assert (last.code, last.errors) == (2, "blobstore: me is the last admin; make another one first\n")
    accounts.add(store, "zoe", PASSWORD, admin=True)
    assert run("user", "role", "me", "user").output == "me is a user from the next request on\n"
    assert Scope.ADMIN not in Credentials(store).by_password("me", PASSWORD, "a").scopes


@pytest.mark.parametrize("secret", ["set", "made"])
def test_a_ticket_is_printed_with_how_to_use_it(
    run: Run, store: Store, user: Account, anybody: FlaskClient, monkeypatch: pytest.MonkeyPatch, secret: str
) -> None:
    """Who has lost his password would get a ticket that the service refuses, or would not know what to do with it."""
    if secret == "set":
        monkeypatch.setenv("SECRET_KEY", SECRET_KEY)
    else:
        (store.settings.data / "secret.key").write_text(SECRET_KEY)
    ticket, link, line = run("user", "ticket", "me").output.splitlines()
    assert link == f"http://127.0.0.1:5000/auth/password#ticket={ticket}"
    curl, _, header, _, body, url = shlex.split(line)
    assert (curl, json.loads(body)) == ("curl", {"ticket": ticket, "new": "A NEW PASSWORD"})
    name, _, value = header.partition(": ")
    assert anybody.post(url, headers={name: value}, data=body).status_code == 204
    assert Credentials(store).by_password("me", "A NEW PASSWORD", "a").name == "me"


def test_a_ticket_to_an_address_is_printed(
    run: Run, store: Store, user: Account, anybody: FlaskClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without mail nobody could verify an address, and who signed up would wait for ever."""
    monkeypatch.setenv("SECRET_KEY", SECRET_KEY)
    nothing = run("user", "ticket", "me", "--for", "email")
    assert (nothing.code, nothing.errors) == (2, "blobstore: for: me has no e-mail that waits to be verified\n")
    query(
        store.settings.require_database(), "UPDATE users SET email = 'me@b.example', verified = false, admitted = false"
    )
    assert run("user", "list").output.split() == [
        "me",
        "waiting",
        "0",
        "files",
        "0B",
        "me@b.example",
        "(not",
        "verified)",
    ]
    ticket, link, line = run("user", "ticket", "me", "--for", "email").output.splitlines()
    assert link == f"http://127.0.0.1:5000/auth/email#ticket={ticket}"
    *_, body, url = shlex.split(line)
    assert anybody.post(url, json=json.loads(body)).status_code == 204
    assert Credentials(store).by_password("me@b.example", PASSWORD, "a").name == "me"
    listed = json.loads(run("user", "list", "--json").output)
    assert (listed["verified"], listed["admitted"]) == (True, True)


def test_a_user_is_deleted_after_a_question(run: Run, store: Store, user: Account) -> None:
    """A mistyped name would cost somebody his files."""
    put(store, user, b"12345")
    asked = run("user", "delete", "me", given="n\n")
    assert asked.code == 1
    assert "Delete me and 1 files for good? [y/N]" in asked.output
    assert accounts.get(store, "me").file_count == 1
    gone = run("user", "delete", "me", "--yes")
    assert gone.output == "me is gone, with 1 files; a sweep frees the bytes that nobody else has\n"
    assert accounts.accounts(store) == []


def test_a_key_is_issued_listed_and_revoked(run: Run, store: Store, user: Account) -> None:
    """A script could not get a key, or nobody could end it."""
    issued = run(
        "key", "issue", "me", "--name", "ci", "--scopes", "read, delete", "--expires", "30d", "--folder", "/backup"
    )
    key = issued.output.strip()
    assert Credentials(store).by_key(key).scopes == {Scope.READ, Scope.DELETE}
    listed = run("key", "list", "me").output
    assert key not in listed
    key_id, last_four, scopes, folder, *_, label = listed.split()
    assert (last_four, scopes, folder, label) == (f"…{key[-4:]}", "delete,read", "/backup", "ci")
    assert run("key", "revoke", "me", key_id).output == f"{key_id} is revoked\n"
    with pytest.raises(Unauthenticated):
        Credentials(store).by_key(key)
    assert run("key", "revoke", "me", key_id).code == 2


def test_a_key_is_rotated(run: Run, store: Store, user: Account) -> None:
    """An operator could not replace a key, or only with a gap."""
    first = run("key", "issue", "me", "--name", "ci", "--folder", "/backup").output.strip()
    key_id = run("key", "list", "me").output.split()[0]
    second = run("key", "rotate", "me", key_id, "--overlap", "1h").output.strip()
    judge = Credentials(store)
    assert judge.by_key(first).folder == judge.by_key(second).folder == "/backup"
    refused = run("key", "rotate", "me", key_id)
    assert (refused.code, "another key has taken the place of this one" in refused.errors) == (2, True)
    new_id = next(line for line in run("key", "list", "me").output.splitlines() if key_id not in line).split()[0]
    assert run("key", "rotate", "me", new_id, "--overlap", "8d").code == 2
    third = run("key", "rotate", "me", new_id).output.strip()
    assert judge.by_key(third).folder == "/backup"
    with pytest.raises(Unauthenticated):
        judge.by_key(second)


@pytest.mark.parametrize(
    ("command", "words"),
    [
        (["user", "add", "admin", "--password-stdin"], "blobstore: "),
        (["user", "add", "a b", "--password-stdin"], "blobstore: "),
        (["user", "add", "me", "--password-stdin"], "blobstore: there is a user with that name or e-mail already"),
        (["user", "passwd", "nobody", "--password-stdin"], "blobstore: there is no user 'nobody'"),
        (["user", "role", "nobody", "admin"], "blobstore: there is no user 'nobody'"),
        (["user", "role", "me", "king"], "'king' is not one of 'admin', 'user'"),
        (["user", "ticket", "nobody"], "blobstore: there is no user 'nobody'"),
        (["user", "ticket", "me"], "SECRET_KEY: is not set"),
        (["user", "quota", "me", "lots"], "'lots' is not a size like 500MB or 10GiB, or none"),
        (["key", "issue", "me", "--name", "x", "--scopes", "read,all"], "there is no scope 'all'"),
        (
            ["key", "issue", "me", "--name", "x", "--expires", "soon"],
            "'soon' is not a time like 0, 90s, 30m, 24h or 30d",
        ),
        (["key", "issue", "me", "--name", "x", "--folder", "backup"], "blobstore: a folder starts with '/'"),
        (["key", "issue", "me", "--name", "x", "--folder", "/a", "--scopes", "admin"], "me is no admin"),
        (["key", "rotate", "me", "nosuchid"], "blobstore: there is no such API key"),
        (["key", "rotate", "nobody", "nosuchid"], "blobstore: there is no user 'nobody'"),
        (["key", "list", "nobody"], "blobstore: there is no user 'nobody'"),
        (["upkeep", "sweep", "--grace", "-1h"], "is not a time"),
        (["upkeep", "vacuum"], "No such command"),
    ],
)
def test_a_mistake_is_told_in_a_line(run: Run, user: Account, command: list[str], words: str) -> None:
    """People would see a stack, and scripts an exit code that means success."""
    ran = run(*command, given=PASSWORD + "\n")
    assert ran.code == 2
    assert words in ran.errors
    assert "Traceback" not in ran.errors


@pytest.mark.parametrize(
    ("environ", "words"),
    [
        ({"BLOBSTORE_WORKERS": "0", "BLOBSTORE_DATTA": "x"}, "BLOBSTORE_DATTA: there is no such setting"),
        ({"DATABASE_URL": "postgresql://a:b@127.0.0.1:1/c"}, "blobstore: the database does not answer (connection to"),
        ({"DATABASE_URL": "mysql://a:b@127.0.0.1/c"}, "DATABASE_URL: is postgresql://"),
        ({"POOL_TIMEOUT": "inf"}, "POOL_TIMEOUT: Input should be a finite number"),
        ({"BLOBSTORE_DATA": "/proc/nope"}, "blobstore: the server's disk refused"),
        ({"DATABASE_URL": ""}, "there is no blobstore here yet; `blobstore serve` makes one"),
    ],
)
def test_a_wrong_environment_is_told_in_a_line(
    run: Run, monkeypatch: pytest.MonkeyPatch, environ: dict[str, str], words: str
) -> None:
    """An operator would have to read a stack at night."""
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    for command in (["user", "list"], ["upkeep", "check"], ["storage", "status"]):
        ran = run(*command)
        assert ran.code == 2
        assert words in ran.errors


def test_upkeep_says_what_it_did(run: Run, store: Store, user: Account) -> None:
    """Nobody could tell whether it works, or it would do nothing."""
    kept = put(store, user, b"kept")
    digest = put(store, user, b"stalled")
    url = store.settings.require_database()
    stalled = f"digest = '{digest}'"
    query(url, f"UPDATE files SET ready_at = NULL, reserved_at = now() - interval '2 hours' WHERE {stalled}")
    assert run("upkeep", "reap").output == "reaped 1 files\n"
    assert run("upkeep", "sweep").output == "swept 0 blobs, freed 0 bytes (0 bytes)\n"
    assert path_of(store, digest).exists()
    assert run("upkeep", "sweep", "--grace", "0").output == "swept 1 blobs, freed 7 bytes (7 bytes)\n"
    assert not path_of(store, digest).exists()
    path_of(store, digest).write_bytes(b"stalled")
    assert run("upkeep", "adopt", "--grace", "0s").output == "adopted 1 blobs\n"
    told = "reaped 0 files, adopted 0 blobs, swept 0 blobs (0 bytes), verified 0 blobs (0 bytes): 0 damaged\n"
    assert run("upkeep", "run").output == told
    assert run("upkeep", "sweep", "--grace", "0").output == "swept 1 blobs, freed 7 bytes (7 bytes)\n"
    assert run("upkeep", "verify").output == "verified 1 blobs, 4 bytes: 0 found damaged, 0 damaged now\n"
    assert run("storage", "status").output.startswith("1 blobs, 4 bytes (4 bytes)\n")
    assert path_of(store, kept).exists()


@pytest.mark.unaudited
def test_the_last_rounds_are_told(run: Run, store: Store, user: Account) -> None:
    """An operator could not see that upkeep stopped long ago, or that it found damage."""
    untouched = run("upkeep", "status").output.splitlines()
    assert untouched == [
        *("reap    never", "adopt   never", "sweep   never", "verify  never"),
        "damaged now: 0 blobs",
    ]
    path_of(store, put(store, user, b"whole")).unlink()
    run("upkeep", "verify")
    run("upkeep", "reap")
    lines = run("upkeep", "status").output.splitlines()
    assert re.fullmatch(r"reap    [0-9-]{10} [0-9:]{8} UTC, [0-9.]+ s: 0", lines[0])
    assert lines[1] == "adopt   never"
    assert lines[3].endswith(" s: 1 (5 bytes), 1 damaged")
    told = [json.loads(line) for line in run("upkeep", "status", "--json").output.splitlines()]
    assert told.pop() == {"damaged": 1}
    assert lines[4] == "damaged now: 1 blobs"
    assert [(one["job"], one["findings"]) for one in told] == [("reap", 0), ("verify", 1)]
    with pytest.raises(StorageUnavailable), rounds.noted(store, "reap"):
        raise StorageUnavailable("the server's disk refused (EIO)")
    assert run("upkeep", "status").output.splitlines()[0].endswith("UTC: the server's disk refused (EIO)")


@pytest.mark.unaudited
def test_check_and_verify_tell_damage_by_their_exit_code(run: Run, store: Store, user: Account) -> None:
    """A script that watches over the store would see success."""
    digest = put(store, user, b"whole")
    clean = run("upkeep", "check", "--deep")
    assert (clean.code, clean.output) == (0, "clean\n")
    rotten = path_of(store, digest)
    rotten.chmod(0o640)
    rotten.write_bytes(b"wrong")
    assert run("upkeep", "check").code == 0, "only --deep reads the bytes"
    found = run("upkeep", "check", "--deep", "--json")
    assert found.code == 1
    assert json.loads(found.output)["rule"] == "a published blob with other bytes"
    rotten.unlink()
    found = run("upkeep", "check")
    assert found.code == 1
    assert found.output == f"a published blob without bytes: {digest} at disk:{digest.hex[:2]}/{digest}\n1 findings\n"
    ran = run("upkeep", "verify")
    assert (ran.code, ran.output.splitlines()[-1]) == (1, "verified 1 blobs, 5 bytes: 1 found damaged, 1 damaged now")
    ran = run("upkeep", "verify")
    assert ran.code == 1, "it still stands"
    assert ran.output.startswith(f"damaged now: {digest}, known since 2")
    assert ran.output.endswith("verified 0 blobs, 0 bytes: 0 found damaged, 1 damaged now\n")
    found = run("upkeep", "check")
    assert (found.code, found.output) == (1, f"the bytes are known to be damaged: {digest}\n1 findings\n")
    put(store, user, b"whole")
    assert run("upkeep", "verify").code == 0


def test_help_is_there_without_anything_else(tmp_path: Path) -> None:
    """People could not find out what there is before they have a database."""
    blobstore = [sys.executable, "-m", "blobstore"]
    environ = environment(tmp_path, workers="none")
    done = subprocess.run([*blobstore, "serve", "--help"], check=True, capture_output=True, text=True, env=environ)
    assert "Usage: blobstore" in done.stdout
    done = subprocess.run([*blobstore, "--version"], check=True, capture_output=True, text=True, env=environ)
    assert done.stdout == f"blobstore, version {__version__}\n"


def test_an_embedded_database_is_found_and_left_as_it_was(tmp_path: Path) -> None:
    """Commands would not work on a laptop while no service runs, or would leave a PostgreSQL behind."""
    environ = environment(tmp_path)

    def blobstore(*arguments: str, given: str = "") -> str:
        command = [sys.executable, "-m", "blobstore", "--data", str(tmp_path / "there"), *arguments]
        done = subprocess.run(
            command, check=True, capture_output=True, text=True, input=given, env=environ, cwd=tmp_path, timeout=LIMIT
        )
        return done.stdout

    assert blobstore("db", "upgrade") == "the schema is current\n"
    blobstore("user", "add", "ann", "--password-stdin", given=PASSWORD)
    assert blobstore("user", "list").split()[:2] == ["ann", "user"]
    assert not (tmp_path / "there" / "postgres" / "postmaster.pid").exists()


def test_bytes_that_are_no_text_are_no_password(run: Run, tmp_path: Path, database_url: str) -> None:
    """Somebody would get a stack, with his password in it."""
    environ = environment(tmp_path, DATABASE_URL=database_url, LC_ALL="C.UTF-8")
    command = [sys.executable, "-m", "blobstore", "user", "add", "ann", "--password-stdin"]
    done = subprocess.run(command, check=False, capture_output=True, input=b"secret\xff\xfe99\n", env=environ)
    assert done.returncode == 2
    assert b"UTF-8" in done.stderr
    assert b"Traceback" not in done.stderr
    assert b"secret" not in done.stderr


def test_a_content_is_banned_and_let_in_again(run: Run, store: Store, user: Account) -> None:
    """An operator could not take down a content without a token of an admin."""
    upload.upload(store, caller(user), [b"bad"], {})
    said = run("ban", "add", BAD.upper(), "--reason", "mal\u00adware")
    assert (said.code, said.errors) == (2, "blobstore: reason: is a line of 1 to 1000 bytes\n")
    said = run("ban", "add", BAD.upper(), "--reason", "malware")
    assert said.output == f"{BAD} is banned; 1 files went with it, and a sweep deletes the bytes\n"
    assert run("ban", "list").output.split() == [BAD, said_on(store), "malware"]
    listed = json.loads(run("ban", "list", "--json").output)
    assert (listed["sha256"], listed["reason"], listed["by"]) == (BAD, "malware", None)
    assert run("ban", "remove", BAD).output == f"{BAD} may be uploaded again\n"
    assert run("ban", "list").output == ""
    said = run("ban", "remove", BAD)
    assert (said.code, said.errors) == (2, "blobstore: this content is not banned\n")
    said = run("ban", "add", "x", "--reason", "malware")
    assert (said.code, said.errors) == (2, "blobstore: a digest is 64 hex digits (SHA-256)\n")


def said_on(store: Store) -> str:
    return str(ask(store, "SELECT created_at::date FROM bans")[0][0])


def test_a_long_list_of_bans_is_whole(run: Run, store: Store) -> None:
    """An operator would see the newest thousand bans only."""
    ask(
        store,
        "INSERT INTO bans (digest, reason, created_at) SELECT lpad(to_hex(n), 64, '0'), 'malware', '2026-01-01'"
        " FROM generate_series(1, 2001) n",
    )
    assert len(set(run("ban", "list").output.splitlines())) == 2001


def test_the_audit_log_is_exported(run: Run, store: Store, user: Account) -> None:
    """Nobody could keep the log in another place, or bring there only what is new."""
    upload.upload(store, caller(user), [b"a"], {"name": "ä.txt"})
    lines = run("events", "export").output.splitlines()
    assert [json.loads(line)["action"] for line in lines] == ["user_added", "upload", "events_exported"]
    assert json.loads(lines[1])["details"] == {"name": "ä.txt", "folder": "/"}
    assert set(json.loads(lines[1])) == {
        "id", "at", "user", "action", "sha256", "file_id", "target", "address", "request_id", "details",
    }  # fmt: skip
    assert "ä.txt" in lines[1]
    assert len(run("events", "export", "--since", "1h").output.splitlines()) == 4
    assert len(run("events", "export", "--since", "0").output.splitlines()) <= 1
    assert run("events", "export", "--since", "soon").code == 2
