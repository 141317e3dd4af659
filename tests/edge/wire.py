"""Requests written by hand, and all that a connection says to one of them."""

from __future__ import annotations

import json
import re
import socket
from base64 import b64encode
from dataclasses import dataclass, field
from typing import Any

from tests import leaks
from tests.conftest import PASSWORD

GUARD_SECONDS = 60
"""Guards against a hang; nothing is expected to take anywhere near as long."""
CLOSE = "Connection: close"
BOUNDARY = "----edge"
FORM = f"Content-Type: multipart/form-data; boundary={BOUNDARY}"
JSON = "Content-Type: application/json"


def basic(name: str | bytes, password: str | bytes) -> str:
    """The header of RFC 7617."""
    pair = [part.encode() if isinstance(part, str) else part for part in (name, password)]
    return "Authorization: Basic " + b64encode(b":".join(pair)).decode()


def bearer(token: str) -> str:
    """The header of RFC 6750."""
    return f"Authorization: Bearer {token}"


ME = basic("me", PASSWORD)


def head(line: str, *headers: str, host: str | None = "localhost") -> bytes:
    """A request's head. Characters beyond Latin-1 are for nobody: write bytes as \\xff."""
    lines = [f"{line} HTTP/1.1", *([f"Host: {host}"] if host is not None else []), *headers, "", ""]
    return "\r\n".join(lines).encode("latin-1")


def ask(line: str, *headers: str, body: bytes | None = None, me: bool = True, **more: Any) -> bytes:
    """A whole request of the user `me`, after which the connection ends."""
    length = () if body is None else (f"Content-Length: {len(body)}",)
    return head(line, *((ME,) if me else ()), CLOSE, *length, *headers, **more) + (body or b"")


def ask_json(line: str, document: object, *headers: str, **more: Any) -> bytes:
    """The same with JSON, or with bytes that are to be taken for it."""
    body = document if isinstance(document, bytes) else json.dumps(document).encode()
    return ask(line, JSON, *headers, body=body, **more)


def part(content: bytes, *parameters: str, more: tuple[str, ...] = ()) -> bytes:
    """One part of a form, by the parameters of its Content-Disposition and further headers."""
    lines = ["Content-Disposition: form-data; " + "; ".join(parameters), *more]
    return f"--{BOUNDARY}\r\n".encode() + "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + content + b"\r\n"


def file_part(content: bytes, name: str = "a.txt") -> bytes:
    """A part that is a file."""
    return part(content, 'name="file"', f'filename="{name}"')


def form(*parts: bytes, end: bytes = f"--{BOUNDARY}--\r\n".encode()) -> bytes:
    """The body of a form."""
    return b"".join(parts) + end


def ask_form(*parts: bytes, line: str = "POST /upload", **more: Any) -> bytes:
    """A whole request with a form."""
    return ask(line, FORM, body=form(*parts), **more)


def chunked(body: bytes, size: int = 1 << 20) -> bytes:
    """A body in the chunked coding."""
    pieces = [body[start : start + size] for start in range(0, len(body), size)]
    return b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\n\r\n"


@dataclass
class Reply:
    """One final response; `interim` are the statuses of those before it."""

    status: int
    headers: dict[str, str]
    body: bytes
    interim: list[int] = field(default_factory=list)

    @property
    def json(self) -> Any:
        return json.loads(self.body)


def exchange(port: int, request: bytes, *, end: bool = False, address: str = "127.0.0.1") -> bytes:
    """All that comes back until the server ends the connection; `end`: we say that nothing follows."""
    with socket.create_connection(("127.0.0.1", port), GUARD_SECONDS, (address, 0)) as connection:
        try:
            connection.sendall(request)
            if end:
                connection.shutdown(socket.SHUT_WR)
        except ConnectionError:
            """It may have refused before all was sent, and its answer is still there to be read."""
        return b"".join(iter(lambda: connection.recv(65536), b""))


def read_reply(raw: bytes, *, with_body: bool = True) -> Reply:
    """The only final response in what came. Fails for a second one, a cut one, or a byte beyond it."""
    interim = []
    while True:
        assert b"\r\n\r\n" in raw, raw
        top, _, raw = raw.partition(b"\r\n\r\n")
        lines = top.decode("latin-1").split("\r\n")
        match = re.fullmatch(r"HTTP/1\.[01] (\d{3}) .*", lines[0])
        assert match, top
        status = int(match[1])
        if status >= 200:
            break
        interim.append(status)
    names = [line.partition(": ")[0].lower() for line in lines[1:]]
    assert all(names.count(name) == 1 for name in names if name not in ("www-authenticate", "vary")), names
    headers = dict(zip(names, (line.partition(": ")[2] for line in lines[1:]), strict=True))
    expected = int(headers.get("content-length", 0)) if with_body and status not in (204, 304) else 0
    assert len(raw) == expected, (status, headers, raw)
    leaks.look_at_page(status, str(headers).encode() + raw)
    return Reply(status, headers, raw, interim)
