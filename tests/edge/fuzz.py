"""schemathesis over /openapi.json of a running service, with all of its checks.

python -m tests.edge.fuzz           longer than in the default suite; another seed each time, which it prints
"""

from __future__ import annotations

import secrets
import subprocess
import sys
import tempfile
from pathlib import Path

from blobstore import embedded
from blobstore.database import upgrade
from tests.conftest import PASSWORD
from tests.edge.place import Place, place

CONFIGURATION = Path(__file__).parent / "schemathesis.toml"
CALLERS = ("nobody", "me", "root")
"""Without credentials, a user, an admin."""
UNLIMITED = {
    "login_failures": 1_000_000,
    "login_failures_total": 1_000_000,
    "registration": "open",
    "signups": 1_000_000,
}
"""One of the checks sends wrong credentials, and each must be 401, not 429; and anybody may sign up, as often."""


def fuzz(here: Place, caller: str, folder: Path, *, seed: int, examples: int) -> subprocess.CompletedProcess[str]:
    """Run it to its end as this caller; what it keeps is in `folder`."""
    who = [] if caller == "nobody" else ["--auth", f"{caller}:{PASSWORD}"]
    run = [sys.executable, "-m", "schemathesis.cli", "--config-file", str(CONFIGURATION), "run"]
    checks = ["--checks", "all", "--max-examples", str(examples), "--seed", str(seed), "--no-color"]
    address = f"http://localhost:{here.live.port}/openapi.json"
    return subprocess.run([*run, address, *who, *checks], cwd=folder, capture_output=True, text=True, check=False)


def main() -> int:
    seed, failed = secrets.randbelow(1 << 31), 0
    with tempfile.TemporaryDirectory() as name, embedded.running(Path(name) / "pg", "18", durable=False) as url:
        upgrade(url)
        with place(Path(name) / "data", url, workers=2, **UNLIMITED) as here:
            for caller in CALLERS:
                print(f"as {caller}, seed {seed}", flush=True)
                done = fuzz(here, caller, Path(name), seed=seed, examples=200)
                print(done.stdout + done.stderr)
                failed += done.returncode != 0
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
