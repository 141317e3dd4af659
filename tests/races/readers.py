"""Clients that ask the same again and again while somebody takes it from them, and which of them came in too late."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from itertools import cycle, islice
from threading import Event, Thread

import psutil

from tests.live import Service, suspended
from tests.served import Client, eventually

READERS = 32
BEFORE, AFTER = 3, 5
"""How often each gets in at least before it is over, and how often each asks afterwards."""


@dataclass
class Reader:
    """One connection; `answers` are (when the request began, its status)."""

    client: Client
    request: bytes
    answers: list[tuple[float, int]] = field(default_factory=list)

    def ask(self) -> None:
        began = time.monotonic()
        self.answers.append((began, self.client.send(self.request).answer().status))

    def read(self, over: Event) -> None:
        """Ask until it is over, and then a few times more."""
        while not over.is_set():
            self.ask()
        for _ in range(AFTER):
            self.ask()


def came_in(answers: list[tuple[float, int]]) -> list[float]:
    """When the requests began that were answered with what they asked for."""
    return [began for began, status in answers if status < 400]


def late(readers: list[Reader], over_at: float) -> list[float]:
    """How long after the end the requests began that came in all the same."""
    return [began - over_at for reader in readers for began in came_in(reader.answers) if began > over_at]


def at_every_worker(live: Service, requests: list[bytes], stack: ExitStack) -> list[Reader]:
    """READERS connections, as many of each kind at each worker: while one accepts, the others stand still."""
    workers = psutil.Process(live.process.pid).children()
    found = []
    for worker in workers:
        kinds = islice(cycle(requests), READERS // len(workers))
        with suspended([other for other in workers if other != worker]):
            mine = [Reader(stack.enter_context(live.connect()), request) for request in kinds]
            for reader in mine:
                reader.ask()
        found += mine
    return found


def read_until(live: Service, requests: list[bytes], end: Callable[[], None]) -> tuple[list[Reader], float]:
    """The readers, and the moment when the answer of `end` had arrived, which takes away what they read."""
    over = Event()
    with ExitStack() as stack:
        readers = at_every_worker(live, requests, stack)
        threads = [Thread(target=reader.read, args=(over,)) for reader in readers]
        for thread in threads:
            thread.start()
        try:
            eventually(lambda: min(len(came_in(reader.answers)) for reader in readers) >= BEFORE)
            end()
            over_at = time.monotonic()
        finally:
            over.set()
            for thread in threads:
                thread.join()
    return readers, over_at
