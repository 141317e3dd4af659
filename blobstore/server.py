"""The gunicorn worker and its settings.

Worker keeps gunicorn's strict parser of heads and replaces what is around it:

    a body        is invited (`100 Continue`) by its first read, read straight from the socket, and raises when it is
                  cut, broken, silent or too slow (incoming.py)
    a wait        for a client always ends, and no client keeps another waiting (wire.py)
    an early end  an answer before the body was read closes the connection, in a way that the answer arrives
    a refusal     is a problem document, once, and the end of the connection (refusals.py)

gunicorn's hooks `pre_request` and `post_request` are not called; HTTP/2 and uwsgi are not spoken.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterable
from contextlib import nullcontext
from datetime import datetime
from typing import Any, Final

from flask import Flask
from gevent import GreenletExit
from gunicorn.arbiter import Arbiter
from gunicorn.http import errors as http
from gunicorn.http import wsgi
from gunicorn.http.body import ChunkedReader, LengthReader
from gunicorn.http.message import Request as StrictRequest
from gunicorn.http.parser import RequestParser
from gunicorn.http.unreader import SocketUnreader
from gunicorn.workers.ggevent import GeventWorker

from blobstore.addresses import client_address
from blobstore.errors import TooSlow
from blobstore.incoming import Bodies, Body, ChunkedBody, LengthBody
from blobstore.refusals import FAILED, HEAD_TOO_SLOW, Refusal, refusal_of
from blobstore.settings import Settings, SettingsError, load
from blobstore.wire import BodyPace, ClientGone, HeadPace, Wire

HEARTBEAT_SECONDS: Final = 60
"""A worker whose event loop stands still for so long is killed and replaced; a long request does not stop the loop."""

FAREWELL_SECONDS: Final = 2.0
"""How long a stopping worker waits for the first byte of a connection that it has accepted."""


class Request(StrictRequest):  # type: ignore[misc]
    """gunicorn's request with a body of ours. Only `chunked` passes as a Transfer-Encoding: no other is undone here."""

    body: Body
    _expected_100_continue: bool

    def __init__(self, parser: Parser) -> None:
        self._limits, self._bodies = parser.limits, parser.bodies
        super().__init__(parser.cfg, parser.unreader, parser.source_addr, parser.req_count)

    def set_body_reader(self) -> None:
        super().set_body_reader()
        for name, value in self.headers:
            if name == "TRANSFER-ENCODING" and value.lower() != "chunked":
                raise http.UnsupportedTransferCoding(value)
        reader = self.body.reader  # type: ignore[attr-defined]
        pace = BodyPace(self._limits.idle_timeout_seconds, self._limits.min_rate_bytes)
        invite = self._expected_100_continue
        # gunicorn would send `100 Continue` before the application runs.
        self._expected_100_continue = False
        if isinstance(reader, ChunkedReader):
            self.body = ChunkedBody(self.unreader, pace, self._bodies, invite=invite, request=self)
        else:
            length = reader.length if isinstance(reader, LengthReader) else 0
            self.body = LengthBody(self.unreader, pace, self._bodies, invite=invite, length=length)


class Parser(RequestParser):  # type: ignore[misc]
    """The requests of one connection, one after the other."""

    unreader: SocketUnreader

    def __init__(self, cfg: Any, wire: Wire, address: Any, limits: Settings, bodies: Bodies) -> None:
        super().__init__(cfg, wire, address)
        self.limits, self.bodies = limits, bodies

    def mesg_class(self, *_: Any) -> Request:
        return Request(self)


