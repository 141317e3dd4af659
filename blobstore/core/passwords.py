"""Passwords: what may be one; and their hashes, one at a time in a worker, in the threadpool.

argon2id with OWASP's minimum: 19 MiB, two passes, one lane: about 19 ms of one core. See security.md, "Passwords".
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from argon2 import PasswordHasher
from argon2.exceptions import HashingError, InvalidHashError, VerificationError
from argon2.low_level import error_to_str
from gevent.lock import BoundedSemaphore

from blobstore.errors import BadOption, Busy
from blobstore.offload import offload

MIN_PASSWORD_LENGTH = 8
MAX_PASSWORD_BYTES = 1024
_HASHER = PasswordHasher(time_cost=2, memory_cost=19 * 1024, parallelism=1)
DECOY = "$argon2id$v=19$m=19456,t=2,p=1$oOgy/P+Csw7D7sopOMRnxQ$vj8qOyjBKT0II1LR4QhgyJ5pv5iJYtDUavZ5YPT1e0M"
"""What the password of an unknown name is verified against: nobody has the password, and it costs the same time."""

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


def hash_password(password: str) -> str:
    """The argon2id hash, with its parameters and a random salt. Raises Busy without the memory for it."""
    try:
        return offload(_HASHER.hash, password)
    except HashingError as error:
        raise Busy("no memory is left for this login") from error


def is_outdated(password_hash: str) -> bool:
    """Whether the hash was made with other parameters than today's."""
    return _HASHER.check_needs_rehash(password_hash)


class Verifier:
    """Runs argon2 for strangers, one at a time; `waiting` more may queue in this worker, the next one is refused."""

    def __init__(self, waiting: int = 8) -> None:
        self._running = BoundedSemaphore(1)
        self._most = 1 + waiting
        self._places = BoundedSemaphore(self._most)

    @property
    def under_way(self) -> int:
        """How many passwords are being hashed, or wait for it."""
        return int(self._most - self._places.counter)

    def verify(self, password_hash: str, password: str) -> bool:
        """Whether the password has that hash. Raises Busy when too many wait already, and without the memory for it."""
        with self._turn():
            return offload(_verify, password_hash, password)

    def hash(self, password: str) -> str:
        """The hash of a password that somebody without an account brings. Raises Busy, as `verify` does."""
        with self._turn():
            return hash_password(password)

    @contextmanager
    def _turn(self) -> Iterator[None]:
        if not self._places.acquire(blocking=False):
            raise Busy("too many logins at once")
        try:
            with self._running:
                yield
        finally:
            self._places.release()


def _verify(password_hash: str, password: str) -> bool:
    try:
        return _HASHER.verify(password_hash, password)
    except InvalidHashError:
        return False
    except VerificationError as error:
        if str(error) == _NO_MEMORY:
            raise Busy("no memory is left for this login") from error
        return False
