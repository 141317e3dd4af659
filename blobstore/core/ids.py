"""Random names in base62: the ids of files and the bodies of API keys."""

from __future__ import annotations

import secrets
import string

BASE62 = string.digits + string.ascii_uppercase + string.ascii_lowercase


def random_base62(length: int) -> str:
    """`length` characters from the system's random source, 5.95 bits each."""
    return "".join(secrets.choice(BASE62) for _ in range(length))


def base62(number: int, length: int) -> str:
    """`number` in base62, padded with zeros to `length` characters."""
    digits = ""
    while number:
        number, rest = divmod(number, 62)
        digits = BASE62[rest] + digits
    return digits.rjust(length, "0")