class Response(wsgi.Response):  # type: ignore[misc]
    """gunicorn's response; one that begins before the request's body was read ends the connection."""

    sock: Wire
    req: Request
    headers_sent: bool

    def send_headers(self) -> None:
        """Hold the head until the first byte of the body, so that both are sent at once."""
        if self.headers_sent:
            return
        self.req.body.begin_answer()
        # What follows a body that was not read, or was longer than announced, must never be taken for a request.
        if not self.req.body.complete or (self.req.unreader.buf.tell() and self._follows_body()):
            self.force_close()
        head = [*self.default_headers(), *(f"{name}: {value}\r\n" for name, value in self.headers), "\r\n"]
        self.sock.hold("".join(head).encode("latin-1"))
        self.headers_sent = True

    def _follows_body(self) -> bool:
        return any(name in ("CONTENT-LENGTH", "TRANSFER-ENCODING") for name, _ in self.req.headers)

    def close(self) -> None:
        """End the response. Raises RuntimeError when the application sent less than it announced."""
        if self.response_length is not None and not self._omits_body and self.sent < self.response_length:
            raise RuntimeError(f"the application sent {self.sent} of {self.response_length} bytes")
        super().close()
        self.sock.flush()


class Worker(GeventWorker):  # type: ignore[misc]
    """A gevent worker; see the module."""

    alive: bool

    def init_process(self) -> None:
        self.limits = load()
        self.bodies = Bodies(self.limits.max_bodies_per_address)
        super().init_process()

    def handle(self, _listener: Any, client: Any, addr: Any) -> None:
        """Serve one connection to its end. Never raises but to end the greenlet."""
        wire = Wire(client, self.limits.idle_timeout_seconds)
        try:
            self._converse(wire, addr)
        except ClientGone as error:
            self.log.debug("the client is gone: %s", error)
            wire.abort()
        finally:
            wire.close()

    def _converse(self, wire: Wire, addr: Any) -> None:
        parser = Parser(self.cfg, wire, addr, self.limits, self.bodies)
        while (request := self._next_request(parser, wire)) is not None:
            if not self._answer(request, wire, addr):
                wire.finish()
                return

    def _next_request(self, parser: Parser, wire: Wire) -> Request | None:
        """The next request; None when there is none, or no sound one: then that has been answered."""
        pace = wire.pace = self._head_pace(first=not parser.req_count)
        pace.begun = bool(parser.unreader.buf.tell())
        try:
            request: Request = next(parser)
        except StopIteration:
            return None
        except TooSlow:
            if pace.begun:
                self._refuse(wire, HEAD_TOO_SLOW)
        except (http.ParseException, http.NoMoreData) as error:
            self._refuse(wire, refusal_of(error))
        else:
            return request
        return None

    def _head_pace(self, *, first: bool) -> HeadPace:
        head_seconds = self.limits.header_timeout_seconds
        if first:
            # It may have been accepted while we were told to stop: its request is on the way.
            return HeadPace(head_seconds, head_seconds, lambda: self.alive, FAREWELL_SECONDS)
        return HeadPace(self.limits.keepalive_seconds, head_seconds, lambda: self.alive, 0)

    def _answer(self, request: Request, wire: Wire, addr: Any) -> bool:
        """Whether the connection may go on."""
        response = None
        try:
            address = client_address(request.headers, addr, self.limits.trusted_proxy_hops)
            with nullcontext() if request.body.arrived else self.bodies.admitted(address):
                response, environ = wsgi.create(request, wire, addr, wire.getsockname(), self.cfg, Response)
                self._run(request, response, environ)
                return not response.should_close()
        except (GreenletExit, ClientGone):
            # Killed at the end of the graceful stop, or the client is gone.
            wire.abort()
            raise
        except (Exception, SystemExit) as error:
            self._explain(request, error, wire, begun=response is not None and response.headers_sent)
            return False

    def _run(self, request: Request, response: Response, environ: dict[str, Any]) -> None:
        started = datetime.now()  # noqa: DTZ005 - only its difference is logged
        environ["wsgi.multithread"] = True
        self.nr += 1
        if self.nr >= self.max_requests and self.alive:
            self.log.info("the worker has served its %s requests and is replaced", self.nr)
            self.alive = False
        if not self.alive or not self.limits.keepalive_seconds:
            response.force_close()
        pieces: Iterable[bytes] = self.wsgi(environ, response.start_response)
        try:
            for piece in pieces:
                response.write(piece)
            response.close()
        finally:
            self.log.access(response, request, environ, datetime.now() - started)  # noqa: DTZ005
            if hasattr(pieces, "close"):
                pieces.close()

    def _explain(self, request: Request, error: BaseException, wire: Wire, *, begun: bool) -> None:
        refusal = refusal_of(error)
        if refusal is FAILED:
            self.log.exception("%s %s failed", request.method, request.path)
        if begun and not wire.retract():
            wire.abort()
        else:
            self._refuse(wire, refusal, with_body=request.method != "HEAD")

    def _refuse(self, wire: Wire, refusal: Refusal, *, with_body: bool = True) -> None:
        answer, request_id = refusal.encode(with_body=with_body)
        self.log.info("refused: %s %s, request %s", refusal.status.value, refusal.code, request_id)
        wire.sendall(answer)
        wire.finish()


