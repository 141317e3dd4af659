"""The worker over raw sockets and curl: what is a request, where its body ends, and what an early answer costs."""

from __future__ import annotations

import hashlib
import os
import re
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.served import GUARD_SECONDS, Client, Server, eventually, serving

SNEAKED = "GET /hello HTTP/1.1\r\nHost: x\r\n\r\n"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One worker with the limits as they are by default."""
    with serving(tmp_path_factory.mktemp("server")) as running:
        yield running


def put(path: str, body: bytes, *headers: str) -> bytes:
    """A PUT with a Content-Length."""
    lines = [f"PUT {path} HTTP/1.1", "Host: x", f"Content-Length: {len(body)}", *headers, "", ""]
    return "\r\n".join(lines).encode() + body


def chunked(path: str, coded: bytes | str) -> bytes:
    """A PUT in the chunked coding, its body as it goes over the wire."""
    head = f"PUT {path} HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n".encode()
    return head + (coded.encode() if isinstance(coded, str) else coded)


def curl(*options: str) -> str:
    """What curl prints; its exit status must be 0."""
    done = subprocess.run(["curl", "-sS", *options], capture_output=True, timeout=GUARD_SECONDS, check=True)
    return done.stdout.decode()


def sha256_of(body: bytes) -> str:
    return f"{hashlib.sha256(body).hexdigest()} {len(body)}"


# A body as it is sent is what the application reads.


@pytest.mark.parametrize("size", [0, 1, 4096, 8191, 8192, 8193, 65_535, 65_537, (1 << 20) + 1, 5_000_000])
def test_a_body_arrives_byte_by_byte(server: Server, size: int) -> None:
    """Otherwise bytes are lost or doubled where the head's buffer ends and the socket begins."""
    body = os.urandom(size)
    coded = b"".join(b"%x;a=b\r\n%s\r\n" % (len(part), part) for part in parts(body, 70_001)) + b"0\r\n\r\n"
    with server.connect() as client:
        for request in (put("/swallow", body), chunked("/swallow", coded), put("/swallow", body)):
            assert client.send(request).answer().text == sha256_of(body)


def parts(body: bytes, size: int) -> list[bytes]:
    return [body[at : at + size] for at in range(0, len(body), size)]


def test_a_body_in_small_packets_arrives(server: Server) -> None:
    """Otherwise a body is taken for complete, or waited for, when its packets do not fall where reads do."""
    body = os.urandom(300)
    with server.connect() as client:
        for request in (put("/swallow", body), chunked("/swallow", b"12c\r\n" + body + b"\r\n0\r\nX-A: b\r\n\r\n")):
            for at in range(0, len(request), 7):
                client.send(request[at : at + 7])
            assert client.answer().text == sha256_of(body)


@pytest.mark.parametrize("how", [("-T", "{}"), ("-T", "-"), ("-T", "{}", "-H", "Expect:"), ("--data-binary", "@{}")])
def test_curl_uploads(server: Server, tmp_path: Path, how: tuple[str, ...]) -> None:
    """Otherwise the most usual client cannot upload: with Expect, without, chunked from its standard input."""
    source = tmp_path / "source"
    source.write_bytes(os.urandom(3_000_000))
    options = [option.format(source) for option in how]
    with source.open("rb") as file:
        done = subprocess.run(
            ["curl", "-sS", *options, server.url("/swallow")], stdin=file, capture_output=True, check=True, timeout=60
        )
    assert done.stdout.decode() == sha256_of(source.read_bytes())


def test_lines_of_a_body(server: Server) -> None:
    """Otherwise `wsgi.input` is not the file that PEP 3333 promises."""
    assert server.ask(put("/lines", b"one\ntwo\nthree")).text == "3"
    assert server.ask(chunked("/lines", "4\r\na\nb\n\r\n0\r\n\r\n")).text == "2"


