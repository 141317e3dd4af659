"""The wire: how long it waits for whom, in both directions."""

from __future__ import annotations

import fcntl
import socket
import struct
import termios
from typing import Any

import gevent
import pytest
from gevent import socket as green

from blobstore import wire
from blobstore.errors import TooSlow
from blobstore.wire import BodyPace, ClientGone, HeadPace, Wire


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


def test_a_body_that_drips_wakes_nobody_for_every_byte(monkeypatch: pytest.MonkeyPatch) -> None:
    """Otherwise hundreds of clients that send a byte now and then keep the worker busy and delay everybody."""
    monkeypatch.setattr(wire, "_LONG_TICK_SECONDS", 0.5)
    ours, theirs = tcp_pair()

    def drip() -> None:
        for _ in range(100):
            theirs.sendall(b"x")
            gevent.sleep(0.01)

    dripping = gevent.spawn(drip)
    wire_of_ours = Wire(ours, idle_seconds=10)
    wire_of_ours.recv(1, 1)
    assert len(wire_of_ours.recv(1 << 20, 1 << 20)) > 10
    dripping.get(timeout=60)
    ours.close()
    theirs.close()


def test_the_last_bytes_of_a_body_wake_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Otherwise a body whose end is shorter than what a reader waits for is answered seconds late."""
    monkeypatch.setattr(wire, "_LONG_TICK_SECONDS", 3600.0)
    ours, theirs = tcp_pair()
    wire_of_ours = Wire(ours, idle_seconds=3600)
    for size in (wire.LEAST_BYTES, 100, 1):
        theirs.sendall(bytes(size))
        with gevent.Timeout(60):
            assert len(wire_of_ours.recv(1 << 20, size)) == size
    theirs.close()
    with gevent.Timeout(60):
        assert wire_of_ours.recv(1 << 20, 1000) == b""
    ours.close()


def test_a_reader_that_reads_nothing_gets_little_of_the_answer() -> None:
    """Otherwise a few hundred of them have gigabytes copied for them, while all others wait."""
    ours, theirs = tcp_pair(receive_buffer_bytes=4096)
    sending = gevent.spawn(Wire(ours, idle_seconds=60).sendall, bytes(64 << 20))
    gevent.sleep(0.5)
    (untaken,) = struct.unpack("i", fcntl.ioctl(ours.fileno(), termios.TIOCOUTQ, b"\0\0\0\0"))
    assert 0 < untaken < 1 << 20
    sending.kill()
    ours.close()
    theirs.close()


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
