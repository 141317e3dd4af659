"""Digest: a checked SHA-256. Holding one proves that it was checked."""

from __future__ import annotations

import re
from base64 import b64encode
from dataclasses import dataclass

from blobstore.errors import BadDigest

_HEX = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True, order=True)
class Digest:
    """The SHA-256 of a blob: `hex` is 64 lower-case hex digits, nothing else. Made by `parse` or `from_bytes`."""

    hex: str

    def __post_init__(self) -> None:
        if not _HEX.fullmatch(self.hex):
            raise BadDigest("a digest is 64 hex digits (SHA-256)")

    @classmethod
    def parse(cls, text: str) -> Digest:
        """Read 64 hex digits of any case. Raises BadDigest for anything else."""
        if not text.isascii():
            raise BadDigest("a digest is 64 hex digits (SHA-256)")
        return cls(text.lower())

    @classmethod
    def from_bytes(cls, raw: bytes) -> Digest:
        """Read the 32 raw bytes of a SHA-256. Raises BadDigest for any other length."""
        return cls(raw.hex())

    @property
    def base64(self) -> str:
        """The padded base64 of RFC 9530's `Repr-Digest`."""
        return b64encode(bytes.fromhex(self.hex)).decode()

    def __str__(self) -> str:
        return self.hex


EMPTY = Digest("e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855")
"""The digest of no bytes."""
