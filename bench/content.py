"""Large files to send: as long as wanted, and another content each time."""

from __future__ import annotations

import hashlib
import os
import secrets
from pathlib import Path

PIECE_BYTES = 1 << 20


class Content:
    """A file of `size_bytes`, in the page cache."""

    def __init__(self, path: Path, size_bytes: int) -> None:
        self.path, self.size_bytes = path, size_bytes
        piece = os.urandom(PIECE_BYTES)
        with path.open("wb") as file:
            for _ in range(size_bytes // PIECE_BYTES):
                file.write(piece)
        os.sync()

    def renew(self) -> Path:
        """Make it another content: what a store has already costs it less."""
        with self.path.open("r+b") as file:
            file.write(secrets.token_bytes(16))
        return self.path

    def sha256(self) -> str:
        """Of what it is now."""
        with self.path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()

    def per_second(self, seconds: float) -> float:
        """MB/s of a transfer that took so long."""
        return self.size_bytes / seconds / 1e6
