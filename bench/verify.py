"""Small downloads beside the verify of the background."""

from __future__ import annotations

import hashlib
import secrets
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median

from sqlalchemy import make_url

from bench import database, loads
from bench.large import send_raw
from bench.plan import Plan
from bench.report import Row
from bench.running import Server, clean, end
from bench.servers import blobstore, environment
from blobstore import embedded

FILES = 12
FILE_BYTES = 256 << 20
MIB = 1 << 20


def beside_verify(plan: Plan) -> Iterator[Row]:
    """p99 of a small download, alone and while 3 GiB are verified at the default pace, in turns; and that pace."""
    with blobstore(plan.folder / "verified") as server:
        small = _send(server, plan.folder / "small", 4096)
        for _ in range(FILES):
            _send(server, plan.folder / "large", FILE_BYTES)
        _p99(plan, server, small)
        rounds, rates = [], []
        for _ in range(plan.repeats):
            alone = _p99(plan, server, small)
            with _verifying(server) as child:
                began, before = time.monotonic(), _read_bytes(child)
                rounds.append((alone, _p99(plan, server, small)))
                rates.append((_read_bytes(child) - before) / (time.monotonic() - began) / MIB)
    alone, beside = (median(one) for one in zip(*rounds, strict=True))
    yield Row("p99 of a small GET beside a verify", beside, "ms", "alone", alone, "≤ 1.2")
    yield Row("the verify meanwhile", median(rates), "MiB/s", "its pace", 32)


def _send(server: Server, path: Path, size: int) -> str:
    content = secrets.token_bytes(size)
    path.write_bytes(content)
    send_raw(server, path)
    return "/" + hashlib.sha256(content).hexdigest()


def _p99(plan: Plan, server: Server, path: str) -> float:
    return loads.get(server.url + path, plan.seconds * 2, connections=2).p99_milliseconds


@contextmanager
def _verifying(server: Server) -> Iterator[int]:
    """A round of the upkeep, which has begun to read; everything is due."""
    url = embedded.address(server.folder)
    due = "UPDATE blobs SET published_at = now() - interval '40 days', verified_at = NULL"
    database.say(make_url(url), due)
    given = environment(server.port, server.folder, DATABASE_URL=url)
    child = subprocess.Popen([sys.executable, "-m", "blobstore", "upkeep", "run"], env={**clean(), **given})
    try:
        while not _read_bytes(child.pid) > 2 * MIB:
            time.sleep(0.05)
        time.sleep(1)
        yield child.pid
        if child.poll() is not None:
            raise RuntimeError("it was over too early")
    finally:
        end(child)


def _read_bytes(pid: int) -> int:
    """How many bytes the process has read from files, whatever they came from."""
    return int(Path(f"/proc/{pid}/io").read_text().split("rchar: ")[1].split()[0])
