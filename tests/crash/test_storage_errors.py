"""A disk that fails or is full, and too little of anything, thinned: `make faults` does all of it, many times."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.crash import broken_disk, full_disk, full_machine, scarcity, storage_errors
from tests.crash.operations import STORING
from tests.crash.places import emptied, serving
from tests.crash.storage_errors import Breaker, of_the_disk
from tests.crash.striking import Point, playing
from tests.crash.table import LeftOut
from tests.crash.tracing import refusal

EVERY = 7


@pytest.fixture(scope="module")
def breaker(migrated_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Breaker]:
    """One for all tests of this module."""
    if why := refusal():
        pytest.skip(why)
    folder = tmp_path_factory.mktemp("errors")
    with playing(folder, emptied(migrated_url)) as scene:
        yield Breaker(scene, folder)


@pytest.mark.parametrize("name", STORING)
def test_a_call_fails(breaker: Breaker, name: str) -> None:
    """If this failed, an error of the disk there would be acknowledged, charged, or never cleaned up."""
    points = of_the_disk(breaker.calls(name, STORING[name]))
    assert len(points) > 10
    for number, point in enumerate(points[::EVERY]):
        harm = breaker.fail(STORING[name], point, ("EIO", "ENOSPC")[number % 2], number % 3 == 0)
        assert not harm, f"{point}: {harm}"


def test_a_second_fsync_is_found(breaker: Breaker) -> None:
    """If this failed, an upload whose bytes the disk has dropped could be acknowledged, and nobody would be told."""
    harm = breaker.fail(storage_errors.PLANTED, Point(storage_errors.BUG, "fsync", 1, is_call=True), "EIO", False)
    assert len(harm.lost) == 2


def test_a_disk_fails_under_a_service(migrated_url: str, tmp_path: Path) -> None:
    """If this failed, a failing disk would be answered with anything but 503, or need a restart."""
    if why := refusal():
        pytest.skip(why)
    with serving(tmp_path / "service", migrated_url, workers=1) as place:
        trouble = broken_disk.Trouble(place, tmp_path / "strace")
        assert not trouble.strike(broken_disk.ONCE["fsync of the folder"], ["a form"])
        assert not trouble.strike(broken_disk.ALWAYS["every fsync"], ["raw", "JSON"])
        assert not trouble.strike(broken_disk.ALWAYS["every write"], ["chunked"])
    assert "Traceback" not in place.running.log.read_text()


@pytest.mark.parametrize("want", full_disk.WANTS, ids=lambda want: want.what)
def test_a_disk_is_full_under_a_service(migrated_url: str, tmp_path: Path, want: full_disk.Want) -> None:
    """If this failed, a full disk would stop downloads and deletes, or take uploads only after a restart."""
    with ExitStack() as stack:
        try:
            stack.enter_context(full_disk.mounted(tmp_path / "service" / "store", want.options))
        except LeftOut as why:
            pytest.skip(str(why))
        place = stack.enter_context(serving(tmp_path / "service", migrated_url, free_floor_bytes=0))
        assert not full_disk.Rounds(place, want).round()


def test_everything_is_on_the_full_disk(tmp_path: Path) -> None:
    """If this failed, a disk that was full for a minute would end the service until somebody starts it again."""
    try:
        (outcome,) = full_machine.run(tmp_path, 1)
    except LeftOut as missing:
        pytest.skip(str(missing))
    assert outcome.passed, outcome.line


@pytest.mark.parametrize("kind", scarcity.KINDS)
def test_workers_have_next_to_nothing(migrated_url: str, tmp_path: Path, kind: str) -> None:
    """If this failed, a lack of descriptors or memory would be an error of ours, or kill worker after worker."""
    with serving(tmp_path / "service", migrated_url, **scarcity.SERVED) as place:
        harm, _ = scarcity.run_under(place, kind, 80)
    assert not harm
