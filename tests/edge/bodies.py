"""Bodies for the sweep: whole ones that must arrive as they are, and cut ones that must not arrive at all."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count, cycle, pairwise, product
from random import Random

from tests.api.sweep import BOUNDARIES, TAILS, form_body
from tests.edge.wire import ME, chunked, head

BLOCK = 64 << 10
AROUND = 600
SEGMENTS = (1447, 4096, BLOCK, 1 << 20)
LINE = "PUT /upload?format=sha256"
FORM_LINE = "POST /upload?format=sha256"
REQUEST_BYTES = 2048


@dataclass(frozen=True)
class Whole:
    """A request, what it must store, and the size of the segments in which it is sent."""

    what: str
    request: bytes
    content: bytes
    segment: int


@dataclass(frozen=True)
class Cut:
    """The first bytes of a request, and how the connection ends behind them."""

    what: str
    sent: bytes
    ending: str


ENDINGS = ("half-close", "close", "reset")


def sizes(blocks: tuple[int, ...], step: int) -> Iterator[int]:
    """Every `step`-th size around these multiples of 64 KiB."""
    for block in blocks:
        yield from range(block * BLOCK - AROUND, block * BLOCK + AROUND + 1, step)


def content_of(size: int, tail: bytes = b"") -> bytes:
    """Random bytes with this tail, always the same ones."""
    return (Random(size).randbytes(max(size - len(tail), 0)) + tail)[-size:] if size else b""


def multipart(step: int) -> Iterator[Whole]:
    """Forms: all sizes and tails, with the boundaries and segments taken in turn."""
    turns, numbers = cycle(product(BOUNDARIES, SEGMENTS)), count()
    for size in (*sizes((1, 2, 3), step), *sizes((16,), 10 * step), *range(0, 300, step)):
        for tail in TAILS:
            (boundary, segment), content = next(turns), content_of(size, tail)
            body = form_body(boundary, ('name="file"; filename="swept"', content))
            kind = f'Content-Type: multipart/form-data; boundary="{boundary}"'
            top = head(f"{FORM_LINE}&name=form{next(numbers)}", ME, kind, f"Content-Length: {len(body)}")
            yield Whole(f"{size} {tail!r} boundary {len(boundary)} by {segment}", top + body, content, segment)
        # An odd number of turns between two sizes, so that every tail meets every boundary and segment.
        next(turns)


def raw(step: int) -> Iterator[Whole]:
    """Bodies with a length."""
    turns, numbers = cycle((1, 7, *SEGMENTS)), count()
    for size in (*range(0, 1200, step), *sizes((1, 2, 3, 16), step)):
        segment, content = next(turns), content_of(size)
        segment = segment if size < 1200 else max(segment, SEGMENTS[0])
        top = head(f"{LINE}&name=raw{next(numbers)}", ME, f"Content-Length: {size}")
        yield Whole(f"{size} by {segment}", top + content, content, segment)


def in_chunks(step: int) -> Iterator[Whole]:
    """Ten bytes in every split; every cut of one coded body into two segments; large ones in chunks of many sizes."""
    tops = (head(f"{LINE}&name=chunked{number}", ME, "Transfer-Encoding: chunked") for number in count())
    ten = b"\r\n0\r\n\r\n5\r\n"[:10]
    for number in range(0, 1 << 9, step):
        marks = [0, *(place + 1 for place in range(9) if number >> place & 1), 10]
        pieces = [ten[start:end] for start, end in pairwise(marks)]
        coded = b"".join(b"%X;a=b\r\n%b\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\nX-Trailer: 1\r\n\r\n"
        yield Whole(f"ten bytes, split {number:09b}", next(tops) + coded, ten, (1, 5, 1 << 20)[number // step % 3])
    for segment in range(1, 200, step):
        yield Whole(f"ten bytes by {segment}", next(tops) + chunked(ten, 4), ten, segment)
    turns = cycle(product((1000, 4096, BLOCK - 1, BLOCK, 1 << 20), SEGMENTS))
    for size in sizes((1, 2), step):
        (chunk, segment), content = next(turns), content_of(size)
        yield Whole(f"{size} in chunks of {chunk} by {segment}", next(tops) + chunked(content, chunk), content, segment)


WHOLE = {"multipart": multipart, "raw": raw, "chunked": in_chunks}


def requests_of_2_kib() -> dict[str, bytes]:
    """A sound request of each kind, of exactly 2 KiB."""
    return {kind: request for kind in _MAKERS if len(request := _of_size(kind)) == REQUEST_BYTES}


def _of_size(kind: str) -> bytes:
    filler = next(n for n in range(REQUEST_BYTES, 0, -1) if len(_MAKERS[kind](_content(kind, n))) <= REQUEST_BYTES)
    made = _MAKERS[kind](_content(kind, filler))
    # Base64 and lengths grow by steps: the id of the request takes up the rest.
    return made.replace(b"X-Request-ID: x", b"X-Request-ID: x" + b"x" * (REQUEST_BYTES - len(made)))


def _content(kind: str, size: int) -> bytes:
    return (f"cut {kind} ".encode() * REQUEST_BYTES)[:size]


def _raw(content: bytes) -> bytes:
    return head(LINE, ME, "X-Request-ID: x", f"Content-Length: {len(content)}") + content


def _chunked(content: bytes) -> bytes:
    return head(LINE, ME, "X-Request-ID: x", "Transfer-Encoding: chunked") + chunked(content, 300)


def _form(content: bytes) -> bytes:
    body = form_body("b" * 30, ('name="file"; filename="swept"', content), ('name="tags"', b"t"))
    kind = f"Content-Type: multipart/form-data; boundary={'b' * 30}"
    return head(FORM_LINE, ME, "X-Request-ID: x", kind, f"Content-Length: {len(body)}") + body


def _form_in_chunks(content: bytes) -> bytes:
    body = form_body("b" * 30, ('name="file"; filename="swept"', content))
    kind = f"Content-Type: multipart/form-data; boundary={'b' * 30}"
    return head(FORM_LINE, ME, "X-Request-ID: x", kind, "Transfer-Encoding: chunked") + chunked(body, 300)


def _json(content: bytes) -> bytes:
    body = b'{"name": "swept", "data": "%b"}  ' % b64encode(content)
    kind = "Content-Type: application/json"
    return head(FORM_LINE, ME, "X-Request-ID: x", kind, f"Content-Length: {len(body)}") + body


_MAKERS = {"raw": _raw, "chunked": _chunked, "multipart": _form, "multipart, chunked": _form_in_chunks, "JSON": _json}


def cuts(kind: str, step: int, ending: str) -> Iterator[Cut]:
    """The request of this kind, cut at every `step`-th byte, and at each of its last forty."""
    request = requests_of_2_kib()[kind]
    ends = sorted({*range(1, len(request), step), *range(len(request) - 40, len(request), max(step // 20, 1))})
    for end in ends:
        yield Cut(f"{kind} at {end}", request[:end], ending)
