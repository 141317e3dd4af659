"""How much a worker's resident memory rises above what it was, at its highest, during one large transfer."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

from bench.content import Content
from bench.large import send_form, send_raw
from bench.loads import curl
from bench.plan import Plan
from bench.report import Row
from bench.running import Server
from bench.servers import blobstore

MIB = 1 << 20
_PEAK = re.compile(r"VmHWM:\s+(\d+) kB")


def memory(plan: Plan) -> Iterator[Row]:
    """Raw, as a form, and down, of a worker that has done nothing else. The kernel counts the peak; Linux only."""
    content = Content(plan.folder / "memory", plan.memory_bytes)
    size = f"{plan.memory_bytes >> 20:,} MiB"
    with blobstore(plan.folder / "fresh", BLOBSTORE_WORKERS=1) as server:
        sends: dict[str, Callable[[], float]] = {
            f"`curl -T` of {size}": lambda: send_raw(server, content.renew()),
            f"`curl -F` of {size}": lambda: send_form(server, content.renew()),
            f"download of {size}": lambda: curl(f"{server.url}/{content.sha256()}"),
        }
        _warm(server, plan.folder / "warm")
        (worker,) = server.workers()
        before = _reset_peak(worker.pid)
        for what, send in sends.items():
            _reset_peak(worker.pid)
            send()
            growth = (_peak_bytes(worker.pid) - before) / MIB
            yield Row(f"growth of a worker, {what}", growth, "MiB", budget="≤ 16 MiB")
    shutil.rmtree(server.folder)
    content.path.unlink()


def _warm(server: Server, path: Path) -> None:
    """The worker has imported and connected all there is: that is no growth of a transfer."""
    for _ in range(3):
        path.write_bytes(os.urandom(4096))
        send_raw(server, path)
        send_form(server, path)


def _reset_peak(pid: int) -> int:
    """Forget the highest use so far; the present one."""
    Path(f"/proc/{pid}/clear_refs").write_text("5", encoding="ascii")
    return _peak_bytes(pid)


def _peak_bytes(pid: int) -> int:
    found = _PEAK.search(Path(f"/proc/{pid}/status").read_text(encoding="ascii"))
    if not found:
        raise RuntimeError("the kernel tells no VmHWM")
    return int(found[1]) << 10
