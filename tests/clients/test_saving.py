"""Under which name a download is saved by curl, wget and a browser, and what a browser shows."""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path
from urllib.parse import quote, unquote

import pytest
from playwright.sync_api import Browser

from blobstore.core import accounts
from blobstore.core.store import Store
from tests.clients.conftest import GUARD_MILLISECONDS, needs_browser, run
from tests.conftest import PASSWORD
from tests.live import Service

PNG = bytes.fromhex(
    "89504e470d0a1a0a0000000d4948445200000001000000010804000000b51c0c020000000b4944415478da6364f80f0001050101"
    "2718e3660000000049454e44ae426082"
)
NAMES = {
    "plain.bin": "plain.bin",
    "two  spaces and a dot. bin": "two  spaces and a dot. bin",
    "semi;colon=a,b.bin": "semi;colon=a,b.bin",
    "O'Brien & sons (1).bin": "O'Brien & sons (1).bin",
    'say "hi".bin': "say _hi_.bin",
    "100% of%20it.bin": "100_ of_20it.bin",
    "naïve café.bin": "naive cafe.bin",
    "отчёт за год.bin": "_____ __ ___.bin",
    "报告 日本語.bin": "__ ___.bin",
    "\U0001f600 smile.bin": "_ smile.bin",
}
"""Each name, and what is left of it for a client that knows only `filename`, as curl does."""


def upload(live: Service, name: str, content: bytes) -> str:
    """The path of the content."""
    with live.http("me") as client:
        answer = client.put("/upload/" + quote(name, safe=""), content=content)
    assert answer.status_code == 201, answer.text
    return "/" + hashlib.sha256(content).hexdigest()


@pytest.fixture
def links(live: Service, store: Store) -> dict[str, tuple[str, bytes]]:
    """The address and the content of a file of each name."""
    accounts.add(store, "me", PASSWORD)
    return {name: (live.url + upload(live, name, name.encode()), name.encode()) for name in NAMES}


@pytest.mark.skipif(shutil.which("curl") is None, reason="there is no curl here")
def test_curl_saves_under_the_plain_name(links: dict[str, tuple[str, bytes]], tmp_path: Path) -> None:
    """`curl -OJ` would save under no name, a cut one, or in another folder."""
    for name, (url, content) in links.items():
        for address in (url + "?download=1", f"{url}/{quote(name, safe='')}?download=1"):
            run(tmp_path, "curl", "-q", "-sS", "--noproxy", "*", "-OJ", address)
            assert (tmp_path / NAMES[name]).read_bytes() == content
            (tmp_path / NAMES[name]).unlink()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(shutil.which("wget") is None, reason="there is no wget here (apt-get install wget)")
def test_wget_saves_under_the_name(links: dict[str, tuple[str, bytes]], tmp_path: Path) -> None:
    """`wget --content-disposition` would save under another name than the file has.

    It undoes percent-encoding once more than RFC 8187 says.
    """
    for name, (url, content) in links.items():
        options = ("--no-config", "--no-proxy", "-q", "--content-disposition", "--restrict-file-names=nocontrol")
        run(tmp_path, "wget", *options, url + "?download=1")
        assert {path.name for path in tmp_path.iterdir()} == {unquote(name)}
        assert (tmp_path / unquote(name)).read_bytes() == content
        (tmp_path / unquote(name)).unlink()


@needs_browser
def test_a_browser_saves_under_the_name(chromium: Browser, links: dict[str, tuple[str, bytes]]) -> None:
    """A person would find his download under another name than it was given."""
    with chromium.new_context() as context:
        page = context.new_page()
        page.set_default_timeout(GUARD_MILLISECONDS)
        for name, (url, content) in links.items():
            page.set_content(f'<a href="{url}?download=1">save</a>')
            with page.expect_download() as saved:
                page.click("a")
            assert saved.value.suggested_filename.replace("_", '"') == name.replace("_", '"')
            assert Path(saved.value.path()).read_bytes() == content


@needs_browser
def test_a_browser_shows_a_picture_and_saves_a_page(chromium: Browser, live: Service, store: Store) -> None:
    """A picture would only be saved; or somebody's page run its script under our host."""
    accounts.add(store, "me", PASSWORD)
    picture = upload(live, "cat.png", PNG)
    html = upload(live, "page.html", b"<!doctype html><title>mine</title><script>document.title='ran'</script>")
    svg = upload(live, "x.svg", b'<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>')
    with chromium.new_context() as context:
        page = context.new_page()
        page.set_default_timeout(GUARD_MILLISECONDS)
        shown = page.goto(live.url + picture)
        assert shown is not None
        assert (shown.status, shown.headers["content-type"]) == (200, "image/png")
        assert page.evaluate("document.images[0].naturalWidth") == 1
        # A shown picture is a sandboxed document, in which nothing can be put.
        page = context.new_page()
        page.set_default_timeout(GUARD_MILLISECONDS)
        for path, name in ((html, "page.html"), (svg, "x.svg")):
            page.set_content(f'<a href="{live.url}{path}">open</a>')
            with page.expect_download() as saved:
                page.click("a")
            assert saved.value.suggested_filename == name
            assert page.title() != "ran"
