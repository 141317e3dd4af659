"""The search for secrets finds what is planted: in a text, a database, an error page, a log; and fails the run."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from base64 import b64encode
from pathlib import Path
from urllib.parse import quote

import pytest
from flask import Flask
from sqlalchemy import make_url

from blobstore.core import accounts, keys, links, sessions, tickets, upload
from blobstore.core.credentials import Credentials
from blobstore.core.files import Changes
from blobstore.core.store import Store
from blobstore.errors import NotFound
from tests import leaks
from tests.children import query
from tests.conftest import NEW_PASSWORD, PASSWORD, SECRET_KEY
from tests.served import environment

ODD = 'a "password" with späces: & 100 %'
CLEAN = '{"path": "/api/v1/keys/k3Jx9QpZ", "sha256": "' + "0" * 64 + '", "code": "invalid_credentials"}'
RUN = """
def test_one(tmp_path):
    (tmp_path / "service.log").write_text({text!r})
    (tmp_path / "not-a-log").write_text({secret!r})
"""


def basic(name: str, password: str) -> str:
    return b64encode(f"{name}:{password}".encode()).decode()


@pytest.mark.parametrize("name", ["m", "me", "ann", "jörg"])
def test_a_recorded_secret_is_found_in_every_spelling(name: str) -> None:
    """A password would be in a log in a header's base64, or in a JSON string, and nobody would see it."""
    leaks.record(ODD)
    for secret in (PASSWORD, NEW_PASSWORD, SECRET_KEY, ODD):
        for text in (secret, json.dumps(secret), quote(secret), quote(secret, safe=""), secret.encode().hex()):
            assert leaks.told(f"x{text}x".encode()) == ["a recorded secret"]
        for tail in ("", "x", "xy"):
            assert leaks.told(basic(name, secret + tail).encode()) == ["a recorded secret"]
    assert leaks.told(CLEAN.encode()) == []


def test_what_the_service_gives_out_is_found(store: Store) -> None:
    """A key, a token, a ticket or a link would be in a log, and nobody would see it, because no test recorded it."""
    owner = accounts.add(store, "me", PASSWORD)
    caller = Credentials(store).by_password("me", PASSWORD, "a")
    file = upload.upload(store, caller, [b"x"], Changes(name="x")).file
    link = links.sign(store, caller, file.id)[0]
    for what, given in (
        ("an API key", keys.issue(store, owner.id, "k", caller.scopes)[1]),
        ("a login token", sessions.log_in(store, caller, "a", "").access_token),
        ("a ticket", tickets.issue(store, "me")[0]),
        ("a signature", f"?signature={link.signature}"),
    ):
        assert leaks.told(f"{CLEAN} {given}\n".encode()) == [what]
    assert leaks.told(keys.make()[:-1].encode()) == []


def test_what_services_make_is_known(tmp_path: Path, postgres_url: str) -> None:
    """The secret that a service has made, or the database's password, could be told by any log."""
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "secret.key").write_text("made by a service")
    leaks.record_made(tmp_path)
    assert leaks.told(b"made by a service") == ["a recorded secret"]
    assert leaks.told(str(make_url(postgres_url).password).encode()) == ["a recorded secret"]


def test_a_password_that_is_hashed_is_known(store: Store) -> None:
    """A password that only one test uses could be told by any log."""
    accounts.add(store, "me", "only of this test")
    assert leaks.told(b"'only of this test'") == ["a recorded secret"]


def test_a_secret_in_the_database_is_found(database_url: str) -> None:
    """A column would keep what only its owner may know."""
    query(database_url, "INSERT INTO storages (backend, identity) VALUES ('clean', 'x')")
    assert leaks.told_by_database(database_url) == []
    query(database_url, f"INSERT INTO storages (backend, identity) VALUES ('planted', '{PASSWORD}')")
    assert leaks.told_by_database(database_url) == ["a recorded secret in the table storages"]
    query(database_url, "DELETE FROM storages")


def test_a_secret_in_an_error_page_is_found(app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    """An error would say to one what is another's."""
    found: list[str] = []
    monkeypatch.setattr(leaks, "_found", found)

    def view() -> None:
        raise NotFound(f"there is no {PASSWORD}")

    app.add_url_rule("/planted", view_func=view)
    assert app.test_client().get("/planted").status_code == 404
    assert app.test_client().get("/nowhere").status_code == 404
    (line,) = found
    assert line.startswith("a recorded secret in an error page")


@pytest.mark.parametrize("processes", ["0", "2"])
@pytest.mark.parametrize(("text", "code"), [(f"{CLEAN} {PASSWORD}", 1), (CLEAN, 0)], ids=["planted", "clean"])
def test_a_run_that_tells_a_secret_fails(tmp_path: Path, processes: str, text: str, code: int) -> None:
    """The run would be green, whatever was found; or, where several processes run it, nobody look."""
    (tmp_path / "test_planted.py").write_text(RUN.format(text=text, secret=PASSWORD))
    command = [sys.executable, "-m", "pytest", "-c", "/dev/null", "--rootdir", ".", "-p", "tests.conftest"]
    command += ["-n", processes, "--basetemp", "kept", "test_planted.py"]
    environ = environment(tmp_path)
    done = subprocess.run(command, check=False, capture_output=True, text=True, cwd=tmp_path, env=environ)
    shutil.rmtree(tmp_path / "kept")
    assert done.returncode == code, done.stdout + done.stderr
    assert ("a recorded secret in " in done.stdout) == bool(code)
