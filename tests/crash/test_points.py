"""kill -9 at every failpoint of an upload, a delete, a reap and a sweep: what was acknowledged stays, nothing leaks."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import blobstore
from blobstore.core import upkeep, verify
from blobstore.core.check import check
from blobstore.settings import Settings
from blobstore.storage.disk import Disk
from tests.crash.peer import NOW, VERBS
from tests.crash.scene import DELETING, KEEPING, RECEIVING, SWEEPING, Peer, Scene, hex_of, opened

UPLOADS = {
    "new": (*RECEIVING, *KEEPING),
    "known": ("blob_locked", "reserved", "after_link", "before_record", "recorded"),
    "damaged": ("reserved", "after_link", "before_record", "recorded"),
    "again": ("blob_locked",),
}
ELSEWHERE = {"before_reply", "probing", "restart_wanted", "restarted"}
"""Points that only a service passes: test_service.py, ../test_background.py, test_keeper.py."""


@pytest.fixture(scope="module")
def peers() -> Iterator[dict[str, Peer]]:
    """The one process that forks all others, by the address of its database."""
    started: dict[str, Peer] = {}
    yield started
    for peer in started.values():
        peer.end()


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    Disk(folder / "store").prepare()
    return folder


@pytest.fixture
def scene(settings: Settings, data: Path, peers: dict[str, Peer]) -> Iterator[Scene]:
    """An empty store with two users; at the end they delete everything, and nothing may be left of it."""
    there = settings.model_copy(update={"data": data})
    if not peers:
        peers["only"] = Peer(there)
    with opened(there, peers["only"]) as scene:
        yield scene
        scene.empty()


def _prepare(scene: Scene, kind: str, content: str) -> list[str]:
    """What was acknowledged before the upload under test."""
    if kind == "new":
        return []
    owner = scene.you if kind == "known" else scene.me
    scene.upload(owner, content)
    if kind == "damaged":
        _rot(scene, content)
    return [content]


def _rot(scene: Scene, content: str) -> None:
    path = scene.store.settings.store / hex_of(content)[:2] / hex_of(content)
    path.chmod(0o640)
    path.write_bytes(b"rot")
    assert len(list(verify.verify(scene.store))) == 1


@pytest.mark.parametrize(("kind", "point"), [(kind, point) for kind, points in UPLOADS.items() for point in points])
def test_an_upload_dies(scene: Scene, kind: str, point: str) -> None:
    """If this failed, a kill at this point would lose, double, or leave for ever what nobody was promised."""
    scene.upload(scene.you, "untouched")
    for content, upkeep_first in (("a first content", True), ("a second content", False)):
        before = _prepare(scene, kind, content)
        assert scene.peer("upload", point, owner=scene.me, content=content, name="x") is None
        if kind == "damaged" and point != "recorded":
            # Its file is neither lost nor served: only an upload that ends well may vouch for the bytes.
            assert {finding.rule for finding in check(scene.store)} == {"the bytes are known to be damaged"}
        elif upkeep_first:
            scene.holds("untouched", *before, *([content] if point == "recorded" else []))
        else:
            scene.serves("untouched", *before)
        assert scene.upload(scene.me, content) == hex_of(content)
        scene.serves("untouched", content)
        mine = "SELECT count(*) FROM files WHERE owner_id = :me AND ready_at IS NOT NULL AND digest = :digest"
        assert scene.ask(mine, me=scene.me, digest=hex_of(content)) == [(1,)]


@pytest.mark.parametrize("point", DELETING)
@pytest.mark.parametrize("others", [False, True])
def test_a_delete_dies(scene: Scene, point: str, others: bool) -> None:
    """If this failed, a kill at this point would refund what is kept, keep what is refunded, or harm another owner."""
    for owner in [scene.me, *([scene.you] if others else [])]:
        scene.upload(owner, "shared")
    scene.peer("delete", point, owner=scene.me, digest=hex_of("shared"))
    gone = point == "deleted"
    left = scene.ask("SELECT count(*) FROM files WHERE owner_id = :me", me=scene.me)
    assert left == [(0 if gone else 1,)]
    scene.holds(*(["shared"] if others or not gone else []))


@pytest.mark.parametrize("point", [f"{turn}*{point}" for turn in (1, 2) for point in DELETING])
def test_a_ban_dies(scene: Scene, point: str) -> None:
    """If this failed, a kill at this point would leave an owner a banned content, or charge him for it for ever."""
    for owner in (scene.me, scene.you):
        scene.upload(owner, "banned")
    scene.upload(scene.me, "kept")
    scene.peer("ban", point, digest=hex_of("banned"))
    left = {"1*delete_locked": 2, "1*deleted": 1, "2*delete_locked": 1, "2*deleted": 0}[point]
    assert scene.ask("SELECT count(*) FROM files WHERE digest = :digest", digest=hex_of("banned")) == [(left,)]
    scene.holds("kept")
    assert scene.ask("SELECT sum(used_bytes) FROM users") == [(len("kept"),)]
    noted = "SELECT count(*) FROM events WHERE action = 'content_removed'"
    assert scene.ask(noted) == [(2,)]


@pytest.mark.parametrize("point", DELETING)
def test_a_reaper_dies(scene: Scene, point: str) -> None:
    """If this failed, a kill at this point would leave a stalled upload charged for ever."""
    for content in ("one", "two"):
        scene.peer("upload", "before_record", owner=scene.me, content=content, name="x")
    scene.peer("reap", point)
    scene.serves()
    scene.holds()
    assert scene.ask("SELECT sum(used_bytes) FROM users") == [(0,)]


@pytest.mark.parametrize("point", SWEEPING)
@pytest.mark.parametrize("then", ["sweep", "upload"])
def test_a_sweep_dies(scene: Scene, point: str, then: str) -> None:
    """If this failed, a kill at this point would leave bytes or rows for ever, or a row that vouches for nothing."""
    contents = ["kept", "one", "two"]
    for content in contents:
        scene.upload(scene.me, content)
    for content in contents[1:]:
        VERBS["delete"](scene.store, owner=scene.me, digest=hex_of(content))
    scene.peer("sweep", point)
    scene.serves("kept")
    if then == "upload":
        for content in contents[1:]:
            assert VERBS["instant"](scene.store, owner=scene.me, digest=hex_of(content), name="x") is None
            assert scene.upload(scene.me, content) == hex_of(content)
        scene.holds(*contents)
    else:
        scene.holds("kept")


def test_bytes_whose_row_is_gone_are_taken(scene: Scene) -> None:
    """If this failed, what a publish leaves after its upload was reaped and swept would never be deleted."""
    scene.peer("upload", "after_dirsync", owner=scene.me, content="content", name="x")
    upkeep.reap(scene.store, NOW)
    assert upkeep.sweep(scene.store, NOW).blobs == 1
    assert scene.on_disk() == [hex_of("content")]
    assert [finding.rule for finding in check(scene.store)] == ["bytes without a row"]
    assert scene.peer("adopt") == 1
    assert scene.peer("sweep") == 1
    assert scene.on_disk() == []


def test_no_point_is_forgotten() -> None:
    """If this failed, a new failpoint would be in the source and no process would ever die at it."""
    sources = Path(blobstore.__file__).parent.rglob("*.py")
    named = {name for path in sources for name in re.findall(r'failpoint\("(\w+)"\)', path.read_text(encoding="utf-8"))}
    tried = {point.rpartition("*")[2] for point in (*RECEIVING, *KEEPING, *DELETING, *SWEEPING)}
    assert named == tried | ELSEWHERE
