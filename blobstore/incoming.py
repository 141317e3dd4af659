"""A request's body on its way in: `wsgi.input`, and how many bodies are on their way at once."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

from gunicorn.http.body import ChunkedReader
from gunicorn.http.errors import InvalidChunkSize, NoMoreData, ParseException

from blobstore.addresses import Shares
from blobstore.errors import BadChunk, BlobstoreError, IncompleteBody, TooManyBodies
from blobstore.wire import BodyPace, ClientGone, Wire

if TYPE_CHECKING:
    from typing_extensions import Buffer

PIECE_BYTES: Final = 1 << 20
MIN_PIECE_BYTES: Final = 64 << 10
"""Alone, a body is read by the MiB, which is the fastest; with others each piece is smaller, so that a turn of the
event loop stays short: with eight bodies by the MiB a small request took 75 ms, so it takes 5."""

MAX_CHUNK_BYTES: Final = 1 << 62
CONTINUE: Final = b"HTTP/1.1 100 Continue\r\n\r\n"


class Bodies:
    """The bodies in flight in this worker, at most `limit` from one address (of IPv6: from one /64)."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._shares = Shares(limit)
        self._total = 0

    @contextmanager
    def admitted(self, address: str) -> Iterator[None]:
        """Count one more body. Raises TooManyBodies."""
        if not self._shares.take(address):
            raise TooManyBodies(f"at most {self._limit} uploads at once from one address; try again when one has ended")
        self._total += 1
        try:
            yield
        finally:
            self._total -= 1
            self._shares.give_back(address)

    @property
    def total(self) -> int:
        """How many there are."""
        return self._total

    @property
    def piece_bytes(self) -> int:
        """What one body may read in one turn."""
        return max(MIN_PIECE_BYTES, PIECE_BYTES // max(self._total, 1))


class Body(io.RawIOBase):
    """`wsgi.input`. `read(n)` returns 1 to n bytes as they come, and none only when the body is complete.

    Raises IncompleteBody, BadChunk and TooSlow, again at every further read. The first read that needs the client
    sends `100 Continue` to one that waits for it.
    """

    def __init__(self, unreader: Any, pace: BodyPace, bodies: Bodies, *, invite: bool) -> None:
        self._unreader, self._pace, self._bodies, self._invite = unreader, pace, bodies, invite
        self._wire: Wire = unreader.sock
        self._broken: BlobstoreError | None = None
        self.received_bytes = 0

    @property
    def complete(self) -> bool:
        """Whether nothing of it is unread."""
        raise NotImplementedError

    @property
    def arrived(self) -> bool:
        """Whether all of it came with the request's head."""
        raise NotImplementedError

    def _next(self, size: int) -> bytes:
        raise NotImplementedError

    def begin_answer(self) -> None:
        """From here on no `100 Continue` may be sent."""
        self._invite = False

    def read(self, size: int | None = -1, /) -> bytes:
        if size is None or size < 0:
            return self.readall()
        if self._broken:
            raise self._broken
        if self.complete or not size:
            return b""
        self._wire.pace = self._pace
        try:
            piece = self._next(min(size, self._bodies.piece_bytes))
        except BlobstoreError as error:
            self._broken = error
            raise
        except ClientGone as error:
            self._broken = IncompleteBody("the connection was lost before the body was complete")
            raise self._broken from error
        self.received_bytes += len(piece)
        return piece

    def readall(self) -> bytes:
        return b"".join(iter(lambda: self.read(PIECE_BYTES), b""))

    def readinto(self, buffer: Buffer, /) -> int:
        view = memoryview(buffer).cast("B")
        piece = self.read(len(view))
        view[: len(piece)] = piece
        return len(piece)

    def readable(self) -> bool:
        return True

    def _buffered(self) -> int:
        return int(self._unreader.buf.tell())

    def _send_invitation(self) -> None:
        # RFC 9110, section 10.1.1: not needed by a client that has begun to send.
        if self._invite and not self._buffered():
            self._wire.sendall(CONTINUE)
        self._invite = False


class LengthBody(Body):
    """A body of `length` bytes (0: none), read straight from the socket after what came with the head."""

    def __init__(self, unreader: Any, pace: BodyPace, bodies: Bodies, *, invite: bool, length: int) -> None:
        super().__init__(unreader, pace, bodies, invite=invite)
        self._left = length

    @property
    def complete(self) -> bool:
        return not self._left

    @property
    def arrived(self) -> bool:
        return self._left <= self._buffered()

    def _next(self, size: int) -> bytes:
        self._send_invitation()
        size = min(size, self._left)
        if self._buffered():
            piece: bytes = self._unreader.read(min(size, self._buffered()))
        else:
            piece = self._wire.recv(size, self._left)
        if not piece:
            raise IncompleteBody(f"the body ended {self._left} bytes before its Content-Length")
        self._left -= len(piece)
        return piece


class _Chunks(ChunkedReader):  # type: ignore[misc]
    """gunicorn's strict decoder, which takes any number for a chunk's size."""

    def parse_chunk_size(self, unreader: Any, data: bytes | None = None) -> tuple[int, bytes | None]:
        size, rest = super().parse_chunk_size(unreader, data)
        if size > MAX_CHUNK_BYTES:
            raise InvalidChunkSize(b"too large")
        return size, rest


class ChunkedBody(Body):
    """A body in the chunked coding (RFC 9112, section 7.1). What breaks the coding is BadChunk, its early end too."""

    def __init__(self, unreader: Any, pace: BodyPace, bodies: Bodies, *, invite: bool, request: Any) -> None:
        super().__init__(unreader, pace, bodies, invite=invite)
        self._pieces = _Chunks(request, unreader).parse_chunked(unreader)
        self._rest = b""
        self._ended = False

    @property
    def complete(self) -> bool:
        return self._ended

    @property
    def arrived(self) -> bool:
        return False

    def _next(self, size: int) -> bytes:
        self._send_invitation()
        self._unreader.max_body_chunk = self._bodies.piece_bytes
        try:
            while not self._rest:
                self._rest = next(self._pieces)
        except StopIteration:
            self._ended = True
            return b""
        except (NoMoreData, ParseException) as error:
            raise BadChunk("the chunked coding of the body is broken, or ended early") from error
        piece, self._rest = self._rest[:size], self._rest[size:]
        return piece
