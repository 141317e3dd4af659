"""Outages, standstills, restarts, rot and backups, a few of each; `make faults` has many."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import pytest

from blobstore import embedded
from blobstore.database import upgrade
from tests.crash import backups, bit_rot, frozen, outages, restarts
from tests.crash.places import postgresql
from tests.crash.table import Outcome
from tests.crash.tally import Tally


def all_pass(found: Iterator[Outcome]) -> None:
    """The last outcome of each kind is a good one."""
    last = {outcome.scenario: outcome for outcome in found}
    assert last
    assert [outcome.line for outcome in last.values() if not outcome.passed] == []


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A PostgreSQL that nobody else looks at."""
    with postgresql(tmp_path_factory.mktemp("scenarios")) as url:
        yield url


def test_postgresql_goes_and_comes(tmp_path: Path) -> None:
    """If this failed, an outage of PostgreSQL would lose an upload, charge it twice, or be told as something else."""
    all_pass(outages.outages(tmp_path, 2, away_seconds=0.5))


def test_the_embedded_postgresql_comes_back_by_itself(tmp_path: Path) -> None:
    """If this failed, a service whose PostgreSQL is killed would lose an upload, or wait for an operator."""
    all_pass(outages.revivals(tmp_path / "data", 2))


@pytest.mark.parametrize("way", frozen.STANDSTILLS, ids=lambda way: way.what)
def test_postgresql_stands_still(tmp_path: Path, way: frozen.Standstill) -> None:
    """If this failed, whoever waits for PostgreSQL would wait for ever, or lose what he was promised."""
    data = tmp_path / "postgresql"
    with embedded.running(data, "18", durable=False) as url:
        upgrade(url)
        all_pass(frozen.standstills(way, tmp_path / "service", url, data, 1, seconds=3))


def test_a_reload_and_a_stop_cut_nobody(tmp_path: Path, url: str) -> None:
    """If this failed, every deploy would break uploads and downloads."""
    all_pass(restarts.reloads(tmp_path / "reloads", url, 1))
    all_pass(restarts.stops(tmp_path / "stops", url, 1, restarts.GRACE))


def test_a_stop_that_cuts_is_seen(tmp_path: Path, url: str) -> None:
    """If this failed, the test above would pass whatever is cut."""
    all_pass(restarts.stops(tmp_path, url, 1, restarts.NO_GRACE, ", no grace", hold_seconds=3))


def test_rot_is_found_and_healed(tmp_path: Path) -> None:
    """If this failed, wrong bytes would be served under a hash that are known to be wrong; or nobody would look."""
    all_pass(bit_rot.run(tmp_path, 6))


def test_a_backup_under_clients_is_whole(tmp_path: Path, url: str) -> None:
    """If this failed, a restored pair would lack what was acknowledged before the backup, or not fit together."""
    all_pass(backups.backups(tmp_path, url, 1, backups.by_command, Tally("backup")))


def test_a_backup_in_the_wrong_order_is_seen(tmp_path: Path, url: str) -> None:
    """If this failed, the test above would pass whatever is missing."""
    all_pass(islice(backups.backups(tmp_path, url, 1, backups.store_first, Tally("backup", self_test=True)), 1))
