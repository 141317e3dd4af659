"""What the fault suite found: one outcome for each scenario, and the Markdown table of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

COLUMNS = ("scenario", "cases", "lost", "corrupt", "leaked", "time")


@dataclass(frozen=True)
class Outcome:
    """What a scenario has found so far: in how many cases, of how many if that is known, and how much of each kind.

    `lost`: acknowledged and not there. `corrupt`: readable under a hash, with other bytes. `leaked`: what upkeep should
    have taken, and whatever else the check names. A `self_test` breaks the product on purpose and has to find it out.
    """

    scenario: str
    cases: int
    lost: int
    corrupt: int
    leaked: int
    seconds: float
    remark: str = ""
    self_test: bool = False
    planned: int = 0

    @property
    def passed(self) -> bool:
        """Nothing was found; of a self-test, that something was."""
        if self.self_test:
            return self.lost + self.corrupt > 0
        return self.cases > 0 and self.lost + self.corrupt + self.leaked == 0

    @property
    def verdict(self) -> str:
        """The remark, with what the figures of a self-test mean before it."""
        if not self.self_test:
            return self.remark
        found = ", ".join(f"{count:,} {what}" for what, count in self._harm if count) or "nothing found"
        return "; ".join(
            filter(None, [f"self-test: {found}, {'as' if self.passed else 'NOT as'} it must", self.remark])
        )

    @property
    def line(self) -> str:
        """The row of the table."""
        name = f"{self.scenario} ({self.verdict})" if self.verdict else self.scenario
        figures = (f"{figure:,}" for figure in (self.cases, self.lost, self.corrupt, self.leaked))
        return f"| {name} | {' | '.join(figures)} | {_time(self.seconds)} |"

    @property
    def so_far(self) -> str:
        """How far it is, for whoever watches."""
        cases = f"{self.cases:,} of {self.planned:,}" if self.planned else f"{self.cases:,}"
        return f"{self.scenario}: {cases}, {self.lost} lost, {self.corrupt} corrupt, {self.leaked} leaked"

    @property
    def _harm(self) -> tuple[tuple[str, int], ...]:
        return ("lost", self.lost), ("corrupt", self.corrupt)


@dataclass(frozen=True)
class Scenario:
    """A way to break the service. `run(folder, cases)` has an empty folder for itself.

    It yields an outcome after every case or so, each in place of the earlier ones with the same `scenario`, and so
    shows how far it is. `full` and `quick` say how many cases there are; a run that cannot know may pass over them.
    Raises LeftOut.
    """

    run: Callable[[Path, int], Iterator[Outcome]]
    full: int
    quick: int


class LeftOut(Exception):
    """What the scenario needs is not here: one line for people."""


def table(outcomes: Iterable[Outcome]) -> str:
    """The outcomes as Markdown."""
    head = [f"| {' | '.join(COLUMNS)} |", "| --- |" + " ---: |" * (len(COLUMNS) - 1)]
    return "\n".join([*head, *(outcome.line for outcome in outcomes)])


def _time(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.0f} min"
