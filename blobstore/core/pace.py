"""How fast verify reads beside everybody else, and for how long."""

from __future__ import annotations

from time import monotonic, sleep


class Pace:
    """So many bytes a second, for so many seconds from now. To be called with the bytes just read; it waits."""

    def __init__(self, bytes_per_second: int, seconds: float) -> None:
        self._bytes_per_second = bytes_per_second
        self._next = monotonic()
        self._end = self._next + seconds

    def __call__(self, count: int) -> None:
        """Wait until so many bytes may have been read. What was slower than it might have been is not made up for."""
        now = monotonic()
        self._next = max(self._next, now) + count / self._bytes_per_second
        sleep(self._next - now)

    def fits(self, size_bytes: int) -> bool:
        """Whether so many bytes can be read before the end."""
        return monotonic() + size_bytes / self._bytes_per_second <= self._end
