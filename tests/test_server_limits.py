"""The worker's limits: every wait for a client ends, and nobody takes more than a share."""

from __future__ import annotations

import re
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import gevent
import pytest
from gevent import socket as green

from blobstore import wire
from blobstore.errors import TooManyBodies, TooSlow
from blobstore.incoming import MIN_PIECE_BYTES, PIECE_BYTES, Bodies, network
from blobstore.server import client_address
from blobstore.wire import BodyPace, ClientGone, HeadPace, Wire
from tests.served import Client, Server, eventually, serving


@pytest.fixture(scope="module")
def hasty(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A worker without patience. It answers late requests only: no test may expect it to wait for its client."""
    with serving(
        tmp_path_factory.mktemp("hasty"),
        header_timeout_seconds=1,
        idle_timeout_seconds=1,
        keepalive_seconds=1,
        GRACE_SECONDS=2,
    ) as running:
        yield running


@pytest.fixture(scope="module")
def narrow(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A worker behind one proxy with two bodies per address."""
    with serving(tmp_path_factory.mktemp("narrow"), max_bodies_per_address=2, trusted_proxy_hops=1) as running:
        yield running


def drip(client: Client, byte: bytes, pause_seconds: float) -> None:
    """Send byte after byte until the server has had enough."""
    try:
        while True:
            client.send(byte)
            time.sleep(pause_seconds)
            client.socket.setblocking(False)
            try:
                if client.socket.recv(1, socket.MSG_PEEK) is not None:
                    return
            except BlockingIOError:
                client.socket.settimeout(60)
    except ConnectionError:
        return
    finally:
        client.socket.settimeout(60)


def test_silence_is_closed_without_a_word(hasty: Server) -> None:
    """Otherwise connections that say nothing fill the worker."""
    with hasty.connect() as client:
        assert client.rest() == b""


def test_an_idle_connection_is_closed_without_a_word(hasty: Server) -> None:
    """Otherwise every client keeps its connection for ever, or gets an answer to what it never asked."""
    with hasty.connect() as client:
        assert client.send("GET /hello HTTP/1.1\r\nHost: x\r\n\r\n").answer().status == 200
        assert client.rest() == b""


@pytest.mark.parametrize("first", ["", "GET /hello HTTP/1.1\r\nHost: x\r\n\r\n"])
def test_a_head_that_drips_is_refused(hasty: Server, first: str) -> None:
    """Otherwise a byte a second keeps a connection open for ever (slowloris), at once or behind a good request."""
    with hasty.connect() as client:
        if first:
            client.send(first).answer()
        client.send("GET /hello HTTP/1.1\r\nX-Long: ")
        drip(client, b"a", 0.1)
        answer = client.answer()
        assert (answer.status, answer.code, answer.headers["connection"]) == (408, "too_slow", "close")
        assert client.rest() == b""


@pytest.mark.parametrize("framing", ["Content-Length: 100000", "Transfer-Encoding: chunked"])
def test_a_body_that_stalls_is_refused(hasty: Server, framing: str) -> None:
    """Otherwise a client that went to sleep holds a staged file for ever."""
    with hasty.connect() as client:
        answer = client.send(f"PUT /swallow HTTP/1.1\r\nHost: x\r\n{framing}\r\n\r\n7\r\nab").answer()
        assert (answer.status, answer.code, answer.headers["connection"]) == (408, "too_slow", "close")
        assert client.rest() == b""


def test_a_body_that_drips_is_refused(hasty: Server) -> None:
    """Otherwise a byte every second is enough to hold a place for years."""
    with hasty.connect() as client:
        client.send("PUT /swallow HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n")
        drip(client, b"a", 0.1)
        assert client.answer().code == "too_slow"


def test_the_application_hears_of_a_stall_each_time(hasty: Server) -> None:
    """Otherwise the second read of a stalled body waits once more."""
    answer = hasty.ask("PUT /patient HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\nabc")
    assert answer.text == "TooSlow TooSlow"


def test_a_reader_that_takes_nothing_is_cut(hasty: Server) -> None:
    """Otherwise a client that never reads its answer holds a file and a place for ever."""
    with hasty.connect() as client:
        client.send("GET /big HTTP/1.1\r\nHost: x\r\n\r\n")
        eventually((hasty.data / "answer-ended").exists)
        with pytest.raises((EOFError, ConnectionResetError)):
            client.answer()


def test_a_slow_reader_is_not_cut() -> None:
    """Otherwise a long kernel buffer makes a reader that takes bytes all the time look like one that takes none."""
    ours, theirs = tcp_pair(receive_buffer_bytes=64 << 10)
    ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)
    body = bytes(6 << 20)
    sending = gevent.spawn(Wire(ours, idle_seconds=0.5).sendall, body)
    taken = 0
    for _ in range(25):
        taken += len(theirs.recv(64 << 10))
        gevent.sleep(0.1)
        assert sending.exception is None
    while taken < len(body):
        taken += len(theirs.recv(1 << 20))
    sending.get(timeout=60)
    ours.close()
    theirs.close()


