"""Blobs into a docker-registry: POST begins an upload, PUT to where it says sends the bytes and their digest."""

from __future__ import annotations

import hashlib
import http.client
import secrets
import subprocess
import sys
import time
from pathlib import Path
from threading import Thread
from urllib.parse import urlsplit

from bench.loads import CONNECTIONS, curl
from bench.running import Server

PROCESSES = 2
_UPLOADS = "/v2/bench/blobs/uploads/"


def put_large(registry: Server, path: Path, sha256: str) -> float:
    """The seconds that one file takes: both requests."""
    started = time.monotonic()
    connection = http.client.HTTPConnection("127.0.0.1", registry.port, timeout=60)
    where = _begin(connection)
    connection.close()
    begun = time.monotonic() - started
    return begun + curl("-T", str(path), f"{registry.url}{where}&digest=sha256:{sha256}")


def blob_url(registry: Server, sha256: str) -> str:
    """Where a blob is read."""
    return f"{registry.url}/v2/bench/blobs/sha256:{sha256}"


def put_small(registry: Server, seconds: int) -> float:
    """New contents of 4 KiB per second, over as many connections as wrk has; one process of ours would be the limit."""
    command = [sys.executable, "-m", "bench.container", str(registry.port), str(seconds)]
    processes = [
        subprocess.Popen(command, stdout=subprocess.PIPE, cwd=Path(__file__).parents[1]) for _ in range(PROCESSES)
    ]
    counts = [int(process.communicate(timeout=seconds + 60)[0] or 0) for process in processes]
    return sum(counts) / seconds


def _begin(connection: http.client.HTTPConnection) -> str:
    connection.request("POST", _UPLOADS, headers={"Content-Length": "0"})
    answer = connection.getresponse()
    answer.read()
    parts = urlsplit(answer.headers["Location"])
    return f"{parts.path}?{parts.query}"


def _put(connection: http.client.HTTPConnection, body: bytes) -> None:
    where = f"{_begin(connection)}&digest=sha256:{hashlib.sha256(body).hexdigest()}"
    connection.request("PUT", where, body)
    answer = connection.getresponse()
    answer.read()
    if answer.status != 201:
        raise RuntimeError(f"docker-registry answers {answer.status}")


def _put_until(port: int, end: float, counts: list[int]) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    count, padding = 0, bytes(4096 - 16)
    while time.monotonic() < end:
        _put(connection, secrets.token_bytes(16) + padding)
        count += 1
    counts.append(count)


def _main(port: int, seconds: int) -> None:
    counts: list[int] = []
    end = time.monotonic() + seconds
    threads = [Thread(target=_put_until, args=(port, end, counts)) for _ in range(CONNECTIONS // PROCESSES)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if len(counts) < len(threads):
        raise SystemExit(1)
    print(sum(counts))


if __name__ == "__main__":
    _main(int(sys.argv[1]), int(sys.argv[2]))
