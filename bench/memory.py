"""How much a worker's resident memory rises above what it was, at its highest, during one large transfer."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path

from bench.content import Content
from bench.large import send_form, send_raw
from bench.loads import curl
from bench.plan import Plan
from bench.report import Row

MIB = 1 << 20
_PEAK = re.compile(r"VmHWM:\s+(\d+) kB")


def memory(plan: Plan) -> Iterator[Row]:
    """Raw, as a form, and down. The kernel counts the peak; Linux only."""
    server = plan.servers.blobstore
    content = Content(plan.folder / "memory", plan.memory_bytes)
    size = f"{plan.memory_bytes >> 20:,} MiB"
    sends: dict[str, Callable[[], float]] = {
        f"`curl -T` of {size}": lambda: send_raw(server, content.renew()),
        f"`curl -F` of {size}": lambda: send_form(server, content.renew()),
        f"download of {size}": lambda: curl(f"{server.url}/{content.sha256()}"),
    }
    _warm(plan)
    before = {worker.pid: _reset_peak(worker.pid) for worker in server.workers()}
    for what, send in sends.items():
        for pid in before:
            _reset_peak(pid)
        send()
        # Of the worker that grew most, which is the one that had the transfer.
        growth = max(_peak_bytes(pid) - was for pid, was in before.items())
        yield Row(f"growth of a worker, {what}", growth / MIB, "MiB", budget="≤ 16 MiB")
    content.path.unlink()
    plan.remove_blobs()


def _warm(plan: Plan) -> None:
    """Every worker has imported and connected all there is: that is no growth of a transfer."""
    path = plan.folder / "warm"
    for _ in range(4 * (os.cpu_count() or 1)):
        path.write_bytes(os.urandom(4096))
        send_raw(plan.servers.blobstore, path)
        send_form(plan.servers.blobstore, path)


def _reset_peak(pid: int) -> int:
    """Forget the highest use so far; the present one."""
    Path(f"/proc/{pid}/clear_refs").write_text("5", encoding="ascii")
    return _peak_bytes(pid)


def _peak_bytes(pid: int) -> int:
    found = _PEAK.search(Path(f"/proc/{pid}/status").read_text(encoding="ascii"))
    if not found:
        raise RuntimeError("the kernel tells no VmHWM")
    return int(found[1]) << 10
