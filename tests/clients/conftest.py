"""A service of one worker and a browser for the clients, and a folder for what they save."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, sync_playwright

from blobstore.environment import load
from blobstore.settings import Settings
from tests.conftest import SECRET_KEY
from tests.live import Service, service

HANG_SECONDS = 120
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE localhost, EXCLUDE 127.0.0.1",
]
GUARD_MILLISECONDS = 60_000

needs_browser = pytest.mark.skipif(CHROMIUM is None, reason="there is no chromium here (apt-get install chromium)")


@pytest.fixture(scope="module")
def live(migrated_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """The service."""
    with service(tmp_path_factory.mktemp("live"), migrated_url) as running:
        yield running


@pytest.fixture
def settings(live: Service, database_url: str) -> Settings:
    """The settings of the service, which has no files yet."""
    for blob in live.data.glob("store/??/*"):
        blob.unlink()
    return load({"DATABASE_URL": database_url, "BLOBSTORE_DATA": str(live.data), "SECRET_KEY": SECRET_KEY}, None)


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    """A running browser."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        try:
            yield browser
        finally:
            browser.close()


def run(folder: Path, *command: str | Path) -> str:
    """What a client writes to standard output when it runs in `folder`, and must not fail."""
    environ = {"PATH": "/usr/local/bin:/usr/bin:/bin", "HOME": str(folder), "LC_ALL": "C.UTF-8"}
    done = subprocess.run(command, cwd=folder, env=environ, capture_output=True, timeout=HANG_SECONDS, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout.decode()
