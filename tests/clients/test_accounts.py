"""What docs/accounts.md tells people to type, typed: in its order, as it stands there."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from blobstore.core import accounts
from blobstore.core.store import Store
from tests.live import Service, service
from tests.mailbox import Mailbox, mailbox
from tests.served import ROOT

PAGE = ROOT / "docs" / "accounts.md"
COMMAND = re.compile(r"^\$ (curl .*)$", re.MULTILINE)
SIGNUP, VERIFY, RESEND, LOGIN, CHANGE, PASSWORD, RESET, CONFIRM, REMOVE = COMMAND.findall(PAGE.read_text())
FILLED = {"PASSWORD": "a password of ann", "NEW PASSWORD": "another password"}


@pytest.fixture
def box() -> Iterator[Mailbox]:
    """A running SMTP server."""
    with mailbox() as running:
        yield running


@pytest.fixture
def live(store: Store, database_url: str, box: Mailbox) -> Iterator[Service]:
    """A service for everybody, which sends mail."""
    with service(store.settings.data, database_url, registration="open", **box.settings) as running:
        yield running


def run(live: Service, command: str, folder: Path, ticket: str = "", password: str = FILLED["PASSWORD"]) -> int:
    """The status that a command of the page is answered."""
    line = command.replace("http://127.0.0.1:5000", live.url).replace("TICKET", ticket)
    line = line.replace("NEW PASSWORD", FILLED["NEW PASSWORD"]).replace("PASSWORD", password)
    line = line.replace(f"-u ann:{password}", f"-u 'ann:{password}'")
    shell = f"{line} -s -o answer -w '%{{http_code}}'"
    return int(subprocess.run(shell, shell=True, cwd=folder, check=True, capture_output=True, text=True).stdout)


def test_every_command_of_the_page_works(live: Service, box: Mailbox, store: Store, tmp_path: Path) -> None:
    """A person who types what the page says would be refused."""
    assert run(live, SIGNUP, tmp_path) == 202
    shown = PAGE.read_text().partition(SIGNUP + "\n")[2].partition("\n")[0]
    assert (tmp_path / "answer").read_text() == shown + "\n"
    assert run(live, LOGIN, tmp_path) == 403
    box.wait(1)
    assert run(live, RESEND, tmp_path) == 202
    box.wait(2)
    assert run(live, VERIFY, tmp_path, box.ticket()) == 204
    assert run(live, LOGIN, tmp_path) == 200
    assert run(live, RESET, tmp_path) == 202
    box.wait(3)
    assert run(live, CONFIRM, tmp_path, box.ticket()) == 204
    assert run(live, PASSWORD, tmp_path) == 204
    new = FILLED["NEW PASSWORD"]
    assert run(live, LOGIN, tmp_path, password=new) == 200
    assert run(live, CHANGE, tmp_path, password=new) == 200
    assert accounts.get(store, "ann").email == "new@files.example"
    assert run(live, REMOVE, tmp_path, password=new) == 200
    assert accounts.accounts(store) == []
