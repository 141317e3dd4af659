"""A flood of wrong passwords, as a process of its own: `python -m bench.guesses PORT RATE SECONDS AT`.

Each second so many requests begin, as long as no more than THREADS wait for their answers. `AT` is `one`: always at the
same account from one address; `many`: each time at another one; or `everywhere`: the same from THREADS addresses.
Standard output gets a line `STATUS COUNT` for each status.
"""

from __future__ import annotations

import secrets
import sys
import time
from base64 import b64encode
from collections import Counter
from http.client import HTTPConnection, HTTPException
from itertools import count
from threading import Thread

from bench.servers import USER

THREADS = 64


class Flood:
    """So many wrong passwords a second, for so long."""

    def __init__(self, port: int, rate: float, seconds: float, at: str) -> None:
        self._port, self._rate, self._at = port, rate, at
        self._turns, self._started = count(), time.monotonic()
        self._end = self._started + seconds
        self.answers: Counter[str] = Counter()

    def run(self) -> None:
        """Guess to the end."""
        hosts = range(1, THREADS + 1) if self._at == "everywhere" else [1] * THREADS
        threads = [Thread(target=self._guess_in_turn, args=(f"127.0.1.{host}",)) for host in hosts]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    def _guess_in_turn(self, address: str) -> None:
        connection = HTTPConnection("127.0.0.1", self._port, timeout=60, source_address=(address, 0))
        for turn in self._turns:
            time.sleep(max(self._started + turn / self._rate - time.monotonic(), 0))
            if time.monotonic() > self._end:
                return
            self.answers[self._guess(connection)] += 1

    def _guess(self, connection: HTTPConnection) -> str:
        name = USER if self._at == "one" else secrets.token_hex(8)
        shown = b64encode(f"{name}:{secrets.token_hex(8)}".encode()).decode()
        try:
            connection.request("GET", "/api/v1/me/quota", headers={"Authorization": f"Basic {shown}"})
            answer = connection.getresponse()
            answer.read()
        except (OSError, HTTPException):
            connection.close()
            return "lost"
        return str(answer.status)


def main(port: int, rate: float, seconds: float, at: str) -> None:
    """Guess, then print."""
    flood = Flood(port, rate, seconds, at)
    flood.run()
    for status, times in sorted(flood.answers.items()):
        print(status, times)


if __name__ == "__main__":
    main(int(sys.argv[1]), float(sys.argv[2]), float(sys.argv[3]), sys.argv[4])
