"""The suite fails for planted bugs: a test that cannot fail proves nothing."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.storage.contract import StorageContract
from tests.storage.disks import make
from tests.storage.oracle import DiskOracle
from tests.storage.processes import CONTENT, DIGEST, LOCATION, SIZE, DiskInProcesses
from tests.storage.tracing import order_violations, traced


class Suite(StorageContract, DiskInProcesses):
    """The tests, called by hand."""

    # Until the bug has struck, not until it might have: a loaded machine must not hide it.
    excluded_seconds = 60


@pytest.mark.parametrize(
    ("mutant", "test"),
    [
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
    ],
)
def test_the_contract_catches(root: Path, mutant: str, test: str) -> None:
    """If this failed, a backend with this bug would pass the contract."""
    with pytest.raises((Exception, pytest.fail.Exception)):
        getattr(Suite(), test)(make(mutant, root), DiskOracle(root))


@pytest.mark.parametrize(
    ("mutant", "violation"),
    [
        ("SkipsFileSync", "the file has a name before its bytes are durable"),
        ("LinksFirst", "the file has a name before its bytes are durable"),
        ("SkipsFolderSync", "the name is not durable"),
        ("SyncsEarly", "the name is not durable"),
    ],
)
def test_the_trace_catches(root: Path, mutant: str, violation: str) -> None:
    """If this failed, a publish that a power cut undoes would pass the order check."""
    printed, lines = traced(mutant, root, "publish", SIZE)
    assert printed == LOCATION
    assert DiskOracle(root).bytes_of(DIGEST) == CONTENT
    assert order_violations(lines, root, DIGEST) == [violation]
