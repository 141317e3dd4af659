"""Hundreds of slow clients of each kind: what others feel, and whether everything goes back to where it was."""

from __future__ import annotations

import hashlib
import secrets
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from threading import Event, Thread

from bench import loads
from bench.large import send_raw
from bench.loads import AUTHORIZATION
from bench.plan import Plan
from bench.report import Row
from bench.running import Server
from bench.servers import blobstore

CLIENTS = 500
ADDRESSES = 10
LARGE_BYTES = 64 << 20
CALM_SECONDS = 60.0
TURNS = 50
"""In each second the clients drip in so many groups, one after the other: strangers are not in step."""
MIB = 1 << 20


@dataclass(frozen=True)
class Kind:
    """What each client sends at first, and then again and again; a reader with a small buffer reads nothing."""

    what: str
    first: str
    drip: bytes = b""
    small_buffer: bool = False


@dataclass(frozen=True)
class Held:
    """What the only worker holds."""

    connections: int
    staged: int
    memory_mib: float


def slow_clients(plan: Plan) -> Iterator[Row]:
    """p99 of a small download, alone and beside 500 slow clients; then what the worker still holds."""
    with blobstore(plan.folder / "many", BLOBSTORE_WORKERS=1) as server:
        small, large = (_send(server, plan.folder / name, size) for name, size in (("s", 4096), ("l", LARGE_BYTES)))
        _p99(plan, server, small)
        for kind in _kinds(large):
            yield from _beside(plan, server, kind, small)


def _send(server: Server, path: Path, size: int) -> str:
    path.write_bytes(secrets.token_bytes(size))
    send_raw(server, path)
    return "/" + hashlib.sha256(path.read_bytes()).hexdigest()


def _kinds(large: str) -> Iterator[Kind]:
    put = f"PUT /upload/slow HTTP/1.1\r\nHost: x\r\nAuthorization: {AUTHORIZATION}\r\n"
    yield Kind("slow heads", "GET /health HTTP/1.1\r\nHost: x\r\nX-Long: ", b"x")
    yield Kind("slow bodies", put + "Content-Length: 1000000\r\n\r\n", b"x")
    yield Kind("slow chunked bodies", put + "Transfer-Encoding: chunked\r\n\r\n", b"1\r\nx\r\n")
    yield Kind("readers that read nothing", f"GET {large} HTTP/1.1\r\nHost: x\r\n\r\n", small_buffer=True)
    yield Kind("idle connections", "GET /health HTTP/1.1\r\nHost: x\r\n\r\n")


@dataclass(frozen=True)
class Round:
    """Once alone, once beside the clients, once after them. p99s in milliseconds."""

    alone: float
    beside: float
    before: Held
    during: Held
    after: Held
    calm_seconds: float


def _beside(plan: Plan, server: Server, kind: Kind, small: str) -> Iterator[Row]:
    rounds = [_round(plan, server, kind, small) for _ in range(plan.repeats)]
    beside, alone = median(one.beside for one in rounds), median(one.alone for one in rounds)
    last, what = rounds[-1], f"{CLIENTS} {kind.what}"
    yield Row(f"p99 of a small GET beside {what}", beside, "ms", "alone", alone, "< 2")
    yield Row(f"connections after {what}", last.after.connections, "", "during", last.during.connections)
    yield Row(f"staged after {what}", last.after.staged, "", "during", last.during.staged)
    yield Row(f"memory after {what}", last.after.memory_mib, "MiB", "before", last.before.memory_mib, "≤ 1.1")
    yield Row(f"all gone after {what}", median(one.calm_seconds for one in rounds), "s")


def _round(plan: Plan, server: Server, kind: Kind, small: str) -> Round:
    before, alone = _held(server), _p99(plan, server, small)
    with _clients(server, kind):
        during, beside = _held(server), _p99(plan, server, small)
    after, seconds = _settle(server, before)
    return Round(alone, beside, before, during, after, seconds)


def _p99(plan: Plan, server: Server, path: str) -> float:
    return loads.get(server.url + path, plan.seconds, connections=2).p99_milliseconds


@contextmanager
def _clients(server: Server, kind: Kind) -> Iterator[None]:
    """They have sent what they send at first, and go on as long as the block."""
    over = Event()
    with ExitStack() as stack:
        clients = [stack.enter_context(_connect(server, kind, number)) for number in range(CLIENTS)]
        dripping = Thread(target=_drip, args=(clients, kind.drip, over))
        dripping.start()
        try:
            time.sleep(1.5)
            yield
        finally:
            over.set()
            dripping.join()


def _connect(server: Server, kind: Kind, number: int) -> socket.socket:
    client = socket.socket()
    if kind.small_buffer:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    # From several addresses: one may have only so many bodies under way.
    client.bind((f"127.0.0.{2 + number % ADDRESSES}", 0))
    client.settimeout(10)
    client.connect(("127.0.0.1", server.port))
    client.sendall(kind.first.encode())
    return client


def _drip(clients: list[socket.socket], drip: bytes, over: Event) -> None:
    """One drip a second from each; those that the server has sent away are left alone."""
    groups = [clients[turn::TURNS] for turn in range(TURNS)] if drip else []
    while not over.is_set():
        for turn, group in enumerate(groups):
            groups[turn] = [client for client in group if _sends(client, drip)]
            over.wait(1 / TURNS)
        over.wait(0 if groups else 1)


def _sends(client: socket.socket, drip: bytes) -> bool:
    try:
        client.sendall(drip)
    except OSError:
        return False
    return True


def _held(server: Server) -> Held:
    (worker,) = server.workers()
    connections = [one for one in worker.net_connections("tcp") if one.raddr and one.laddr.port == server.port]
    return Held(len(connections), _staged(worker.pid), worker.memory_info().rss / MIB)


def _staged(pid: int) -> int:
    """How many nameless files the process has open in its store."""
    count = 0
    for descriptor in Path(f"/proc/{pid}/fd").iterdir():
        with suppress(OSError):
            target = str(descriptor.readlink())
            count += "/store/" in target and target.endswith("(deleted)")
    return count


def _settle(server: Server, before: Held) -> tuple[Held, float]:
    """What is held once nothing is staged and no more connections are there than before; and after how long."""
    started = time.monotonic()
    while True:
        held, seconds = _held(server), time.monotonic() - started
        if (held.connections <= before.connections and not held.staged) or seconds > CALM_SECONDS:
            return held, seconds
        time.sleep(0.05)
