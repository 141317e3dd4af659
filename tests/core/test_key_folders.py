"""A file that is moved out of a key's folder between the look and the lock."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import psycopg2
import pytest

from blobstore.core import delete, files
from blobstore.core.files import Changes
from blobstore.core.gate import Caller
from blobstore.core.store import Store
from blobstore.errors import NotFound
from tests.children import query, until
from tests.conftest import libpq
from tests.core.acts import ask, person, send

WAITING = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"


@pytest.mark.parametrize(
    "act",
    [
        lambda store, caller, file_id: files.change(store, caller, file_id, Changes(name="y")),
        delete.delete_file,
        lambda store, caller, file_id: delete.delete_file(store, caller, file_id, dry_run=True),
    ],
    ids=["change", "delete", "dry-run"],
)
def test_a_file_that_has_just_left_the_folder(
    store: Store, database_url: str, act: Callable[[Store, Caller, str], object]
) -> None:
    """A key would change or delete a file that its owner has put out of its reach."""
    owner = person(store)
    file = send(store, owner, b"x", name="x", folder="/backup").file
    holder = psycopg2.connect(libpq(database_url))
    with ThreadPoolExecutor(1) as pool, holder.cursor() as cursor:
        cursor.execute("SELECT FROM blobs FOR UPDATE")
        acting = pool.submit(act, store, replace(owner, folder="/backup"), file.id)
        until(lambda: query(database_url, WAITING) == [(1,)])
        cursor.execute("UPDATE files SET folder = '/elsewhere'")
        holder.commit()
        with pytest.raises(NotFound):
            acting.result(60)
    holder.close()
    assert ask(store, "SELECT name, folder FROM files") == [("x", "/elsewhere")]