def test_memory_stays_flat(server: Server, tmp_path: Path) -> None:
    """Otherwise a large upload is kept in memory: 256 MiB may cost a worker 16 MiB."""
    source = tmp_path / "source"
    source.touch()
    os.truncate(source, 256 << 20)
    status = Path(f"/proc/{server.pid()}/status")
    if not status.exists():
        pytest.skip("the peak of a process is read from /proc")
    before = peak_kib(status)
    assert curl("-T", str(source), server.url("/swallow")).endswith(f" {256 << 20}")
    assert peak_kib(status) - before <= 16 << 10


def peak_kib(status: Path) -> int:
    match = re.search(r"VmHWM:\s*(\d+) kB", status.read_text())
    assert match
    return int(match[1])


def test_endless_uploads_leave_room(server: Server) -> None:
    """Otherwise a socket that always has data keeps the worker to itself."""
    stop = threading.Event()
    threads = [threading.Thread(target=send_until, args=(server, stop)) for _ in range(3)]
    for thread in threads:
        thread.start()
    try:
        for _ in range(5):
            assert server.get("/hello").status == 200
        assert all(thread.is_alive() for thread in threads)
    finally:
        stop.set()
        for thread in threads:
            thread.join(GUARD_SECONDS)


def send_until(server: Server, stop: threading.Event) -> None:
    with server.connect() as client:
        client.send("PUT /swallow HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000000000000\r\n\r\n")
        while not stop.is_set():
            client.send(bytes(1 << 20))


# 100 Continue is an invitation, and reading gives it.


@pytest.mark.parametrize("path", ["/refuse", "/hello"])
def test_curl_sends_nothing_that_is_refused(server: Server, tmp_path: Path, path: str) -> None:
    """Otherwise a refused upload, or one that the caller has already, costs its whole size."""
    source = tmp_path / "source"
    source.touch()
    os.truncate(source, 200 << 20)
    sent = curl("-T", str(source), "-o", "/dev/null", "-w", "%{size_upload} %{num_connects}", server.url(path))
    assert sent == "0 1"


def test_the_first_read_invites_once(server: Server) -> None:
    """Otherwise a client that waits for its invitation waits for ever, or takes a second one for the answer."""
    body = os.urandom(100_000)
    head = put("/swallow", body, "Expect: 100-continue")[: -len(body)]
    with server.connect() as client:
        for _ in range(2):
            assert client.send(head).answer().status == 100
            assert client.send(body).answer().text == sha256_of(body)


def test_the_first_read_invites_a_chunked_body(server: Server) -> None:
    """Otherwise `curl -T -` waits a second before every upload."""
    head = b"PUT /swallow HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nExpect: 100-Continue\r\n\r\n"
    with server.connect() as client:
        assert client.send(head).answer().status == 100
        assert client.send("3\r\nabc\r\n0\r\n\r\n").answer().text == sha256_of(b"abc")


@pytest.mark.parametrize(
    "request_bytes",
    [
        put("/swallow", b"abc", "Expect: 100-continue"),
        put("/swallow", b"abc", "Expect: 100-continue").replace(b"HTTP/1.1", b"HTTP/1.0"),
        put("/swallow", b"", "Expect: 100-continue"),
    ],
)
def test_no_invitation_where_none_is_due(server: Server, request_bytes: bytes) -> None:
    """Otherwise a client that did not wait, or cannot, takes the invitation for the answer."""
    assert server.ask(request_bytes).status == 200


# An answer before the end of the body is the end of the connection.


@pytest.mark.parametrize(("path", "status"), [("/refuse", 401), ("/some", 413), ("/hello", 200)])
def test_an_early_answer_arrives(server: Server, path: str, status: int) -> None:
    """Otherwise a client that sends first and reads then gets a reset in place of the reason."""
    with server.connect() as client:
        client.send(f"PUT {path} HTTP/1.1\r\nHost: x\r\nContent-Length: 200000000\r\n\r\n").send(bytes(8 << 20))
        answer = client.answer()
        assert (answer.status, answer.headers["connection"]) == (status, "close")
        assert client.rest() == b""


