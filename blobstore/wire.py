"""Wire: a client's socket with patience. Every wait for the client has an end, and no busy client keeps the others out.

A pace says how long the next wait may be:

    Deadline      all of it within so many seconds
    HeadPace      a request's head: how long until its first byte, then how long until its last
    BodyPace      never silent for so long, and on average not slower than so many bytes per second
"""

from __future__ import annotations

import fcntl
import socket
import struct
import termios
from collections.abc import Callable
from contextlib import suppress
from time import monotonic
from typing import Any, Final, Protocol

from gevent.socket import wait_read

from blobstore.errors import TooSlow

GRACE_SECONDS = 10.0
"""How long a body may be slower than the minimum rate: one lost packet or a sleepy radio is no attack."""

DRAIN_SECONDS: Final = 2.0
DRAIN_BYTES: Final = 16 << 20
"""What is read and dropped after an early answer. A client that listens stops by then: this is more than both sides'
socket buffers hold, and closing over unread bytes would reset the connection and take the answer with it. A client
that does not listen is not worth more."""

POLL_BYTES: Final = 128 << 10
"""After so many bytes the next read waits for its turn in the event loop. A socket that always has data would never
let anyone else run; `sleep(0)` does not help either, it comes back before the loop has looked at the other sockets."""

LEAST_BYTES: Final = 16 << 10
"""A body's reader is woken when so much has come, or all of it, rather than for every byte that drips in: 500 clients
that send a byte a second each cost 500 wakes a second, so they cost 100, and the others do not feel them."""

UNSENT_BYTES: Final = 128 << 10
"""What the kernel takes of an answer before the network does. Its own measure, megabytes, let 500 readers that read
nothing have a gigabyte copied at once, and everybody else wait for it."""

_TICK_SECONDS: Final = 1.0
_LONG_TICK_SECONDS: Final = 5.0
_SMALL_BYTES: Final = 64 << 10
_RESET: Final = struct.pack("ii", 1, 0)


class ClientGone(ConnectionError):
    """The connection is lost, or the client has taken nothing of the answer for too long."""


class Pace(Protocol):
    """How long to wait for a client."""

    def patience(self) -> float:
        """The seconds that the next wait may take; zero or less: none."""

    def spent(self, _seconds: float, received_bytes: int, /) -> None:
        """Take note of a wait and what it brought."""


class Deadline:
    """Everything within `seconds` from now."""

    def __init__(self, seconds: float) -> None:
        self._end = monotonic() + seconds

    def patience(self) -> float:
        return self._end - monotonic()

    def spent(self, _seconds: float, _received_bytes: int) -> None:
        pass


class HeadPace:
    """The first byte within `idle_seconds`, the rest within `head_seconds` after it.

    Once `welcome()` is false, as in a worker that is stopping, the first byte has `farewell_seconds`.
    """

    def __init__(
        self, idle_seconds: float, head_seconds: float, welcome: Callable[[], bool], farewell_seconds: float
    ) -> None:
        self._start = monotonic()
        self._end = self._start + idle_seconds
        self._head_seconds, self._farewell_seconds = head_seconds, farewell_seconds
        self._welcome = welcome
        self.begun = False

    def patience(self) -> float:
        end = self._end
        if not self.begun and not self._welcome():
            end = min(end, self._start + self._farewell_seconds)
        return end - monotonic()

    def spent(self, _seconds: float, received_bytes: int) -> None:
        if received_bytes and not self.begun:
            self.begun = True
            self._end = monotonic() + self._head_seconds


class BodyPace:
    """Never silent for `idle_seconds`; after the grace at least `min_rate_bytes` per second on average.

    Only the time spent waiting for the client counts: our own slow disk is not held against it.
    """

    def __init__(self, idle_seconds: float, min_rate_bytes: int) -> None:
        self._idle_seconds, self._min_rate_bytes = idle_seconds, min_rate_bytes
        self._silent_seconds = self._waited_seconds = 0.0
        self._received_bytes = 0

    def patience(self) -> float:
        left = self._idle_seconds - self._silent_seconds
        if self._min_rate_bytes:
            earned = max(GRACE_SECONDS, self._received_bytes / self._min_rate_bytes)
            left = min(left, earned - self._waited_seconds)
        return left

    def spent(self, seconds: float, received_bytes: int) -> None:
        self._waited_seconds += seconds
        self._received_bytes += received_bytes
        self._silent_seconds = 0.0 if received_bytes else self._silent_seconds + seconds


