"""Passwords: what may be one; and their hashes, one at a time in a worker, in a thread that yields to all others.

argon2id with OWASP's minimum: 19 MiB, two passes, one lane: about 19 ms of one core. See security.md, "Passwords".
"""

from __future__ import annotations

from argon2 import PasswordHasher
from argon2.exceptions import HashingError, InvalidHashError, VerificationError
from argon2.low_level import error_to_str

from blobstore.core.turns import Turns
from blobstore.errors import BadOption, Busy
from blobstore.offload import compute

MIN_PASSWORD_LENGTH = 8
MAX_PASSWORD_BYTES = 1024
_HASHER = PasswordHasher(time_cost=2, memory_cost=19 * 1024, parallelism=1)
DECOY = "$argon2id$v=19$m=19456,t=2,p=1$oOgy/P+Csw7D7sopOMRnxQ$vj8qOyjBKT0II1LR4QhgyJ5pv5iJYtDUavZ5YPT1e0M"
"""What the password of an unknown name is verified against: nobody has the password, and it costs the same time."""

_TURNS = Turns()
"""Of this process, whoever makes or asks for a hash: a run takes a whole core, and 19 MiB."""
_NO_MEMORY = error_to_str(-22)
"""ARGON2_MEMORY_ALLOCATION_ERROR of argon2.h: the library has one exception for that and for a broken hash."""


def check_password(password: str) -> str:
    """The password, if it may be one. Raises BadOption: 8 characters to 1,024 bytes, not like an API key."""
    if len(password) < MIN_PASSWORD_LENGTH or len(password.encode()) > MAX_PASSWORD_BYTES:
        raise BadOption("password", f"has {MIN_PASSWORD_LENGTH} characters to {MAX_PASSWORD_BYTES} bytes")
    if password.startswith("bs_"):
        raise BadOption("password", "must not start with bs_, which is how API keys start")
    if "\0" in password:
        raise BadOption("password", "has no NUL")
    return password


def hash_password(password: str, client: str = "") -> str:
    """The argon2id hash, with its parameters and a random salt; `client` is whose turn it takes.

    Raises Busy when too many wait already, and without the memory for it.
    """
    with _TURNS.turn(client):
        return compute(_hash, password)


def is_outdated(password_hash: str) -> bool:
    """Whether the hash was made with other parameters than today's."""
    return _HASHER.check_needs_rehash(password_hash)


class Verifier:
    """Verifies passwords; with whoever hashes one in this process it takes turns."""

    @property
    def under_way(self) -> int:
        """How many passwords are being hashed, or wait for it."""
        return _TURNS.under_way

    def verify(self, password_hash: str, password: str, client: str = "") -> bool:
        """Whether the password has that hash. Raises Busy as `hash_password` does."""
        with _TURNS.turn(client):
            return compute(_verify, password_hash, password)


def _hash(password: str) -> str:
    try:
        return _HASHER.hash(password)
    except HashingError as error:
        raise Busy("no memory is left for this login") from error


def _verify(password_hash: str, password: str) -> bool:
    try:
        return _HASHER.verify(password_hash, password)
    except InvalidHashError:
        return False
    except VerificationError as error:
        if str(error) == _NO_MEMORY:
            raise Busy("no memory is left for this login") from error
        return False
