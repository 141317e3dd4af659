"""How much harm so many cases of one kind have done."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

from tests.crash.judging import Harm
from tests.crash.table import Outcome


@dataclass
class Tally:
    """One line of the table while it grows. Of a self-test nobody needs to read what it found."""

    scenario: str
    self_test: bool = False
    planned: int = 0
    """How many cases there will be; 0: that is not known."""
    began: float = field(default_factory=time.monotonic)
    cases: int = 0
    lost: int = 0
    corrupt: int = 0
    leaked: int = 0
    first: str = ""
    """The first harm, and where."""

    def count(self, harm: Harm, where: str = "", *, cases: int = 1, remark: str = "") -> Outcome:
        """So many cases more, and what they did together."""
        self.cases += cases
        self.lost += len(harm.lost)
        self.corrupt += len(harm.corrupt)
        self.leaked += len(harm.leaked)
        if harm and not self.first and not self.self_test:
            self.first = f"{where}{harm}"
        said = "; ".join(filter(None, [remark, self.first]))
        seconds = time.monotonic() - self.began
        figures = self.cases, self.lost, self.corrupt, self.leaked
        return Outcome(self.scenario, *figures, seconds, said, self.self_test, self.planned)