class Wire:
    """One connection. It has the methods of a socket that gunicorn's parser and response use."""

    def __init__(self, sock: Any, idle_seconds: float) -> None:
        self._sock = sock
        self._idle_seconds = idle_seconds
        self._unpolled_bytes = 0
        self._held: bytes | None = None
        self._plain = not hasattr(sock, "pending")
        self._least_bytes = 1
        self.pace: Pace = Deadline(idle_seconds)
        self._set_unsent()

    def recv(self, size: int, least: int = 1) -> bytes:
        """1 to `size` bytes, none at the end. Raises TooSlow when the pace has no patience left, ClientGone.

        `least`: how many are known to come; fewer are returned only after a while.
        """
        while True:
            patience = max(self.pace.patience(), 0.0)
            started = monotonic()
            piece = self._try_receive(size, patience, min(least, LEAST_BYTES))
            self.pace.spent(monotonic() - started, len(piece or b""))
            if piece is not None:
                return piece
            # The last look came after the patience ended: a busy worker does not blame the client for its own delay.
            if not patience:
                raise TooSlow("the client sent nothing, or too little, for too long")

    def _try_receive(self, size: int, patience: float, least: int) -> bytes | None:
        try:
            return self._receive(size, patience, least)
        except (TimeoutError, BlockingIOError):
            return None
        except OSError as error:
            raise ClientGone(str(error)) from error

    def _receive(self, size: int, patience: float, least: int) -> bytes:
        self._set_least(least)
        tick = _TICK_SECONDS if least == 1 else _LONG_TICK_SECONDS
        if self._unpolled_bytes >= POLL_BYTES and patience:
            if not self._has_decrypted():
                wait_read(self._sock.fileno(), min(patience, tick))
            self._unpolled_bytes = 0
        self._sock.settimeout(min(patience, tick))
        piece: bytes = self._sock.recv(size)
        self._unpolled_bytes += len(piece)
        return piece

    def _set_least(self, least: int) -> None:
        # Under TLS the kernel counts other bytes than we do.
        if self._plain and least != self._least_bytes:
            self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, least)
            self._least_bytes = least

    def _set_unsent(self) -> None:
        # Not where a socket of another kind, or another system, does not know it: it saves memory, no more.
        with suppress(OSError, AttributeError):
            self._sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, UNSENT_BYTES)

    def _has_decrypted(self) -> bool:
        pending = getattr(self._sock, "pending", None)
        return bool(pending and pending())

    def sendall(self, data: bytes) -> None:
        """Send everything, together with what was held. Raises ClientGone."""
        if self._held is not None:
            head, self._held = self._held, None
            if len(data) > _SMALL_BYTES:
                self.sendall(head)
            else:
                data = head + data
        rest = memoryview(data)
        while rest:
            rest = rest[self._send(rest) :]

    def send(self, data: bytes) -> int:
        """As `sendall`; the number of bytes sent."""
        self.sendall(data)
        return len(data)

    def _send(self, data: memoryview) -> int:
        waiting = self._untaken_bytes()
        while True:
            self._sock.settimeout(self._idle_seconds)
            try:
                return int(self._sock.send(data))
            except TimeoutError:
                # The kernel calls a socket writable only when a third of its buffer is free: a slow reader on a long
                # buffer takes bytes all the time and lets us wait all the same.
                before, waiting = waiting, self._untaken_bytes()
                if waiting is None or before is None or waiting >= before:
                    raise ClientGone("the client takes nothing of the answer") from None
            except OSError as error:
                raise ClientGone(str(error)) from error

    def _untaken_bytes(self) -> int | None:
        """Bytes sent but not yet acknowledged, where the system tells."""
        try:
            answer = fcntl.ioctl(self._sock.fileno(), termios.TIOCOUTQ, b"\0\0\0\0")
        except (OSError, ValueError):
            return None
        return int(struct.unpack("i", answer)[0])

    def hold(self, head: bytes) -> None:
        """Keep `head` for the next `sendall`, so that a small answer is one packet."""
        self._held = head

    def retract(self) -> bool:
        """Drop what was held; False when nothing was."""
        held, self._held = self._held, None
        return held is not None

    def flush(self) -> None:
        """Send what is held. Raises as `sendall`."""
        if self._held is not None:
            self.sendall(b"")

    def getsockname(self) -> Any:
        """Our own address of this connection."""
        return self._sock.getsockname()

    def finish(self) -> None:
        """Close so that the client can read the answer: no more from us, and a bounded rest of its bytes is dropped."""
        with suppress(OSError, TooSlow):
            self._sock.shutdown(socket.SHUT_WR)
            self.pace = Deadline(DRAIN_SECONDS)
            left = DRAIN_BYTES
            while left > 0 and (dropped := self.recv(_SMALL_BYTES)):
                left -= len(dropped)
        self.close()

    def abort(self) -> None:
        """Close with a reset, so that no client takes a cut answer for a whole one."""
        with suppress(OSError):
            self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        self.close()

    def close(self) -> None:
        """Close; any number of times."""
        with suppress(OSError):
            self._sock.close()
