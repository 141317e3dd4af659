"""The storage is the one that the database knows, or nothing is done to it."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from blobstore.core import download, health, identity, upkeep, upload, verify
from blobstore.core.gate import Caller
from blobstore.core.store import Store, open_store
from blobstore.errors import StorageUnavailable
from blobstore.settings import Settings
from tests.core.acts import person

NOW = timedelta(0)


@pytest.fixture
def me(store: Store) -> Caller:
    return person(store)


def test_a_store_that_is_not_mounted_is_left_alone(
    store: Store, me: Caller, settings: Settings, tmp_path: Path
) -> None:
    """A start before the mount would damage every file that is asked for, and take uploads that vanish under it."""
    digest = upload.upload(store, me, [b"x"], {}).file.digest
    settings.store.rename(tmp_path / "elsewhere")
    empty = open_store(settings)
    with pytest.raises(StorageUnavailable):
        download.read(empty, download.find(empty, me, digest), 0, 1)
    with pytest.raises(StorageUnavailable):
        upload.upload(empty, me, [b"y"], {})
    for work in (upkeep.adopt, upkeep.sweep):
        with pytest.raises(StorageUnavailable):
            work(empty, NOW)
    with pytest.raises(StorageUnavailable):
        list(verify.verify(empty))
    (problem,) = health.Readiness(empty).problems()
    assert (problem.code, "mounted" in problem.detail) == ("storage_unavailable", True)
    empty.database.dispose()
    settings.store.rename(tmp_path / "mistaken")
    (tmp_path / "elsewhere").rename(settings.store)
    assert download.read(store, download.find(store, me, digest), 0, 1).whole() == b"x"


def test_a_store_that_is_unmounted_is_missed(store: Store, me: Caller, settings: Settings, tmp_path: Path) -> None:
    """Upkeep finds the mount point empty and makes a store there; workers that run would store what then vanishes."""
    upload.upload(store, me, [b"x"], {})
    settings.store.rename(tmp_path / "elsewhere")
    with pytest.raises(StorageUnavailable):
        upload.upload(store, me, [b"y"], {})
    open_store(settings).database.dispose()
    with pytest.raises(StorageUnavailable):
        upload.upload(store, me, [b"y"], {})
    settings.store.rename(tmp_path / "mistaken")
    (tmp_path / "elsewhere").rename(settings.store)
    assert upload.upload(store, me, [b"y"], {}).created


def test_a_store_that_was_moved_is_known(store: Store, me: Caller, settings: Settings, tmp_path: Path) -> None:
    """A restored or moved store would be refused."""
    digest = upload.upload(store, me, [b"x"], {}).file.digest
    settings.store.rename(tmp_path / "store")
    moved = open_store(settings.model_copy(update={"data": tmp_path}))
    assert download.read(moved, download.find(moved, me, digest), 0, 1).whole() == b"x"
    assert health.Readiness(moved).problems() == []
    moved.database.dispose()
    (tmp_path / "store").rename(settings.store)


def test_a_storage_can_be_accepted(store: Store, me: Caller, settings: Settings, tmp_path: Path) -> None:
    """After a restore of the bytes alone the service could never be started again."""
    digest = upload.upload(store, me, [b"x"], {}).file.digest
    settings.store.rename(tmp_path / "elsewhere")
    restored = open_store(settings)
    identity.accept(restored)
    upload.upload(restored, me, [b"x"], {"name": "again"})
    assert download.read(restored, download.find(restored, me, digest), 0, 1).whole() == b"x"
    restored.database.dispose()
