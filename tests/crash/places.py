"""Where a scenario plays: a PostgreSQL of its own."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from blobstore import embedded
from blobstore.database import upgrade


@contextmanager
def postgresql(folder: Path) -> Iterator[str]:
    """The address of an empty database with the newest schema; not durable, but fast."""
    with embedded.running(folder / "postgresql", "18", durable=False) as url:
        upgrade(url)
        yield url
