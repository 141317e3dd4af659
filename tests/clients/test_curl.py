"""curl, as people type it, against a running service."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from blobstore.core import accounts, bans, keys
from blobstore.core.actor import OPERATOR
from blobstore.core.gate import Scope
from blobstore.core.store import Store
from blobstore.digest import Digest
from tests.api.wire import sha256
from tests.conftest import PASSWORD
from tests.live import Service

pytestmark = pytest.mark.skipif(shutil.which("curl") is None, reason="there is no curl here")

LARGE_BYTES = 200 << 20
FACTS = "%{http_code} %{size_upload} %{size_download}"
HANG_SECONDS = 120


class Curl:
    """curl in a folder, as the user `me`."""

    def __init__(self, live: Service, folder: Path) -> None:
        self.url, self.folder = live.url, folder

    def __call__(self, *arguments: str, user: str = f"me:{PASSWORD}", send: bytes | None = None) -> str:
        """What curl writes to standard output; paths that begin with a slash are the service's."""
        words = [self.url + word if word.startswith("/") else word for word in arguments]
        who = ["-u", user] if user else []
        done = subprocess.run(
            ["curl", "-q", "-sS", "--noproxy", "*", *who, *words],
            cwd=self.folder,
            input=send,
            stdin=subprocess.DEVNULL if send is None else None,
            capture_output=True,
            timeout=HANG_SECONDS,
            check=False,
        )
        assert (done.returncode, done.stderr) == (0, b"")
        return done.stdout.decode()

    def facts(self, *arguments: str, **more: Any) -> tuple[int, int, int]:
        """The status, the bytes sent and the bytes received as a body."""
        status, sent, received = self("-o", "answer", "-w", FACTS, *arguments, **more).split()
        return int(status), int(sent), int(received)

    def answer(self) -> dict[str, Any]:
        """What `facts` got, as JSON."""
        found: dict[str, Any] = json.loads((self.folder / "answer").read_bytes())
        return found


@pytest.fixture
def curl(live: Service, store: Store, tmp_path: Path) -> Curl:
    """curl in an empty folder; the user `me` has no limit."""
    accounts.add(store, "me", PASSWORD)
    return Curl(live, tmp_path)


def test_the_four_lines_of_the_readme(curl: Curl) -> None:
    """Nobody would get past the first screen: upload, download by hash, list, delete."""
    (curl.folder / "cat.png").write_bytes(b"\x89PNG\r\n\x1a\n of a cat")
    uploaded = json.loads(curl("-T", "cat.png", "/upload/"))
    assert (uploaded["name"], uploaded["url"]) == ("cat.png", f"{curl.url}/{uploaded['sha256']}.png")
    assert curl(uploaded["url"], "-o", "copy.png", user="") == ""
    assert (curl.folder / "copy.png").read_bytes() == (curl.folder / "cat.png").read_bytes()
    assert [file["name"] for file in json.loads(curl("/api/v1/files"))["items"]] == ["cat.png"]
    assert json.loads(curl("-X", "DELETE", "/" + uploaded["sha256"])) == {"deleted": 1, "freed_bytes": 17}
    assert curl.facts(uploaded["url"], user="")[0] == 404


def test_every_way_to_send(curl: Curl) -> None:
    """One of the ways in which people send a file with curl would change its bytes or lose its name."""
    content = bytes(range(256)) * 5000
    (curl.folder / "a b&c.bin").write_bytes(content)
    octets = "Content-Type: application/octet-stream"
    for number, (arguments, name, folder) in enumerate(
        [
            (("-T", "file", "/upload/"), "file", "/"),
            (("-T", "file", "/upload/in/a/folder/"), "file", "/in/a/folder"),
            (("-T", "file", "/upload/named"), "named", "/"),
            (("-T", "-", "/upload/piped"), "piped", "/"),
            (("-T", "-", "/upload"), None, "/"),
            (("-T", "-", "/upload/"), None, "/"),
            (("-F", "file=@file", "/upload"), "file", "/"),
            (("-F", 'file=@file;filename=ä"ö.bin', "/upload"), 'ä"ö.bin', "/"),
            (("-F", "folder=/f", "-F", "file=@file", "/upload"), "file", "/f"),
            (("--data-binary", "@file", "-H", octets, "/upload?name=raw"), "raw", "/"),
            (("-X", "PUT", "--data-binary", "@file", "/upload/put"), "put", "/"),
            (("-H", "Transfer-Encoding: chunked", "-T", "file", "/upload/chunked"), "chunked", "/"),
            (("-0", "-T", "file", "/upload/http10"), "http10", "/"),
        ]
    ):
        sent = content + bytes([number])
        (curl.folder / "file").write_bytes(sent)
        status, _, _ = curl.facts(*arguments, send=sent if "-" in arguments else None)
        file = curl.answer()
        assert (status, file["sha256"]) == (201, sha256(sent)), arguments
        assert (file["name"], file["folder"]) == (name or sha256(sent), folder)
        assert curl.facts("-X", "DELETE", "/" + sha256(sent))[0] == 200
    wrong = curl.facts("--data-binary", "@file", "/upload")
    assert wrong[0] == 415
    assert "curl --data-binary @x -H" in curl.answer()["detail"]
    assert curl("-T", "a b&c.bin", "/upload/?format=sha256") == sha256(content) + "\n"
    assert curl("-T", "a b&c.bin", "-H", "Accept: text/plain", "/upload/") == f"{curl.url}/{sha256(content)}.bin\n"


