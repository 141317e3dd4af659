"""The oracle: every invariant of docs/architecture.md, asked of the database and the storage directly.

Each question is a SELECT that answers what is wrong. Nothing is changed. Pending uploads beside it are no findings.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from sqlalchemy import text

from blobstore.core.progress import Progress, silent
from blobstore.core.store import Store
from blobstore.core.verify import hash_blob, published

_QUESTIONS = {
    "used_bytes is not the sum of the claims": """
        SELECT u.name || ': used ' || u.used_bytes || ', claims ' || COALESCE(sum(b.size_bytes), 0)
        FROM users u LEFT JOIN claims c ON c.owner_id = u.id LEFT JOIN blobs b USING (digest)
        GROUP BY u.id HAVING u.used_bytes <> COALESCE(sum(b.size_bytes), 0)""",
    "content_count is not the number of claims": """
        SELECT u.name FROM users u WHERE content_count <> (SELECT count(*) FROM claims c WHERE c.owner_id = u.id)""",
    "file_count or logical_bytes is not what the files say": """
        SELECT u.name || ': ' || u.file_count || ' files, ' || u.logical_bytes || ' bytes; counted '
               || count(f.id) || ', ' || COALESCE(sum(b.size_bytes), 0)
        FROM users u LEFT JOIN files f ON f.owner_id = u.id LEFT JOIN blobs b USING (digest)
        GROUP BY u.id HAVING u.file_count <> count(f.id) OR u.logical_bytes <> COALESCE(sum(b.size_bytes), 0)""",
    "reserved_bytes without a resumable upload": "SELECT name FROM users WHERE reserved_bytes <> 0",
    "claims.files is not the number of files": """
        SELECT c.digest FROM claims c LEFT JOIN files f USING (owner_id, digest)
        GROUP BY c.owner_id, c.digest HAVING c.files <> count(f.id)""",
    "blobs.refs is not the number of claims": """
        SELECT b.digest FROM blobs b LEFT JOIN claims c USING (digest)
        GROUP BY b.digest HAVING b.refs <> count(c.owner_id)""",
    "a ready file whose blob is neither published nor known to be damaged": """
        SELECT f.id FROM files f JOIN blobs b USING (digest)
        WHERE f.ready_at IS NOT NULL AND b.published_at IS NULL AND b.damaged_at IS NULL""",
    "two live files of one owner with the same folder, name and digest": """
        SELECT min(id) || ' ' || max(id) FROM files
        WHERE ready_at IS NOT NULL AND (expires_at IS NULL OR expires_at > clock_timestamp())
        GROUP BY owner_id, folder, name, digest HAVING count(*) > 1""",
    "the bytes are known to be damaged": "SELECT digest FROM blobs WHERE damaged_at IS NOT NULL AND refs > 0",
}
_ROW = text("SELECT location FROM blobs WHERE digest = :digest")
_COUNT = text("SELECT count(*), COALESCE(sum(size_bytes), 0) FROM blobs WHERE published_at IS NOT NULL")


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong: which rule, and where."""

    rule: str
    where: str


def check(
    store: Store, *, deep: bool = False, grace: timedelta = timedelta(0), progress: Progress = silent
) -> Iterator[Finding]:
    """Yield every violation. `deep` reads and hashes all bytes too; `progress` is called with the bytes read.

    Bytes that no row names are a finding once they are older than `grace`; younger ones may be an upload under way.
    """
    yield from _ask(store)
    yield from _rowless(store, grace)
    yield from (Finding("no file in the place of a blob", where) for where in store.storage.obstacles())
    for blob in published(store):
        size = store.storage.size(blob.location)
        if size is None:
            yield Finding("a published blob without bytes", f"{blob.digest} at {blob.location}")
        elif size != blob.size_bytes:
            yield Finding("a published blob of another size", f"{blob.digest}: {size}, not {blob.size_bytes}")
        elif deep and (found := hash_blob(store, blob.location, progress)) != blob.digest.hex:
            yield Finding("a published blob with other bytes", f"{blob.digest} at {blob.location}: {found}")


def _rowless(store: Store, grace: timedelta) -> Iterator[Finding]:
    before = datetime.now(UTC) - grace
    for location, digest, _, published_at in store.storage.locations():
        if published_at <= before and not _has_row(store, digest.hex, location):
            yield Finding("bytes without a row", location)


def totals(store: Store) -> tuple[int, int]:
    """How many blobs are published, and their bytes: what a deep check will read."""
    with store.database.transaction() as session:
        count, size = session.execute(_COUNT).one()
    return count, int(size)


def _ask(store: Store) -> Iterator[Finding]:
    for rule, question in _QUESTIONS.items():
        with store.database.transaction() as session:
            answers = list(session.execute(text(question)).scalars())
        yield from (Finding(rule, str(answer)) for answer in answers)


def _has_row(store: Store, digest: str, location: str) -> bool:
    with store.database.transaction() as session:
        row = session.execute(_ROW, {"digest": digest}).one_or_none()
    return row is not None and (row.location is None or row.location == location)