@pytest.mark.parametrize("path", ["/refuse", "/some"])
@pytest.mark.parametrize("coding", ["length", "chunked"])
def test_the_rest_of_a_body_is_no_request(server: Server, path: str, coding: str) -> None:
    """Otherwise a body smuggles requests past whoever stands in front."""
    body = ("0123456789" + SNEAKED * 3).encode()
    request = put(path, body) if coding == "length" else chunked(path, b"%x\r\n%s\r\n0\r\n\r\n" % (len(body), body))
    with server.connect() as client:
        client.send(request)
        assert client.answer().status in (401, 413)
        assert client.rest() == b""


def test_more_than_announced_is_no_request(server: Server) -> None:
    """Otherwise bytes behind a body that was longer than its Content-Length are read as a request."""
    with server.connect() as client:
        client.send(put("/swallow", b"abc") + SNEAKED.encode())
        assert client.answer().text == sha256_of(b"abc")
        assert client.rest() == b""


def test_a_connection_goes_on(server: Server) -> None:
    """Otherwise every request costs a connection, or a pipelined one is lost."""
    with server.connect() as client:
        client.send(SNEAKED * 3)
        assert [client.answer().headers["connection"] for _ in range(3)] == ["keep-alive"] * 3
        assert client.send("HEAD /hello HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").rest().endswith(b"\r\n\r\n")


# What the application leaves to the worker.


def test_a_failure_says_nothing_and_is_logged(server: Server) -> None:
    """Otherwise an error of our own shows paths to clients, or none to us."""
    answer = server.get("/broken")
    assert (answer.status, answer.code) == (500, "internal_error")
    assert b"secret" not in answer.body
    eventually(lambda: "the disk failed at /secret/path" in server.log.read_text())
    with server.connect() as client:
        assert client.send("HEAD /broken HTTP/1.1\r\nHost: x\r\n\r\n").rest().endswith(b"\r\n\r\n")


def test_a_lack_of_memory_is_answered(server: Server) -> None:
    """Otherwise what a retry would bring is called an error of ours."""
    answer = server.get("/huge")
    assert (answer.status, answer.code, answer.headers["retry-after"]) == (503, "busy", "2")


@pytest.mark.parametrize("path", ["/short", "/torn"])
def test_a_cut_answer_is_never_taken_for_a_whole_one(server: Server, path: str) -> None:
    """Otherwise a client keeps half a file, or reads the next answer as its other half."""
    with server.connect() as client:
        client.send(f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n{SNEAKED}")
        with pytest.raises((EOFError, ConnectionResetError)):
            client.answer()
    with server.connect() as client:
        with pytest.raises(ConnectionResetError):
            client.send(f"GET {path} HTTP/1.0\r\nHost: x\r\n\r\n").rest()


def test_forwarded_headers_are_left_to_the_application(server: Server) -> None:
    """Otherwise whoever sends X-Forwarded-Proto says that the connection was safe."""
    lines = "X-Forwarded-Proto: https\r\nX-Forwarded-For: 9.9.9.9\r\nScript_Name: /x\r\nContent_Length: 7\r\n"
    told = server.ask(f"GET /header HTTP/1.1\r\nHost: x\r\n{lines}\r\n").text
    assert told.startswith(
        "REMOTE_ADDR=127.0.0.1 wsgi.url_scheme=http CONTENT_LENGTH=None HTTP_X_FORWARDED_FOR=9.9.9.9"
    )


def test_a_client_that_is_gone_ends_its_request(server: Server) -> None:
    """Otherwise the bytes of a broken upload stay until a timeout."""
    client: Client = server.connect()
    client.send(put("/patient/reset", bytes(100_000), "Expect: 100-continue")[:-100_000])
    assert client.answer().status == 100
    client.send(bytes(5000)).reset()
    seen = server.data / "seen-reset"
    eventually(lambda: seen.exists() and seen.read_text() == "IncompleteBody IncompleteBody")
