"""Reloads and stops under load: SIGHUP and SIGTERM while uploads and downloads are under way.

reload   whatever is under way comes to its end, and every request that begins meanwhile is answered
stop     whatever is under way comes to its end; then the service ends, with 0
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from blobstore import embedded
from blobstore.database import upgrade
from tests.children import until
from tests.crash.judging import Harm
from tests.crash.places import Place, serving
from tests.crash.table import Outcome, Scenario
from tests.crash.tally import Tally
from tests.served import Client
from tests.storage.contract import digest_of, sample

UNDER_WAY = 8
"""Of uploads, and as many downloads."""
BODY_BYTES = 100_000
LARGE_BYTES = 16 << 20
"""More than all buffers between the server and a client that does not read."""
GRACE = {"graceful_timeout_seconds": 30}
NO_GRACE = {"graceful_timeout_seconds": 1}


@dataclass
class UnderWay:
    """Uploads whose first byte was asked for, and downloads whose first bytes have come."""

    place: Place
    name: str
    large: bytes
    uploads: list[tuple[Client, bytes]] = field(default_factory=list)
    downloads: list[Client] = field(default_factory=list)

    def begin(self) -> None:
        for number in range(UNDER_WAY):
            content = sample(BODY_BYTES, f"{self.name} {number}")
            upload, download = self.place.running.connect(), self.place.running.connect()
            self.uploads.append((upload, content))
            self.downloads.append(download)
            upload.send(self._head("PUT", f"/upload/{number}", f"Content-Length: {BODY_BYTES}", "Expect: 100-continue"))
            assert upload.answer().status == 100
            upload.send(content[: BODY_BYTES // 2])
            download.send(self._head("GET", f"/{digest_of(self.large)}"))
            assert download.socket.recv(1, 2) == b"H", "MSG_PEEK: the answer has begun"

    def end(self) -> Harm:
        """Let everything come to its end; what does not is lost."""
        harm = Harm()
        for number, (upload, content) in enumerate(self.uploads):
            status = self._finish(upload, content)
            if status == 201:
                self.place.kept[digest_of(content).hex] = content
            else:
                harm.lost.add(f"upload {number} was under way, and had {status}")
        for number, download in enumerate(self.downloads):
            if self._rest(download) != self.large:
                harm.lost.add(f"download {number} was under way, and was cut")
        return harm

    def _head(self, method: str, path: str, *lines: str) -> str:
        given = (f"{method} {path} HTTP/1.1", "Host: x", f"Authorization: Bearer {self.place.user.key}", *lines)
        return "".join(f"{line}\r\n" for line in (*given, ""))

    @staticmethod
    def _finish(upload: Client, content: bytes) -> int:
        with upload, suppress(OSError, EOFError):
            return upload.send(content[BODY_BYTES // 2 :]).answer().status
        return 0

    @staticmethod
    def _rest(download: Client) -> bytes:
        with download, suppress(OSError, EOFError):
            return download.answer().body
        return b""


@contextmanager
def arriving(place: Place, name: str) -> Iterator[Harm]:
    """Clients who begin new requests all the time, each on a new connection; none of them may be turned away."""
    harm, over = Harm(), threading.Event()

    def client(number: int) -> None:
        turn = 0
        while not over.is_set():
            turn += 1
            content = sample(1000, f"{name} {number} {turn}")
            for status in (place.upload(content).status, place.ask("GET", f"/{digest_of(content)}").status):
                if status not in (200, 201):
                    harm.lost.add(f"a request that came meanwhile had {status}")

    with ThreadPoolExecutor(4) as pool:
        clients = [pool.submit(client, number) for number in range(4)]
        try:
            yield harm
        finally:
            over.set()
    for each in clients:
        each.result()


def reloads(folder: Path, url: str, cases: int) -> Iterator[Outcome]:
    """So many SIGHUPs to one service."""
    tally = Tally(f"SIGHUP, {2 * UNDER_WAY} requests under way and 4 clients arriving", planned=cases)
    large = sample(LARGE_BYTES, "large")
    with serving(folder, url, **GRACE) as place:
        assert place.upload(large).status == 201
        for number in range(cases):
            old = {worker.pid for worker in place.workers()}
            under_way = UnderWay(place, f"reload {number}", large)
            with arriving(place, f"arriving {number}") as turned_away:
                under_way.begin()
                place.running.process.send_signal(signal.SIGHUP)
                until(lambda old=old: len({worker.pid for worker in place.workers()} - old) == len(old))
                harm = under_way.end()
                until(lambda old=old: not old & {worker.pid for worker in place.workers()})
            harm |= turned_away
            harm |= place.look()
            yield tally.count(harm, f"reload {number}: ")
        yield tally.count(place.look_after_upkeep(), "in the end: ", cases=0)


def stops(
    folder: Path, url: str, cases: int, settings: dict[str, int], what: str = "", *, hold_seconds: float = 0
) -> Iterator[Outcome]:
    """So many services, each stopped by SIGTERM; what is under way goes on after `hold_seconds`."""
    tally = Tally(f"SIGTERM, {2 * UNDER_WAY} requests under way{what}", self_test=bool(what), planned=cases)
    large = sample(LARGE_BYTES, "large")
    for number in range(cases):
        with serving(folder / str(number), url, **settings) as place:
            assert place.upload(large).status == 201
            under_way = UnderWay(place, f"stop {number}", large)
            under_way.begin()
            place.running.process.terminate()
            until(lambda place=place: _refuses(place))
            threading.Event().wait(hold_seconds)
            harm = under_way.end()
            if place.running.process.wait(60):
                harm.leaked.add("the service did not end with 0")
        yield tally.count(harm, f"stop {number}: ")


def _refuses(place: Place) -> bool:
    try:
        place.running.connect().socket.close()
    except OSError:
        return True
    return False


def run(folder: Path, cases: int) -> Iterator[Outcome]:
    """So many of each; then a stop without grace, which has to be missed."""
    with embedded.running(folder / "postgresql", "18", durable=False) as url:
        upgrade(url)
        yield from reloads(folder / "reloads", url, cases)
        yield from stops(folder / "stops", url, cases, GRACE)
        yield from stops(folder / "planted", url, 1, NO_GRACE, ", no grace", hold_seconds=3)


SCENARIO = Scenario(run, full=20, quick=2)
