"""Small requests beside large and slow ones."""

from __future__ import annotations

import hashlib
import secrets
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from statistics import median
from threading import Event, Thread

from bench import loads
from bench.large import send_raw
from bench.loads import AUTHORIZATION, curl
from bench.plan import Plan
from bench.report import Row
from bench.running import Server, end
from bench.servers import PASSWORD, add_users, blobstore

UPLOADS = 8
SLOW_CLIENTS = 200
ADDRESSES = 10
LOGINS = 5


def beside_uploads(plan: Plan) -> Iterator[Row]:
    """p99 of small downloads, idle and while large uploads go on; two connections, so that it is latency."""
    server = plan.servers.blobstore
    path = plan.folder / "beside"
    path.write_bytes(secrets.token_bytes(4096))
    send_raw(server, path)
    url = f"{server.url}/{hashlib.sha256(path.read_bytes()).hexdigest()}"
    seconds = plan.seconds
    idle = loads.get(url, seconds, connections=2)
    with _uploading(plan, server):
        busy = loads.get(url, seconds, connections=2)
    plan.remove_blobs()
    what = f"p99 of a small GET beside {UPLOADS} large uploads"
    yield Row(what, busy.p99_milliseconds, "ms", "idle", idle.p99_milliseconds, "≤ 5")


@contextmanager
def _uploading(plan: Plan, server: Server) -> Iterator[None]:
    """UPLOADS curls, each sending large files one after the other."""
    urls = [f"{server.url}/upload/beside-{number}" for number in range(UPLOADS)]
    command = [
        "curl",
        "-sS",
        "-o",
        "/dev/null",
        "-H",
        f"Authorization: {AUTHORIZATION}",
        "-T",
        str(plan.content.renew()),
    ]
    processes = [subprocess.Popen([*command, *[url] * 100]) for url in urls]
    try:
        time.sleep(0.5)
        yield
    finally:
        for process in processes:
            end(process)


def beside_slow_clients(plan: Plan) -> Iterator[Row]:
    """A login and a download, alone and beside clients that send one byte a second, with a pool of 5 connections."""
    with blobstore(plan.folder / "slow", POOL_SIZE=5, MAX_OVERFLOW=0, BLOBSTORE_WORKERS=1) as server:
        add_users(server.folder, *(f"user{number}" for number in range(2 * LOGINS)))
        path = plan.folder / "slow-small"
        path.write_bytes(secrets.token_bytes(4096))
        send_raw(server, path)
        url = f"{server.url}/{hashlib.sha256(path.read_bytes()).hexdigest()}"
        alone = _times(server, url, 0)
        with _slow_clients(server):
            beside = _times(server, url, LOGINS)
    for what, ours, theirs in zip(("login", "small download"), beside, alone, strict=True):
        yield Row(f"{what} beside {SLOW_CLIENTS} slow clients", ours, "ms", "idle", theirs, "no delay")


def _times(server: Server, url: str, first: int) -> tuple[float, float]:
    """Milliseconds of a first login, which runs argon2, and of a download; medians."""
    users = [f"user{number}" for number in range(first, first + LOGINS)]
    logins = [curl("-u", f"{user}:{PASSWORD}", f"{server.url}/api/v1/me/quota") for user in users]
    return median(logins) * 1000, median(curl(url) for _ in range(LOGINS)) * 1000


@contextmanager
def _slow_clients(server: Server) -> Iterator[None]:
    """They have begun to send, and go on as long as the block."""
    head = f"PUT /upload/slow HTTP/1.1\r\nHost: x\r\nAuthorization: {AUTHORIZATION}\r\nContent-Length: 1000000\r\n\r\n"
    over = Event()
    with ExitStack() as stack:
        clients = []
        for number in range(SLOW_CLIENTS):
            # From several addresses: one may have only so many bodies under way.
            source = (f"127.0.0.{2 + number % ADDRESSES}", 0)
            client = stack.enter_context(socket.create_connection(("127.0.0.1", server.port), 10, source))
            client.sendall(head.encode())
            clients.append(client)
        dripping = Thread(target=_drip, args=(clients, over))
        dripping.start()
        try:
            time.sleep(1.5)
            yield
            _check_all_alive(clients)
        finally:
            over.set()
            dripping.join()


def _drip(clients: list[socket.socket], over: Event) -> None:
    while not over.is_set():
        for client in clients:
            client.sendall(b"x")
        over.wait(1)


def _check_all_alive(clients: list[socket.socket]) -> None:
    for client in clients:
        client.setblocking(False)
        try:
            said = client.recv(1)
        except BlockingIOError:
            continue
        raise RuntimeError(f"a slow client was answered, or cut ({said!r}): it was no load")