def test_a_late_worker_does_not_blame_the_client() -> None:
    """Otherwise a worker that was busy for too long refuses a body that is there."""
    ours, theirs = tcp_pair()
    wire_of_ours = Wire(ours, idle_seconds=1)
    pace = wire_of_ours.pace = BodyPace(idle_seconds=1, min_rate_bytes=0)
    pace.spent(5, 0)
    theirs.sendall(b"here")
    gevent.sleep(0.1)
    assert wire_of_ours.recv(10) == b"here"
    pace.spent(5, 0)
    with pytest.raises(TooSlow):
        wire_of_ours.recv(10)
    theirs.close()
    assert wire_of_ours.recv(10) == b""
    ours.close()


def tcp_pair(receive_buffer_bytes: int = 1 << 20) -> tuple[Any, Any]:
    """Two ends of one connection, for greenlets."""
    with green.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        theirs = green.socket()
        theirs.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer_bytes)
        theirs.connect(listener.getsockname())
        ours, _ = listener.accept()
    return ours, theirs


def test_sending_to_nobody_is_one_error() -> None:
    """Otherwise each way in which a client can vanish needs its own care."""
    ours, theirs = tcp_pair()
    theirs.close()
    with pytest.raises(ClientGone):
        Wire(ours, idle_seconds=60).sendall(bytes(64 << 20))
    ours.close()


def test_the_average_counts_after_the_grace(monkeypatch: pytest.MonkeyPatch) -> None:
    """Otherwise the rule of 1 KiB/s after 10 s is another one."""
    monkeypatch.setattr(wire, "GRACE_SECONDS", 10.0)
    pace = BodyPace(idle_seconds=30, min_rate_bytes=1024)
    assert pace.patience() == 10
    pace.spent(4, 1)
    assert pace.patience() == 6
    pace.spent(1, 40 * 1024)
    assert pace.patience() == 30
    pace.spent(29, 0)
    assert pace.patience() == 1
    pace.spent(0.5, 1)
    assert pace.patience() == pytest.approx(40 - 34.5, abs=0.01)