def gunicorn_settings(settings: Settings | None = None) -> dict[str, Any]:
    """What goes into a gunicorn configuration file. Ends the start with every mistake in the settings."""
    try:
        settings = settings or load()
    except SettingsError as error:
        raise SystemExit(str(error)) from error
    return {
        "bind": settings.bind,
        "workers": settings.workers,
        "worker_class": "blobstore.server.Worker",
        "worker_connections": settings.max_connections,
        "worker_tmp_dir": "/dev/shm" if os.access("/dev/shm", os.W_OK) else None,  # noqa: S108 - no disk to wait for
        "timeout": HEARTBEAT_SECONDS,
        "graceful_timeout": settings.graceful_timeout_seconds,
        "keepalive": 1 if settings.keepalive_seconds else 0,
        "limit_request_line": 4094,
        "limit_request_fields": 100,
        "limit_request_field_size": 8190,
        "preload_app": False,
        "control_socket_disable": True,
        "accesslog": None,
        "logger_class": "blobstore.logs.Logger",
        # X-Forwarded-* is the application's, which knows BLOBSTORE_TRUSTED_PROXY_HOPS; here nobody is trusted.
        "forwarded_allow_ips": "",
        "secure_scheme_headers": {},
        "forwarder_headers": "",
        "post_fork": post_fork,
        "post_worker_init": post_worker_init,
        "worker_exit": worker_exit,
        "on_exit": on_exit,
    }


def post_fork(_server: Arbiter, _worker: Any) -> None:
    """Make the worker green before anything of the application is imported: locks made earlier would block it whole.

    Until gunicorn has set the worker's own handlers it has the master's, which would swallow a signal to stop.
    """
    for number in (signal.SIGINT, signal.SIGQUIT, signal.SIGTERM):
        signal.signal(number, signal.SIG_DFL)
    from gevent import monkey

    monkey.patch_all()
    from blobstore.database import make_green

    make_green()


def post_worker_init(worker: Any) -> None:
    """Refuse another worker class: `gunicorn --worker-class gevent` overrides the file and loses all of the above."""
    if not isinstance(worker, Worker):
        worker.log.critical("blobstore runs only with --worker-class blobstore.server.Worker")
        sys.exit(Arbiter.WORKER_BOOT_ERROR)
    from blobstore import background
    from blobstore.serve import announce

    if isinstance(worker.wsgi, Flask):
        background.start(worker.wsgi)
    announce(worker)


def worker_exit(_server: Arbiter, worker: Any) -> None:
    """Write what the worker has only counted so far."""
    from blobstore import background

    application = getattr(worker, "wsgi", None)
    if isinstance(application, Flask):
        background.finish(application)


def on_exit(_server: Arbiter) -> None:
    """End what `blobstore serve` started."""
    from blobstore.serve import finish

    finish()
