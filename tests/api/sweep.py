"""The multipart sweep: are the bytes that come out the bytes that went in, wherever the body is cut into segments?

python -m tests.api.sweep          every size around the multiples of 64 KiB; some minutes
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Iterator
from io import BytesIO
from itertools import product
from random import Random

from blobstore.api.form import Field, FilePart, parts

BOUNDARIES = ("b", "----WebKitFormBoundary7MA4YWxkTrZu0gW", "x" * 70)
TAILS = (b"", b"\r", b"\n", b"\r\n--")
SEGMENTS = (1447, 4096, 65536, 1 << 20)
BLOCK = 65536


class Segments(BytesIO):
    """An input that gives at most `segment` bytes at a time, as a socket may."""

    def __init__(self, body: bytes, segment: int) -> None:
        super().__init__(body)
        self.segment = segment

    def read(self, size: int | None = -1) -> bytes:
        assert size is not None
        assert size > 0
        return super().read(min(size, self.segment))


def form_body(boundary: str, *sent: tuple[str, bytes]) -> bytes:
    """A form of parts, each its Content-Disposition's parameters and its content."""
    lines = [
        f"--{boundary}\r\nContent-Disposition: form-data; {parameters}\r\n\r\n".encode() + content + b"\r\n"
        for parameters, content in sent
    ]
    return b"".join(lines) + f"--{boundary}--\r\n".encode()


def form_environ(body: bytes, boundary: str, segment: int = 1 << 20) -> dict[str, object]:
    """The WSGI environment of a request with this form."""
    return {
        "CONTENT_TYPE": f'multipart/form-data; boundary="{boundary}"',
        "CONTENT_LENGTH": str(len(body)),
        "wsgi.input": Segments(body, segment),
    }


def received(environ: dict[str, object]) -> list[Field | tuple[str, str, bytes]]:
    """All parts of a form, files as (name, filename, content)."""
    return [
        (part.name, part.filename, b"".join(part.pieces)) if isinstance(part, FilePart) else part
        for part in parts(environ)
    ]


def contents(size: int, boundary: str, tail: bytes) -> Iterator[bytes]:
    """Two contents of `size` bytes with this tail: random, and all beginnings of the delimiter."""
    body = max(size - len(tail), 0)
    yield (Random(size).randbytes(body) + tail)[:size]
    filler = (f"\r\n--{boundary}"[:-1].encode() + b"\r\r\n--\r\n") * (body // 8 + 1)
    yield (filler[:body] + tail)[:size]


def mismatches(
    sizes: Iterable[int],
    tails: Iterable[bytes] = TAILS,
    boundaries: Iterable[str] = BOUNDARIES,
    segments: Iterable[int] = SEGMENTS,
) -> list[tuple[int, bytes, str, int]]:
    """Every (size, tail, boundary, segment) that comes out other than it went in."""
    segments = list(segments)
    wrong = []
    for size, tail, boundary in product(sizes, tails, boundaries):
        for content in contents(size, boundary, tail):
            body = form_body(boundary, ('name="file"; filename="a"', content), ('name="after"', b"1"))
            expected = [("file", "a", content), Field("after", "1")]
            wrong += [
                (size, tail, boundary, segment)
                for segment in segments
                if received(form_environ(body, boundary, segment)) != expected
            ]
    return wrong


def main() -> int:
    started, wrong = time.monotonic(), []
    for block in (1, 2, 3, 16):
        wrong += mismatches(range(block * BLOCK - 600, block * BLOCK + 601))
        print(f"{block} x 64 KiB: {len(wrong)} wrong, {time.monotonic() - started:.0f} s", flush=True)
    wrong += mismatches(range(300), segments=(1, 2, 3, 7))
    wrong += mismatches((BLOCK - 1, BLOCK, BLOCK + 1), segments=(1,))
    print(f"short ones: {len(wrong)} wrong, {time.monotonic() - started:.0f} s")
    for case in wrong[:20]:
        print(case)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
