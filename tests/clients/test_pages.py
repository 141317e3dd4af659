"""Every line that a page shows to be typed, typed, in the page's order; and what it answers is what the page shows."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest

from blobstore.core import accounts
from blobstore.core.store import Store
from tests.clients.conftest import HANG_SECONDS
from tests.clients.pages import ADDRESS, PLACEHOLDERS, Line, learned, lines, same
from tests.conftest import PASSWORD, SECRET_KEY
from tests.live import Service, service
from tests.mailbox import mailbox
from tests.served import ROOT, environment, eventually

pytestmark = pytest.mark.skipif(shutil.which("curl") is None, reason="there is no curl here")

ACCOUNTS, SIGNUP = ROOT / "docs" / "accounts.md", ROOT / "docs" / "signup.md"
PAGES = [page for page in sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]) if any(lines(page))]
WORD = re.compile(rf"\b(?:PASSWORD|{'|'.join(PLACEHOLDERS.values())})\b")


class Reader:
    """Somebody at a shell, in an empty folder, who types what a page says; the service is at another port."""

    def __init__(self, live: Service, database_url: str, folder: Path) -> None:
        self._url, self._folder = live.url, folder
        self._known = {"PASSWORD": PASSWORD}
        self._environ = environment(live.data, DATABASE_URL=database_url, SECRET_KEY=SECRET_KEY)
        self._environ |= {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", "HOME": str(folder)}

    def know(self, **known: str) -> None:
        """Let a page's word stand for this from now on."""
        self._known |= known

    def type(self, line: Line) -> str:
        """What it prints, with the page's address of the service; a password that is asked for is given, twice."""
        command = WORD.sub(lambda word: self._known[word[0]], line.command).replace(ADDRESS, self._url)
        done = subprocess.run(
            ["bash", "-c", command.replace(".venv/bin/", "")],
            cwd=self._folder, env=self._environ, input=f"{PASSWORD}\n" * 2, capture_output=True, text=True,
            timeout=HANG_SECONDS, check=False,
        )  # fmt: skip
        self._known |= learned(done.stdout)
        failed = done.stderr if done.returncode else ""
        return (done.stdout + failed).replace(self._url, ADDRESS).strip("\n")


@pytest.fixture
def reader(live: Service, store: Store, database_url: str, tmp_path: Path) -> Reader:
    """The reader; the service has its first admin."""
    accounts.add(store, "root", PASSWORD, admin=True)
    return Reader(live, database_url, tmp_path)


@pytest.mark.parametrize(
    "page", [page for page in PAGES if page != SIGNUP], ids=lambda page: page.relative_to(ROOT).as_posix()
)
def test_every_line_of_a_page_answers_what_it_shows(reader: Reader, page: Path) -> None:
    """Who follows the page would be refused, or get something else than he was told."""
    for line in lines(page):
        said = reader.type(line)
        is_ours = line.command.startswith((".venv/bin/blobstore", "printf"))
        assert same(line.shown, said) or (is_ours and not line.shown), f"{line.command}\n{said}"


def test_every_line_about_signing_up_answers_what_it_shows(store: Store, database_url: str, tmp_path: Path) -> None:
    """The same where anybody may sign up and mail is sent: TICKET is in the link of the newest mail of its kind."""
    with mailbox() as box, service(tmp_path / "data", database_url, registration="open", **box.settings) as live:
        reader = Reader(live, database_url, tmp_path)
        for line in lines(SIGNUP):
            if "TICKET" in line.command:
                page = "/auth/email" if "/email/" in line.command else "/auth/password"
                reader.know(TICKET=eventually(partial(box.newest, page)))
            said = reader.type(line)
            assert same(line.shown, said), f"{line.command}\n{said}"
    assert [account.name for account in accounts.accounts(store)] == []


@pytest.mark.parametrize(
    ("shown", "said"),
    [
        ('{"id":"bMCYzePY"}', '{"id":"bMCYzeP"}'),
        ('{"used":9}', '{"used":10}'),
        ('{"used":9}', '{"used":9.0}'),
        ('{"a":1,"b":2}', '{"b":2,"a":1}'),
        ('{"a":1}', '{"a":1,"b":2}'),
        ('{"a":[]}', '{"a":[1]}'),
        ('{"a":null}', '{"a":"2026-11-20T10:40:55Z"}'),
        ('{"detail":"there is no user"}', '{"detail":"there is no file"}'),
        ("204", "403"),
        ("", "204"),
    ],
)
def test_another_answer_is_seen(shown: str, said: str) -> None:
    """The test above would pass whatever is answered."""
    assert same(shown, shown)
    assert not same(shown, said)


def test_the_pages_have_what_people_do() -> None:
    """A page would be read as one without a line, and nothing of it be typed."""
    typed = [line.command for line in lines(ACCOUNTS)]
    for path in (
        "login",
        "logout",
        "sessions/ID",
        "keys",
        "keys/ID",
        "password",
        "password/reset/confirm",
        "users/ann/ticket",
    ):
        assert any(re.search(rf"/{path}\b", command) for command in typed), path
    typed = [line.command for line in lines(SIGNUP)]
    for path in ("signup", "email/verify", "email/resend", "password/reset", "password/reset/confirm", "me"):
        assert any(re.search(rf"/{path}(?!/)", command) for command in typed), path
    assert {page.name for page in PAGES} >= {"README.md", "accounts.md", "operations.md", "signup.md"}
