"""A small WSGI application that shows what the worker does with a request; no Flask, no database."""

from __future__ import annotations

import gc
import hashlib
import os
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from blobstore import wire

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIEnvironment

wire.GRACE_SECONDS = float(os.environ.get("GRACE_SECONDS", wire.GRACE_SECONDS))
PIECE = 1 << 20


def app(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """Route by the first segment of the path."""
    name = environ["PATH_INFO"].strip("/").partition("/")[0] or "hello"
    return ROUTES[name](environ, start_response)


def _say(start_response: StartResponse, text: str, status: str = "200 OK") -> list[bytes]:
    body = text.encode()
    start_response(status, [("Content-Length", str(len(body))), ("Content-Type", "text/plain")])
    return [body]


def hello(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    return _say(start_response, f"hello from {os.getpid()}")


def refuse(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """Answer without reading the body."""
    return _say(start_response, "no", "401 Unauthorized")


def swallow(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """The digest and the size of the body; what reading it raises escapes."""
    digest, size = hashlib.sha256(), 0
    while piece := environ["wsgi.input"].read(PIECE):
        digest.update(piece)
        size += len(piece)
    return _say(start_response, f"{digest.hexdigest()} {size}")


def store(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """As `swallow`, and the bytes go to a file of the data folder."""
    digest, size = hashlib.sha256(), 0
    path = Path(os.environ["BLOBSTORE_DATA"]) / f"upload-{os.getpid()}-{id(environ)}"
    with path.open("wb", buffering=0) as file:
        while piece := environ["wsgi.input"].read(PIECE):
            digest.update(piece)
            file.write(piece)
            size += len(piece)
    path.unlink()
    return _say(start_response, f"{digest.hexdigest()} {size}")


def lines(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """How many lines the body has, by the iteration that PEP 3333 asks for."""
    return _say(start_response, str(sum(1 for _ in environ["wsgi.input"])))


def patient(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """What reading raises at first, and at a second try; also as a file, for a client that is gone by then."""
    seen = []
    for _ in range(2):
        try:
            while environ["wsgi.input"].read(PIECE):
                pass
        except Exception as error:
            seen.append(type(error).__name__)
    if name := environ["PATH_INFO"].removeprefix("/patient").strip("/"):
        (Path(os.environ["BLOBSTORE_DATA"]) / f"seen-{name}").write_text(" ".join(seen))
    return _say(start_response, " ".join(seen) or "whole")


def some(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """Read ten bytes of the body, then answer."""
    environ["wsgi.input"].read(10)
    return _say(start_response, "enough", "413 Content Too Large")


def header(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """What the application learns of the request."""
    names = ("REMOTE_ADDR", "wsgi.url_scheme", "CONTENT_LENGTH", "HTTP_X_FORWARDED_FOR", "HTTP_TRANSFER_ENCODING")
    return _say(start_response, " ".join(f"{name}={environ.get(name)}" for name in names))


def big(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """64 MiB of zeros, and a file that says how the answer ended."""
    start_response("200 OK", [("Content-Length", str(64 << 20))])

    def pieces() -> Iterator[bytes]:
        try:
            for _ in range(256):
                yield bytes(256 << 10)
        finally:
            (Path(os.environ["BLOBSTORE_DATA"]) / "answer-ended").touch()

    return pieces()


def short(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """Less than announced."""
    start_response("200 OK", [("Content-Length", "100")])
    return [b"half"]


def torn(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """Fail in the middle of a chunked answer."""
    start_response("200 OK", [])
    yield b"half"
    raise OSError(5, "the disk failed")


def broken(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    raise OSError(5, "the disk failed at /secret/path")


def huge(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """More than any memory."""
    return [bytes(1 << 62)]


def slow(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """Say in the data folder that the request is here, answer when the file `go` is there."""
    folder = Path(os.environ["BLOBSTORE_DATA"])
    (folder / "here").touch()
    while not (folder / "go").exists():
        time.sleep(0.01)
    return _say(start_response, "done")


def frozen(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """How many objects the garbage collector leaves alone."""
    return _say(start_response, str(gc.get_freeze_count()))


ROUTES: dict[str, Callable[[Any, Any], Iterable[bytes]]] = {
    function.__name__: function
    for function in (
        hello, refuse, swallow, store, lines, patient, some, header, big, short, torn, broken, huge, slow, frozen,
    )
}  # fmt: skip
