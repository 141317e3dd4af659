"""A disk for each test, in one folder: emptied, not made again."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from blobstore.storage.disk import Disk
from tests.storage.oracle import DiskOracle, empty


@pytest.fixture(scope="module")
def shared_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A prepared store for many tests: making 512 folders and locks takes longer than most of them."""
    root = tmp_path_factory.mktemp("data") / "store"
    Disk(root).prepare()
    return root


@pytest.fixture
def root(shared_root: Path) -> Iterator[Path]:
    """The store, empty."""
    yield shared_root
    empty(shared_root)


@pytest.fixture
def oracle(root: Path) -> DiskOracle:
    """Looks at `root`."""
    return DiskOracle(root)


@pytest.fixture
def disk(root: Path) -> Disk:
    """The disk at `root`, staging as this filesystem allows."""
    return Disk(root)


@pytest.fixture
def absent(tmp_path: Path) -> Path:
    """Where a store may be made."""
    return tmp_path / "data" / "store"


@pytest.fixture
def fresh(absent: Path) -> Disk:
    """A prepared disk whose folders a test may change."""
    disk = Disk(absent)
    disk.prepare()
    return disk
