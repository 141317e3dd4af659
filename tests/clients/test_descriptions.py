"""What is said of a content, read by those for whom it is said: sha256sum and aria2c."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from blobstore.core import accounts
from blobstore.core.store import Store
from tests.clients.conftest import run
from tests.conftest import PASSWORD
from tests.live import Service

CONTENT = bytes(range(256)) * 1000
NAMES = ("plain.bin", "größe 100% \"ready\"; <ab> 'c' 日本 \U0001f600.bin", "x.sha256")


def uploaded(live: Service, store: Store, name: str) -> dict[str, Any]:
    """The file, as it was answered."""
    accounts.add(store, "me", PASSWORD)
    with live.http("me") as client:
        file: dict[str, Any] = client.put("/upload/" + quote(name, safe=""), content=CONTENT).json()
    return file


@pytest.mark.skipif(shutil.which("sha256sum") is None, reason="there is no sha256sum here")
@pytest.mark.parametrize("name", NAMES)
def test_sha256sum_checks_what_was_downloaded(live: Service, store: Store, tmp_path: Path, name: str) -> None:
    """Nobody could check a download by the line that we hand out for it."""
    file = uploaded(live, store, name)
    with live.http() as anybody:
        (tmp_path / name).write_bytes(anybody.get(file["url"]).content)
        (tmp_path / "line").write_bytes(anybody.get(f"/{file['sha256']}.sha256").content)
    assert run(tmp_path, "sha256sum", "--strict", "-c", "line") == f"{name}: OK\n"


@pytest.mark.skipif(shutil.which("aria2c") is None, reason="there is no aria2c here (apt-get install aria2)")
@pytest.mark.parametrize("name", NAMES)
def test_aria2c_downloads_and_verifies(live: Service, store: Store, tmp_path: Path, name: str) -> None:
    """The Metalink would lead nowhere, or a wrong download would pass as verified."""
    file = uploaded(live, store, name)
    address = f"{live.url}/{file['sha256']}.meta4"
    options = ("--no-conf", "--enable-dht=false", "--check-integrity=true", "--console-log-level=notice")
    log = run(tmp_path, "aria2c", *options, address)
    assert (tmp_path / name).read_bytes() == CONTENT
    assert "Verification finished successfully" in log