def test_a_head_has_two_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Otherwise an idle connection may stay as long as a slow head, or outlives a stop."""
    now = 100.0
    monkeypatch.setattr(wire, "monotonic", lambda: now)
    welcome = True
    pace = HeadPace(5, 10, lambda: welcome, 4)
    now += 3
    assert pace.patience() == 2
    welcome = False
    assert pace.patience() == 1
    pace.spent(3, 1)
    assert pace.patience() == 10
    pace.spent(4, 1)
    now += 9
    assert pace.patience() == 1


def test_bodies_are_counted_by_address() -> None:
    """Otherwise one client takes every place, or loses places that it has given back."""
    bodies = Bodies(2)
    with bodies.admitted("1.2.3.4"), bodies.admitted("::ffff:1.2.3.4"), bodies.admitted("1.2.3.5"):
        with pytest.raises(TooManyBodies), bodies.admitted("1.2.3.4"):
            pass
    with bodies.admitted("1.2.3.4"):
        pass


def test_more_bodies_make_smaller_turns() -> None:
    """Otherwise eight large uploads make every small request wait for eight MiB."""
    bodies = Bodies(100)
    assert bodies.piece_bytes == PIECE_BYTES
    with bodies.admitted("a"):
        assert bodies.piece_bytes == PIECE_BYTES
        with bodies.admitted("b"), bodies.admitted("c"), bodies.admitted("d"):
            assert bodies.piece_bytes == PIECE_BYTES // 4
            with ExitStack() as many:
                for number in range(20):
                    many.enter_context(bodies.admitted(str(number)))
                assert bodies.piece_bytes == MIN_PIECE_BYTES
    assert bodies.piece_bytes == PIECE_BYTES


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("1.2.3.4", "1.2.3.4", True),
        ("1.2.3.4", "1.2.3.5", False),
        ("::ffff:1.2.3.4", "1.2.3.4", True),
        ("2001:db8:1:2::1", "2001:db8:1:2:ffff::9", True),
        ("2001:db8:1:2::1", "2001:0DB8:1:2::1", True),
        ("2001:db8:1:2::1", "2001:db8:1:3::1", False),
        ("fe80::1%eth0", "fe80::2%eth0", True),
        ("", "", True),
        ("unknown", "_hidden", False),
    ],
)
def test_what_is_one_client(one: str, other: str, same: bool) -> None:
    """Otherwise an IPv6 host has 2**64 addresses to be many, or two neighbours share one limit."""
    assert (network(one) == network(other)) is same


@pytest.mark.parametrize(
    ("hops", "forwarded", "address"),
    [
        (0, ["9.9.9.9"], "1.1.1.1"),
        (1, ["9.9.9.9, 8.8.8.8"], "8.8.8.8"),
        (1, ["9.9.9.9", "8.8.8.8"], "8.8.8.8"),
        (2, ["7.7.7.7, 9.9.9.9,8.8.8.8"], "9.9.9.9"),
        (2, ["8.8.8.8"], "1.1.1.1"),
        (1, [], "1.1.1.1"),
    ],
)
def test_the_address_behind_proxies(hops: int, forwarded: list[str], address: str) -> None:
    """Otherwise a client chooses its own address, or all clients of a proxy share one."""
    request: Any = SimpleNamespace(headers=[("HOST", "x"), *(("X-FORWARDED-FOR", value) for value in forwarded)])
    assert client_address(request, ("1.1.1.1", 5), hops) == address


def start_upload(server: Server, address: str) -> Client:
    """An upload that is under way: its invitation came."""
    client = server.connect()
    lines = f"Host: x\r\nX-Forwarded-For: {address}\r\nContent-Length: 5\r\nExpect: 100-continue"
    assert client.send(f"PUT /swallow HTTP/1.1\r\n{lines}\r\n\r\n").answer().status == 100
    return client


def test_too_many_bodies_of_one_address(narrow: Server) -> None:
    """Otherwise one client holds all places, or all clients behind our proxy are one."""
    with start_upload(narrow, "5.5.5.5") as first, start_upload(narrow, "5.5.5.5"), start_upload(narrow, "6.6.6.6"):
        lines = "Host: x\r\nX-Forwarded-For: 5.5.5.5\r\nContent-Length: 9\r\n\r\n"
        with narrow.connect() as client:
            answer = client.send(f"PUT /swallow HTTP/1.1\r\n{lines}abc").answer()
            assert (answer.status, answer.code, answer.headers["connection"]) == (429, "too_many_bodies", "close")
            assert re.fullmatch(r"[1-9]\d*", answer.headers["retry-after"])
            assert client.rest() == b""
        assert narrow.ask(f"PUT /swallow HTTP/1.1\r\n{lines}abcdefghi").status == 200
        assert first.send("abcde").answer().status == 200
        start_upload(narrow, "5.5.5.5").reset()


def test_too_many_connections_wait(tmp_path: Path) -> None:
    """Otherwise a flood of connections takes all descriptors of the worker."""
    with serving(tmp_path, max_connections=2) as server, server.connect() as one, server.connect() as two:
        for client in (one, two):
            client.send("GET /hello HTTP/1.1\r\nHost: x\r\n\r\n").answer()
        with server.connect() as three:
            three.send("GET /hello HTTP/1.1\r\nHost: x\r\n\r\n").socket.settimeout(0.5)
            with pytest.raises(TimeoutError):
                three.socket.recv(1)
            three.socket.settimeout(60)
            one.end()
            assert three.answer().status == 200
