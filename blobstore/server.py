"""The gunicorn worker.

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
from collections.abc import Iterable
from contextlib import nullcontext
from datetime import datetime, timedelta
from typing import Any, Final

from gevent import GreenletExit
from gunicorn.http import errors as http
from gunicorn.http import wsgi
from gunicorn.http.body import ChunkedReader, LengthReader
from gunicorn.http.message import Request as StrictRequest
from gunicorn.http.parser import RequestParser
from gunicorn.http.unreader import SocketUnreader
from gunicorn.workers.ggevent import GeventWorker

from blobstore.addresses import Shares, client_address
from blobstore.environment import load
from blobstore.errors import TooSlow
from blobstore.incoming import Bodies, Body, ChunkedBody, LengthBody
from blobstore.metrics import FOLDER, Meter
from blobstore.refusals import CROWDED, FAILED, HEAD_TOO_SLOW, Refusal, refusal_of
from blobstore.settings import Settings
from blobstore.wire import BodyPace, ClientGone, HeadPace, Wire

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
        self.connections = Shares(self.limits.max_connections_per_address)
        self.meter = Meter() if self.limits.metrics_token and FOLDER in os.environ else None
        super().init_process()

    def handle(self, _listener: Any, client: Any, addr: Any) -> None:
        """Serve one connection to its end. Never raises but to end the greenlet."""
        wire = Wire(client, self.limits.idle_timeout_seconds)
        # Behind a proxy of ours all come from one address, and the proxy counts.
        peer = None if self.limits.trusted_proxy_hops else client_address((), addr, 0)
        try:
            if peer is not None and not self.connections.take(peer):
                peer = None
                self._refuse(wire, CROWDED, addr, linger=False)
            else:
                self._converse(wire, addr)
        except ClientGone as error:
            self.log.debug("the client is gone: %s", error)
            wire.abort()
        finally:
            wire.close()
            if peer is not None:
                self.connections.give_back(peer)

    def _converse(self, wire: Wire, addr: Any) -> None:
        parser = Parser(self.cfg, wire, addr, self.limits, self.bodies)
        while (request := self._next_request(parser, wire, addr)) is not None:
            if not self._answer(request, wire, addr):
                wire.finish()
                return

    def _next_request(self, parser: Parser, wire: Wire, addr: Any) -> Request | None:
        """The next request; None when there is none, or no sound one: then that has been answered."""
        pace = wire.pace = self._head_pace(first=not parser.req_count)
        pace.begun = bool(parser.unreader.buf.tell())
        try:
            request: Request = next(parser)
        except StopIteration:
            return None
        except TooSlow:
            if pace.begun:
                self._refuse(wire, HEAD_TOO_SLOW, addr)
        except (http.ParseException, http.NoMoreData) as error:
            self._refuse(wire, refusal_of(error), addr)
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
            self._explain(request, error, wire, addr, begun=response is not None and response.headers_sent)
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
            took = datetime.now() - started  # noqa: DTZ005
            self.log.access(response, request, environ, took)
            self._count(request, environ.get("blobstore.route", "none"), response.status_code, took, response.sent)
            if hasattr(pieces, "close"):
                pieces.close()

    def _count(
        self, request: Request | None, route: str, status: int, took: timedelta = timedelta(0), sent_bytes: int = 0
    ) -> None:
        if self.meter:
            method, received_bytes = (request.method, request.body.received_bytes) if request else ("other", 0)
            self.meter.answered(
                method, route, status, took.total_seconds(), received_bytes=received_bytes, sent_bytes=sent_bytes
            )

    def _explain(self, request: Request, error: BaseException, wire: Wire, addr: Any, *, begun: bool) -> None:
        refusal = refusal_of(error)
        if refusal is FAILED:
            self.log.exception("%s %s failed", request.method, request.path)
        if begun and not wire.retract():
            wire.abort()
        else:
            self._refuse(wire, refusal, addr, request)

    def _refuse(
        self, wire: Wire, refusal: Refusal, addr: Any, request: Request | None = None, *, linger: bool = True
    ) -> None:
        method, path = (request.method, request.path) if request else (None, None)
        answer, request_id = refusal.encode(with_body=method != "HEAD")
        address = client_address(request.headers if request else (), addr, self.limits.trusted_proxy_hops)
        self.log.refused(refusal, request_id, address, method, path)
        self._count(request, "refused", refusal.status)
        wire.sendall(answer)
        if linger:
            wire.finish()
