"""`python -m bench [--quick] [--only NAME]…`: the table goes to standard output, what happens meanwhile beside it."""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from pathlib import Path

from bench import fairness, flood, large, memory, slow, small, timing, verify
from bench.plan import Plan
from bench.report import Row, machine, table
from bench.servers import Servers
from blobstore import embedded

SCENARIOS: dict[str, Callable[[Plan], Iterable[Row]]] = {
    "upload": large.upload,
    "download": large.download,
    "get": small.get,
    "put": small.put,
    "quota": small.quota,
    "argon2": small.argon2,
    "memory": memory.memory,
    "beside-uploads": fairness.beside_uploads,
    "beside-slow-clients": fairness.beside_slow_clients,
    "slow-clients": slow.slow_clients,
    "beside-verify": verify.beside_verify,
    "timing": timing.timing,
    "flood": flood.flood,
}


def main() -> None:
    """Measure, then print."""
    asked = _arguments()
    started = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="blobstore-bench-") as name, Servers(Path(name)) as servers:
        plan = (Plan.quick if asked.quick else Plan.full)(servers, Path(name))
        _say("starting blobstore")
        head = machine(embedded.version_of(servers.blobstore.folder) or "?")
        found = {scenario: _run(scenario, plan) for scenario in asked.only or SCENARIOS}
        notes = [f"- {line}" for line in servers.left_out]
        notes += [f"- {scenario} failed and is left out" for scenario, rows in found.items() if not rows]
        print("\n".join([head, *notes, "", table(row for rows in found.values() for row in rows)]))
    _say(f"done in {time.monotonic() - started:.0f} s")
    sys.exit(not all(found.values()))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench", description="Measure blobstore beside its peers.")
    parser.add_argument("--quick", action="store_true", help="smaller and shorter: within two minutes")
    parser.add_argument("--only", action="append", choices=SCENARIOS, help="one scenario; may be repeated")
    return parser.parse_args()


def _run(scenario: str, plan: Plan) -> list[Row]:
    """What one scenario measured; nothing when it failed, which is no reason to lose the others."""
    _say(scenario)
    try:
        rows = list(SCENARIOS[scenario](plan))
    except (RuntimeError, OSError, subprocess.SubprocessError) as error:
        _say(f"  failed: {error}")
        return []
    for row in rows:
        _say(f"  {row.line}")
    return rows


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


main()
