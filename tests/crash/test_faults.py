"""The fault suite itself: what it prints, and when it says that something is wrong."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.crash import __main__ as faults
from tests.crash.table import LeftOut, Outcome, Scenario, table

GOOD = Outcome("cut", 300, 0, 0, 0, 12.4)
FOUND_OUT = Outcome("cut, no fsync", 20, 1200, 3, 4, 125, self_test=True)
BAD = [
    Outcome("cut", 300, 1, 0, 0, 1),
    Outcome("cut", 300, 0, 1, 0, 1),
    Outcome("cut", 300, 0, 0, 1, 1),
    Outcome("cut", 0, 0, 0, 0, 1),
    Outcome("cut", 300, 0, 0, 9, 1, self_test=True),
]


def run(monkeypatch: pytest.MonkeyPatch, *outcomes: Outcome | Exception) -> int:
    """The exit code of a suite of one scenario with these outcomes."""

    def scenario(folder: Path, cases: int) -> Iterator[Outcome]:
        assert list(folder.iterdir()) == []
        assert cases == 3
        for outcome in outcomes:
            if isinstance(outcome, Exception):
                raise outcome
            yield outcome

    monkeypatch.setattr(faults, "SCENARIOS", {"cut": Scenario(scenario, full=300, quick=3)})
    return faults.main(["--quick", "--only", "cut"])


def test_the_table_has_every_figure() -> None:
    """If this failed, a reader could not tell what was found, or would take a self-test for a fault."""
    assert table([GOOD, FOUND_OUT, BAD[-1]]).splitlines()[2:] == [
        "| cut | 300 | 0 | 0 | 0 | 12 s |",
        "| cut, no fsync (self-test: 1,200 lost, 3 corrupt, as it must) | 20 | 1,200 | 3 | 4 | 2 min |",
        "| cut (self-test: nothing found, NOT as it must) | 300 | 0 | 0 | 9 | 1 s |",
    ]


def test_a_run_without_a_fault_passes(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """If this failed, a suite that found nothing would be taken for one that did, or print what was on the way."""
    assert run(monkeypatch, Outcome("cut", 1, 0, 0, 0, 1), GOOD, FOUND_OUT) == 0
    printed = capsys.readouterr()
    assert table([GOOD, FOUND_OUT]) in printed.out
    assert printed.err.strip().splitlines()[-2:] == [GOOD.so_far, FOUND_OUT.so_far]
    assert printed.err.splitlines()[:2] == ["1 scenario, with so many cases each, of each kind:", "  cut: 3"]


def test_whoever_watches_sees_how_far_it_is() -> None:
    """If this failed, a run of an hour would look like one that hangs."""
    assert Outcome("cut", 7, 1, 2, 3, 4, planned=300).so_far == "cut: 7 of 300, 1 lost, 2 corrupt, 3 leaked"
    assert GOOD.so_far == "cut: 300, 0 lost, 0 corrupt, 0 leaked"


def test_the_rest_is_estimated_where_the_cases_are_known() -> None:
    """If this failed, whoever starts it in the evening would not know whether it is done in the morning."""
    with faults._progress() as progress:
        task = progress.add_task("cut", total=None)
        for outcome in (Outcome("cut", 1, 0, 0, 0, 1, planned=3), Outcome("cut", 2, 0, 0, 0, 1, planned=3)):
            task = faults._show(progress, task, "1/2", outcome, new=outcome.cases == 1)
        (shown,) = progress.tasks
        assert (shown.completed, shown.total, shown.time_remaining is not None) == (2, 3, True)
        assert shown.description.startswith("1/2 cut: 2 of 3")
        faults._show(progress, task, "1/2", Outcome("another", 5, 0, 0, 0, 1), new=True)
        (shown,) = progress.tasks
        assert (shown.completed, shown.total, shown.time_remaining) == (5, None, None)


@pytest.mark.parametrize("outcome", [*BAD, LeftOut("no root"), ValueError("a bug of its own")], ids=repr)
def test_whatever_is_wrong_fails(monkeypatch: pytest.MonkeyPatch, outcome: Outcome | Exception) -> None:
    """If this failed, a loss, a scenario that did not run or a blind self-test would pass."""
    assert run(monkeypatch, Outcome("another", 1, 0, 0, 0, 1), outcome) == 1


def test_a_run_without_an_outcome_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    """If this failed, a scenario that did nothing would pass."""
    assert run(monkeypatch) == 1
