"""The sweep over a running service: the bytes that are stored are the bytes that were sent, and a cut body is none.

python -m tests.edge.sweep          everything; some minutes
python -m tests.edge.sweep 7        every seventh
"""

from __future__ import annotations

import hashlib
import socket
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from rich.progress import Progress

from blobstore import embedded
from blobstore.database import upgrade
from tests.edge.bodies import ENDINGS, WHOLE, Cut, Whole, cuts, requests_of_2_kib
from tests.edge.place import Place, place
from tests.edge.wire import GUARD_SECONDS
from tests.served import Client, eventually

RESET = b"\1\0\0\0\0\0\0\0"
SENDERS = 4
T = TypeVar("T", Whole, Cut)


@dataclass
class Tally:
    """One line of the table."""

    kind: str
    bodies: int = 0
    wrong: list[str] = field(default_factory=list)
    acknowledged: int = 0
    """Cut bodies that were answered with 2xx."""

    @property
    def line(self) -> str:
        return f"{self.kind:<44}{self.bodies:>8,}{len(self.wrong):>8,}{self.acknowledged:>16,}"


HEADING = f"{'kind':<44}{'bodies':>8}{'wrong':>8}{'2xx to a cut':>16}"


def send_whole(here: Place, bodies: Iterable[Whole], tally: Tally) -> None:
    """Send each on one connection, and compare the answer and the file on the disk with what was sent."""
    with Client(here.live.port) as client:
        client.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for body in bodies:
            tally.bodies += 1
            for start in range(0, len(body.request), body.segment):
                client.send(body.request[start : start + body.segment])
            answer = client.answer()
            digest = hashlib.sha256(body.content).hexdigest()
            path = here.folder / digest[:2] / digest
            if answer.status not in (200, 201) or answer.text != digest + "\n" or path.read_bytes() != body.content:
                tally.wrong.append(f"{body.what}: {answer.status} {answer.text.strip()}")
            # Nobody reads it again, and thousands of them would fill the disk.
            path.unlink(missing_ok=True)


def send_cut(here: Place, bodies: Iterable[Cut], tally: Tally) -> None:
    """Send each on a connection of its own, several at a time."""
    with ThreadPoolExecutor(SENDERS) as senders:
        for body, status in senders.map(lambda one: (one, _end_early(here.live.port, one)), bodies):
            tally.bodies += 1
            if status is not None and 200 <= status < 300:
                tally.acknowledged += 1
            if body.ending == "half-close" and not (status and 400 <= status < 500):
                tally.wrong.append(f"{body.what}: {status}")


def _end_early(port: int, body: Cut) -> int | None:
    """The status of the answer, if we stay to hear one."""
    with socket.create_connection(("127.0.0.1", port), GUARD_SECONDS) as connection:
        connection.sendall(body.sent)
        if body.ending == "reset":
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        if body.ending != "half-close":
            return None
        connection.shutdown(socket.SHUT_WR)
        answer = b""
        with suppress(ConnectionError):
            answer = b"".join(iter(lambda: connection.recv(4096), b""))
    return int(answer[9:12]) if answer.startswith(b"HTTP/1.1 ") else None


def sweep(here: Place, step: int, watch: Callable[[str, Iterable[T]], Iterable[T]]) -> Iterator[Tally]:
    """All kinds; nothing may be left of the cut ones. `watch` is handed each kind's bodies."""
    for kind, make in WHOLE.items():
        tally = Tally(kind)
        send_whole(here, watch(kind, make(step)), tally)
        yield tally
    here.forget()
    kept = here.kept()
    for kind in requests_of_2_kib():
        for ending in ENDINGS:
            tally = Tally(f"{kind} cut, {ending}")
            send_cut(here, watch(tally.kind, cuts(kind, step, ending)), tally)
            started = time.monotonic()
            eventually(lambda: True if here.is_calm() else None)
            tally.kind += f", {time.monotonic() - started:.1f} s"
            if here.kept() != kept:
                tally.wrong.append("something was kept")
            yield tally


def main() -> int:
    step = int(sys.argv[1]) if len(sys.argv) > 1 else 1
    with tempfile.TemporaryDirectory() as name, embedded.running(Path(name) / "pg", "18", durable=False) as url:
        upgrade(url)
        tallies = _report(Path(name) / "data", url, step)
    wrong = [line for tally in tallies for line in tally.wrong]
    total = Tally("all", sum(tally.bodies for tally in tallies), wrong, sum(tally.acknowledged for tally in tallies))
    print(total.line)
    print(*wrong[:20], sep="\n")
    return 1 if wrong or total.acknowledged else 0


def _report(folder: Path, url: str, step: int) -> list[Tally]:
    tallies = []
    with Progress(transient=True) as progress, place(folder, url) as here:
        progress.console.print(HEADING)

        def watch(kind: str, bodies: Iterable[T]) -> Iterable[T]:
            return progress.track(bodies, description=kind)

        for tally in sweep(here, step, watch):
            progress.console.print(tally.line)
            tallies.append(tally)
    return tallies


if __name__ == "__main__":
    sys.exit(main())
