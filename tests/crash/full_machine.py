"""A full disk under the store and its PostgreSQL together: a small tmpfs with everything of `blobstore serve`.

It fills up until PostgreSQL panics. It cannot start again while nothing is free, and nobody does anything about it but
to make room: then it runs again, the same workers take uploads, and whatever was acknowledged is there.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import psycopg2

from tests.children import until
from tests.conftest import libpq
from tests.crash.full_disk import small_disk
from tests.crash.judging import Harm
from tests.crash.places import Place, serving_itself
from tests.crash.table import Outcome, Scenario
from tests.crash.tally import Tally
from tests.storage.contract import sample

OPTIONS = "size=256m"
SIZE_BYTES = 300_000
PIECE_BYTES = 1 << 20
BACK_SECONDS = 180
"""PostgreSQL's next start and the next probe of the store may each be half a minute away; then it recovers."""
WRITE_AHEAD = "SELECT pg_logical_emit_message(false, 'x', repeat('x', 4000000))"


def fill(ballast: Path) -> None:
    """Take all room that is left."""
    with ballast.open("ab") as file:
        for size in (PIECE_BYTES, 4096):
            try:
                while True:
                    os.write(file.fileno(), bytes(size))
            except OSError:
                continue


def _panic(place: Place) -> None:
    """Write until PostgreSQL has no room for its log."""
    try:
        with closing(psycopg2.connect(libpq(place.store.settings.require_database()))) as connection:
            connection.autocommit = True
            with connection.cursor() as cursor:
                while True:
                    cursor.execute(WRITE_AHEAD)
    except psycopg2.Error:
        return


def _round(place: Place, log: Path, number: int) -> Harm:
    workers = {worker.pid for worker in place.workers()}
    for each in range(3):
        assert place.upload(sample(SIZE_BYTES, f"{number} {each}")).status == 201
    before = _complaints(log)
    ballast = place.running.data / "ballast"
    fill(ballast)
    assert place.upload(sample(SIZE_BYTES, f"{number} refused")).status == 507

    def is_down() -> bool:
        _panic(place)
        fill(ballast)
        return _complaints(log) > before

    until(is_down)
    assert place.ask("GET", "/api/v1/me").status == 503
    ballast.unlink()
    until(lambda: place.upload(sample(SIZE_BYTES, f"{number} after")).status == 201, BACK_SECONDS)
    place.store.database.dispose()
    assert {worker.pid for worker in place.workers()} == workers
    return place.look_after_upkeep()


def _complaints(log: Path) -> int:
    """How often the service said that PostgreSQL ends at its start."""
    return log.read_text().count("PostgreSQL ended at its start")


def run(folder: Path, cases: int) -> Iterator[Outcome]:
    """So many times."""
    tally = Tally("a full disk, of the store and its PostgreSQL", planned=cases)
    with small_disk(folder / "full", OPTIONS) as data:
        # Elsewhere: what is said on a full disk is lost.
        with serving_itself(data, free_floor_bytes=0, LOG_FILE=folder / "log") as place:
            for number in range(cases):
                yield tally.count(_round(place, folder / "log", number), f"round {number}: ")


SCENARIO = Scenario(run, full=10, quick=1)
"""Each leaves 16 MiB more in PostgreSQL's log, which it keeps for reuse: after a dozen there is no room to be made."""
