"""The fault suite: `python -m tests.crash [--quick] [--only NAME …]`. The table goes to standard output.

Everything is broken that can break, over and over, on this machine: 0 lost, 0 corrupt, 0 leaked is the only good
outcome, and every scenario shows with a planted bug that it would find one. Exits with 1 when anything was found.
"""

from __future__ import annotations

import argparse
import signal
import sys
import tempfile
from functools import partial
from pathlib import Path

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from bench.report import host
from tests.crash import (
    backups,
    bit_rot,
    broken_disk,
    frozen,
    full_disk,
    full_machine,
    kills,
    outages,
    restarts,
    scarcity,
    storage_errors,
    worker_kills,
)
from tests.crash.power import power_cuts
from tests.crash.table import LeftOut, Outcome, Scenario, table
from tests.races import faults

POSTGRES = "18"
SCENARIOS: dict[str, Scenario] = {
    "power-ext4": Scenario(partial(power_cuts, "ext4"), full=300, quick=20),
    "power-xfs": Scenario(partial(power_cuts, "xfs"), full=300, quick=20),
    "kills": kills.SCENARIO,
    "worker-kills": worker_kills.SCENARIO,
    "storage-errors": storage_errors.SCENARIO,
    "broken-disk": broken_disk.SCENARIO,
    "full-disk": full_disk.SCENARIO,
    "full-machine": full_machine.SCENARIO,
    "scarcity": scarcity.SCENARIO,
    "outages": outages.SCENARIO,
    "frozen": frozen.SCENARIO,
    "restarts": restarts.SCENARIO,
    "bit-rot": bit_rot.SCENARIO,
    "backups": backups.SCENARIO,
    **faults.SCENARIOS,
}
"""By the names that `--only` takes, in the order in which they run."""


def main(arguments: list[str] | None = None) -> int:
    """Run the scenarios, then print; 0 when all of them passed."""
    asked = _arguments(arguments)
    outcomes: list[Outcome] = []
    passed = True
    with tempfile.TemporaryDirectory(prefix="blobstore-faults-") as name, _progress() as progress:
        head = host(POSTGRES)
        names = asked.only or list(SCENARIOS)
        _plan(progress.console, names, quick=asked.quick)
        for number, chosen in enumerate(names, 1):
            where = f"{number}/{len(names)}"
            found, whole = _run(progress, chosen, where, Path(name, chosen), quick=asked.quick)
            passed = passed and whole and bool(found) and all(outcome.passed for outcome in found)
            outcomes += found
    print(f"{head}\n\n{table(outcomes)}")
    return 0 if passed else 1


def _arguments(given: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.crash", description="Break blobstore in every known way.")
    parser.add_argument("--quick", action="store_true", help="few cases of each")
    parser.add_argument("--only", nargs="+", choices=SCENARIOS, metavar="NAME", help=", ".join(SCENARIOS))
    return parser.parse_args(given)


def _progress() -> Progress:
    """What is done, how much of it, since when, and how long it may take where the number of cases is known."""
    columns = SpinnerColumn(), TextColumn("{task.description}"), BarColumn(20), MofNCompleteColumn()
    return Progress(*columns, TimeElapsedColumn(), TimeRemainingColumn(), console=Console(stderr=True))


def _plan(console: Console, names: list[str], *, quick: bool) -> None:
    """Say which scenarios will run. Some break each of so many points twice, or every kind of thing so often."""
    console.print(f"{len(names)} scenario{'' if len(names) == 1 else 's'}, with so many cases each, of each kind:")
    for name in names:
        console.print(f"  {name}: {_cases(SCENARIOS[name], quick=quick):,}", highlight=False)


def _cases(scenario: Scenario, *, quick: bool) -> int:
    return scenario.quick if quick else scenario.full


def _run(progress: Progress, name: str, where: str, folder: Path, *, quick: bool) -> tuple[list[Outcome], bool]:
    """The last outcome of each kind, and whether it came to its end: one that fails is no reason to lose the others."""
    scenario = SCENARIOS[name]
    cases = _cases(scenario, quick=quick)
    folder.mkdir()
    found: dict[str, Outcome] = {}
    task = progress.add_task(f"{where} {name}", total=None)
    try:
        for outcome in scenario.run(folder, cases):
            task = _show(progress, task, where, outcome, new=outcome.scenario not in found)
            found[outcome.scenario] = outcome
        return list(found.values()), True
    except LeftOut as missing:
        progress.console.print(f"{name} is left out: {missing}")
    except Exception:
        progress.console.print(f"{name} failed")
        progress.console.print_exception()
    finally:
        progress.remove_task(task)
        for outcome in found.values():
            progress.console.print(outcome.so_far, markup=False, soft_wrap=True)
    return list(found.values()), False


def _show(progress: Progress, task: TaskID, where: str, outcome: Outcome, *, new: bool) -> TaskID:
    """Show how far it is; each kind of outcome has a line and an estimate of its own."""
    if new:
        progress.remove_task(task)
        task = progress.add_task(where, total=outcome.planned or None)
    progress.update(task, completed=outcome.cases, description=f"{where} {outcome.so_far}")
    return task


if __name__ == "__main__":
    # As ^C does: whatever is mounted or runs is cleared away first.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    sys.exit(main())
