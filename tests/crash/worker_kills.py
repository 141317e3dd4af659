"""kill -9 of a worker of the running service in the middle of uploads, over and over.

Each time several clients have sent half of their bodies, and the worker that holds most of them dies: as they are, or
while the rest is on its way, so that it dies anywhere up to the answer. A client without an answer sends again.

    what was acknowledged is served, whole; what was not is told the truth when it is sent again
    nothing is staged any more, and after upkeep nothing is there that nobody has
    the service goes on
"""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

from blobstore.serve import APPLICATION
from tests.children import until
from tests.crash.changes import NAMED
from tests.crash.judging import Harm
from tests.crash.places import Place, postgresql, serving
from tests.crash.table import Outcome, Scenario
from tests.crash.tally import Tally
from tests.served import Client
from tests.storage.contract import digest_of, sample

CLIENTS = 4
SIZE_BYTES = 300_000
LOOK_EVERY = 20
MOST_SECONDS = 0.03
"""Longer than what is left of an upload takes."""
STORED = (200, 201)
BUG = "recorded long before it is published"
WAYS = {
    "kill -9 of a worker in mid-upload": APPLICATION,
    f"kill -9 of a worker in mid-upload, {NAMED}": f"tests.crash.changes:application({NAMED!r})",
}


@dataclass
class Upload:
    """A content on its way over a connection of its own."""

    content: bytes
    client: Client
    whole: bool = False
    """Whether all of it was sent."""

    def finish(self) -> None:
        """Send the rest, if that was not done."""
        if not self.whole:
            self.whole = True
            self.client.send(self.content[SIZE_BYTES // 2 :])


class Kills:
    """Kills the workers of one service; the moments are the seed's."""

    def __init__(self, place: Place, seed: int) -> None:
        self._place, self._random = place, random.Random(seed)
        self._made = 0

    def kill(self) -> None:
        """Let one worker die in the middle of uploads; every client is told in the end that it is stored."""
        uploads = [self._begin() for _ in range(CLIENTS)]
        until(lambda: len(self._staged()) == CLIENTS)
        if self._random.random() < 0.5:
            for upload in uploads:
                upload.finish()
            time.sleep(self._random.uniform(0, MOST_SECONDS))
        (busiest, _), *_ = Counter(pid for pid, _ in self._staged()).most_common(1) or [(None, 0)]
        next(worker for worker in self._place.workers() if busiest in (None, worker.pid)).kill()
        for upload in uploads:
            self._end(upload)

    def look(self) -> Harm:
        """What is wrong; afterwards everything is deleted."""
        until(lambda: not self._staged())
        harm = self._place.look_after_upkeep()
        for content in list(self._place.kept.values()):
            if self._place.delete(content).status != 200:
                harm.lost.add(f"{digest_of(content)} cannot be deleted")
        assert self._place.running.process.poll() is None
        return harm

    def _begin(self) -> Upload:
        """Half of a new content is sent."""
        self._made += 1
        content = sample(SIZE_BYTES, f"{self._made}")
        head = [
            f"PUT /{digest_of(content)} HTTP/1.1",
            "Host: x",
            f"Authorization: Bearer {self._place.user.key}",
            f"Content-Length: {SIZE_BYTES}",
        ]
        client = Client(self._place.running.port)
        client.send("\r\n".join([*head, "", ""])).send(content[: SIZE_BYTES // 2])
        return Upload(content, client)

    def _end(self, upload: Upload) -> None:
        """Hear that it is stored, or send it again until it is."""
        try:
            with upload.client:
                upload.finish()
                stored = upload.client.answer().status in STORED
        except (OSError, EOFError):
            stored = False
        if stored:
            self._place.kept[digest_of(upload.content).hex] = upload.content
        else:
            until(lambda: self._place.upload(upload.content, "by its digest").status in STORED)

    def _staged(self) -> list[tuple[int, int]]:
        """The worker and the bytes of every upload of which a good part is staged."""
        root = str(self._place.store.settings.store)
        found = []
        for worker in self._place.workers():
            with suppress(OSError, psutil.Error):
                for descriptor in Path(f"/proc/{worker.pid}/fd").iterdir():
                    with suppress(OSError):
                        if str(descriptor.readlink()).startswith(f"{root}/"):
                            found.append((worker.pid, descriptor.stat().st_size))
        return [(pid, size) for pid, size in found if size >= SIZE_BYTES // 4]


def run(folder: Path, cases: int) -> Iterator[Outcome]:
    """Half of the kills with each way of staging; then a service that records too early."""
    with postgresql(folder) as url:
        for number, (title, application) in enumerate(WAYS.items()):
            with serving(folder / str(number), url, workers=2, application=application) as place:
                yield from _kill_all(Tally(title), place, cases // 2)
        planted = f"tests.crash.changes:application({BUG!r})"
        with serving(folder / "planted", url, workers=2, application=planted) as place:
            yield from _kill_all(Tally(f"kill -9 of a worker, {BUG}", self_test=True), place, LOOK_EVERY)


def _kill_all(tally: Tally, place: Place, cases: int) -> Iterator[Outcome]:
    tally.planned = cases
    kills = Kills(place, seed=cases)
    for done in range(1, cases + 1):
        kills.kill()
        look = done % LOOK_EVERY == 0 or done == cases
        yield tally.count(kills.look() if look else Harm(), f"after {done} kills: ")


SCENARIO = Scenario(run, full=200, quick=10)
