"""The suite fails for planted bugs: a test that cannot fail proves nothing."""

from __future__ import annotations

import re
from inspect import isfunction, signature
from pathlib import Path

import pytest

from tests.races.caught import BUG, TEST, Note
from tests.storage import disks
from tests.storage.contract import StorageContract
from tests.storage.disks import make
from tests.storage.oracle import DiskOracle
from tests.storage.processes import CONTENT, DIGEST, LOCATION, SIZE, DiskInProcesses
from tests.storage.tracing import order_violations, traced

BY_CONTRACT = [
    ("ShowsStaged", "test_1_nothing_staged_is_visible"),
    ("WritesInPlace", "test_9_a_reader_keeps_its_bytes"),
    ("KeepsOld", "test_4_publishing_again_heals"),
    ("OpensLate", "test_5_open_of_an_absent_blob_raises"),
    ("DeletesOnce", "test_6_delete_of_an_absent_blob_succeeds"),
    ("DiscardsOnce", "test_7_discard_at_any_time"),
    ("NoLock", "test_8_exclusive_keeps_publish_out"),
    ("NoLock", "test_8_a_sweep_in_another_process_keeps_publish_out"),
    ("LeavesProbe", "test_10_a_probe_leaves_nothing"),
    ("TakesLiving", "test_upkeep_leaves_what_is_alive"),
    ("TakesLiving", "test_upkeep_tells_the_living_from_the_dead"),
    ("SyncsAgain", "test_3_a_failed_fsync_is_final"),
    ("Trusting", "test_3_a_lying_write_is_found_out"),
    ("WritesOnce", "test_3_a_short_write_is_continued"),
    ("NoLock", "test_3_names_are_given_under_the_lock"),
]
"""A mutant, and the test of the contract that it fails."""
BY_TRACE = [
    ("SkipsFileSync", "the file has a name before its bytes are durable"),
    ("LinksFirst", "the file has a name before its bytes are durable"),
    ("SkipsFolderSync", "the name is not durable"),
    ("SyncsEarly", "the name is not durable"),
]
"""A mutant, and what is wrong with the order of its system calls."""


def words(mutant: str) -> str:
    """Its name for people."""
    return "disk: " + re.sub("(?<!^)([A-Z])", r" \1", mutant).lower()


class Suite(StorageContract, DiskInProcesses):
    """The tests, called by hand."""

    # Until the bug has struck, not until it might have: a loaded machine must not hide it.
    excluded_seconds = 60


@pytest.mark.parametrize(("mutant", "test"), BY_CONTRACT)
def test_the_contract_catches(root: Path, record_property: Note, mutant: str, test: str) -> None:
    """If this failed, a backend with this bug would pass the contract."""
    record_property(BUG, words(mutant))
    record_property(TEST, f"TestDisk.{test}")
    run = getattr(Suite(), test)
    given = {"storage": make(mutant, root), "oracle": DiskOracle(root)}
    with pytest.raises((Exception, pytest.fail.Exception)) as caught:
        run(**{name: given[name] for name in signature(run).parameters})
    assert not isinstance(caught.value, (AttributeError, KeyError, NameError, TypeError)), "the bug is not what it was"


@pytest.mark.parametrize(("mutant", "violation"), BY_TRACE)
def test_the_trace_catches(root: Path, record_property: Note, mutant: str, violation: str) -> None:
    """If this failed, a publish that a power cut undoes would pass the order check."""
    record_property(BUG, words(mutant))
    record_property(TEST, f"TestDisk.{DiskInProcesses.test_3_a_power_cut_loses_nothing.__name__}")
    printed, lines = traced(mutant, root, "publish", SIZE)
    assert printed == LOCATION
    assert DiskOracle(root).bytes_of(DIGEST) == CONTENT
    assert order_violations(lines, root, DIGEST) == [violation]


def test_every_bug_is_where_the_disk_still_is() -> None:
    """If this failed, a mutant would change what nobody calls any more, and what fails for it would prove nothing."""
    mutants = [bug for bug in vars(disks).values() if isinstance(bug, type) and bug.__module__ == disks.__name__]
    changed = [(mutant, name) for mutant in mutants for name, value in vars(mutant).items() if isfunction(value)]
    assert changed
    for mutant, name in changed:
        assert any(hasattr(product, name) for product in mutant.__mro__ if product.__module__ != disks.__name__)