def test_nothing_is_sent_in_vain(curl: Curl, store: Store) -> None:
    """A large file would cross the network only to be refused, or to be thrown away because it is there."""
    small = accounts.add(store, "small", PASSWORD, quota_bytes=1 << 20)
    key = keys.issue(store, small.id, "backup", [Scope.WRITE], folder="/backup")[1]
    with (curl.folder / "large").open("wb") as file:
        os.truncate(file.fileno(), LARGE_BYTES)
    assert curl.facts("-T", "large", "/upload/", user=f"small:{PASSWORD}")[:2] == (413, 0)
    assert curl.answer()["code"] == "quota_exceeded"
    assert curl.facts("-T", "large", "/upload/other/", user=f"small:{key}")[:2] == (403, 0)
    assert curl.answer()["code"] == "outside_folder"
    assert curl.facts("-T", "large", "/upload/", user="me:wrong")[:2] == (401, 0)
    assert curl.facts("-T", "large", "/upload/", user="")[:2] == (401, 0)
    assert curl.facts("-T", "large", "/upload/?expires_in=soon")[:2] == (400, 0)
    assert curl.facts("-T", "large", "/upload/")[:2] == (201, LARGE_BYTES)
    digest = curl.answer()["sha256"]
    assert curl.facts("-T", "large", f"/{digest}")[:2] == (200, 0)
    assert curl.facts("-T", "large", "-H", f"X-SHA-256: {digest}", "/upload/again")[:2] == (201, 0)
    assert curl.facts("-T", "large", "-H", f"X-SHA-256: {digest}", "/upload/again")[:2] == (200, 0)
    assert curl.facts("-T", "large", f"/{digest}", user=f"small:{PASSWORD}")[:2] == (413, 0)
    assert curl.facts("-I", f"/{digest}", user="") == (200, 0, 0)
    assert bans.ban(store, Digest(digest), "malware", OPERATOR).removed == 2
    assert curl.facts("-T", "large", f"/{digest}")[:2] == (451, 0)
    assert curl.answer()["reason"] == "malware"


def test_a_download_is_saved_and_resumed(curl: Curl, live: Service) -> None:
    """A file would be saved under a wrong name; or a cut download begin anew, or end with other bytes."""
    content = bytes(range(251)) * 4000
    (curl.folder / "naïve name.bin").write_bytes(content)
    file = json.loads(curl("-T", "naïve name.bin", "/upload/na%C3%AFve%20name.bin"))
    inbox = curl.folder / "inbox"
    inbox.mkdir()
    here = Curl(live, inbox)
    for link, name in [
        (file["url"], "naive name.bin"),
        (file["short_url"], "naive name.bin"),
        (f"/{file['sha256']}/other.bin", "other.bin"),
    ]:
        here("-OJL", link, user="")
        assert (inbox / name).read_bytes() == content
        (inbox / name).unlink()
    cut = inbox / "cut"
    cut.write_bytes(content[:300_000])
    assert here("-C", "-", "-o", "cut", "-w", FACTS, file["url"], user="").split()[0] == "206"
    assert cut.read_bytes() == content
    assert here("-r", "5-9", file["url"], user="").encode() == content[5:10]
    assert here("-z", "now", "-o", "x", "-w", FACTS, file["url"], user="").split()[0] == "200"
    unchanged = ("-H", f'If-None-Match: "{file["sha256"]}"', "-o", "y", "-w", FACTS, file["url"])
    assert here(*unchanged, user="").split() == ["304", "0", "0"]


def test_paths_as_they_are(curl: Curl, live: Service) -> None:
    """A path that no browser sends would reach files of the server, or be another path than it looks."""
    (curl.folder / "x").write_bytes(b"x")
    as_is = ("--path-as-is", "-T", "x")
    for path, status, name in [
        ("/upload/a/../../etc/passwd", 201, "passwd"),
        ("/upload/..%2f..%2fetc%2fshadow", 201, "shadow"),
        ("/upload//etc/hosts", 201, "hosts"),
        ("/upload/%ff", 400, None),
        ("/upload/x%00y", 400, None),
        ("/upload/x%0d%0aSet-Cookie:%20a", 400, None),
        ("/upload/%2e%2e", 400, None),
        ("//upload/x", 404, None),
    ]:
        assert curl.facts(*as_is, path)[0] == status, path
        if name:
            assert (curl.answer()["name"], curl.answer()["folder"]) == (name, "/")
        else:
            assert curl.answer()["status"] == status
    forwarded = ("-H", "X-Forwarded-Proto: https", "-H", "X-Forwarded-Host: evil.example", "-H", "Forwarded: host=evil")
    assert curl("-T", "x", *forwarded, "/upload/?format=url") == f"{live.url}/{sha256(b'x')}\n"
