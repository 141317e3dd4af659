"""One at a time in this worker, and clients in turns: however many requests one has, another waits for one of them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from gevent.lock import BoundedSemaphore

from blobstore.errors import Busy


@dataclass(slots=True)
class _Line:
    """The requests of one client; the first of them stands in the line of clients."""

    first: BoundedSemaphore = field(default_factory=BoundedSemaphore)
    length: int = 0


class Turns:
    """Besides the one whose turn it is, `waiting` clients may wait, each with as many requests."""

    def __init__(self, waiting: int = 8) -> None:
        self._places = 1 + waiting
        self._running = BoundedSemaphore()
        self._lines: dict[str, _Line] = {}

    @property
    def under_way(self) -> int:
        """How many requests have their turn or wait for it."""
        return sum(line.length for line in self._lines.values())

    @contextmanager
    def turn(self, client: str) -> Iterator[None]:
        """The turn of this request, as long as the block. Raises Busy at once when too many wait already."""
        line = self._lines.get(client)
        if (line.length if line else len(self._lines)) >= self._places:
            raise Busy("too many logins at once")
        line = self._lines.setdefault(client, _Line())
        line.length += 1
        try:
            with line.first, self._running:
                yield
        finally:
            line.length -= 1
            if not line.length:
                self._lines.pop(client, None)
