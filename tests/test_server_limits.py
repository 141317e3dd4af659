"""The worker's limits: every wait for a client ends, and nobody takes more than a share."""

from __future__ import annotations

import json
import re
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

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


def test_one_address_does_not_take_all_connections(tmp_path: Path) -> None:
    """Otherwise one client that opens silent connections keeps everybody out; and its place is never free again."""
    with serving(tmp_path, max_connections=10, max_connections_per_address=3) as server:
        held = [server.connect() for _ in range(3)]
        for one in held:
            one.send("GET /hello HTTP/1.1\r\nHost: x\r\n\r\n").answer()
        with server.connect() as fourth:
            answer = fourth.answer()
            assert (answer.status, answer.code) == (429, "too_many_connections")
            assert fourth.rest() == b""
        held[0].socket.close()
        eventually(lambda: _served(server))
        for one in held:
            one.__exit__()


def _served(server: Server) -> bool:
    try:
        return server.get("/hello").status == 200
    except OSError:
        return False


def test_a_proxy_has_the_connections_of_all(tmp_path: Path) -> None:
    """Otherwise all who come through one proxy share what one client may have."""
    with serving(tmp_path, max_connections_per_address=1, trusted_proxy_hops=1) as server, server.connect() as one:
        one.send("GET /hello HTTP/1.1\r\nHost: x\r\n\r\n").answer()
        assert server.get("/hello").status == 200


def test_a_refusal_is_logged_with_who_and_what(tmp_path: Path) -> None:
    """Otherwise a person who sees many refusals cannot tell whose they are."""
    with serving(tmp_path) as server:
        server.ask("GET / HTTP/1.1\r\nHost: x\r\nBad Name: 1\r\n\r\n")
        server.ask("GET /broken?secret=1 HTTP/1.1\r\nHost: x\r\n\r\n")
        lines = [json.loads(line) for line in server.log.read_text().splitlines() if '"refused"' in line]
    told = [(line["address"], line["method"], line["path"], line["status"]) for line in lines]
    assert told == [("127.0.0.1", None, None, 400), ("127.0.0.1", "GET", "/broken", 500)]
