"""Which test catches which planted bug: told by the tests that plant them, as they run.

Such a test notes the bug, and the test of the suite that fails for it, with `record_property`.
"""

from __future__ import annotations

import subprocess
import sys
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path
from xml.etree import ElementTree

from tests.served import ROOT

PLANTING = (
    "tests/races/test_protocol.py::test_a_dropped_rule_is_caught",
    "tests/storage/test_mutants.py",
    "tests/races/test_planted.py",
    "tests/races/test_machine.py::test_a_bug_is_found",
)
"""The tests that plant bugs; the last ones take minutes."""
HAND_MUTANTS = {
    "no fsync": ("disk: skips file sync",),
    "no folder fsync": ("disk: skips folder sync",),
    "link and record swapped": ("recorded before it is published", "disk: links first"),
    "`DO NOTHING`": ("DO NOTHING for the lock, beside a sweep", "DO NOTHING for the lock, beside a delete"),
    "no `FOR UPDATE`": (
        "record without FOR UPDATE",
        "an instant upload without the lock",
        "a rename without the lock",
        "a delete without its locks",
    ),
    "`<` for `<=` in the quota": ("< for <= in the quota",),
    "quota checked, then updated": ("quota checked, then charged",),
    "a sweep without its first half": ("a sweep without its first half",),
    "no owner check": ("no owner check", "no owner check by hash", "a download by hash finds what is private"),
    "no length check": ("no length check", "disk: trusting"),
}
"""Those that a protocol like this one most needs to be tried with, and which of the planted bugs they are."""
BUG, TEST = "bug", "caught by"
Note = Callable[[str, object], None]
"""The type of `record_property`."""


def lines(by_bug: dict[str, list[str]]) -> Iterator[str]:
    """The table, in Markdown; hand mutants first."""
    yield "| hand mutant | bug | caught by |"
    yield "| --- | --- | --- |"
    named = {bug: name for name, bugs in HAND_MUTANTS.items() for bug in bugs}
    for bug in sorted(by_bug, key=lambda bug: list(named).index(bug) if bug in named else len(named)):
        yield f"| {named.get(bug, '')} | {bug} | {', '.join(f'`{test}`' for test in sorted(set(by_bug[bug])))} |"


def caught(folder: Path, count: int) -> tuple[dict[str, list[str]], set[str]]:
    """Run the first so many of PLANTING: the tests that caught each bug, and what was not caught, or not tried."""
    report = folder / "report.xml"
    options = ["-q", "-p", "no:cacheprovider", "-o", "junit_family=xunit1", f"--junitxml={report}"]
    with (folder / "pytest.log").open("wb") as log:
        command = [sys.executable, "-m", "pytest", *options, *PLANTING[:count]]
        subprocess.run(command, cwd=ROOT, stdout=log, stderr=log, check=False)
    found: dict[str, list[str]] = defaultdict(list)
    missed = set()
    for case in ElementTree.parse(report).iter("testcase"):
        noted = {each.get("name"): str(each.get("value")) for each in case.iter("property")}
        if BUG in noted and not any(case.find(end) is not None for end in ("failure", "error", "skipped")):
            found[noted[BUG]].append(noted[TEST])
        elif BUG in noted or case.find("failure") is not None or case.find("error") is not None:
            missed.add(noted.get(BUG, str(case.get("name"))))
    return found, missed
