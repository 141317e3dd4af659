"""Credentials to caller: who is behind a name and password, or an API key. Decided anew on every request.

The user's row is read every time, so a changed password, a revoked key or a disabled user is refused on the next
request of every worker. What is remembered is only that a password fits a stored hash: argon2 runs once, not each time.

    password   the row -> remembered good? -> count the attempt -> remembered wrong? -> argon2 -> take the attempt back
    API key    well-formed? -> the row by its SHA-256
    token      signed by us? -> the row of its session
"""

from __future__ import annotations

import hmac
import secrets
import time
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Any

from gevent.lock import BoundedSemaphore

from blobstore.core import keys, new_password, passwords, sessions
from blobstore.core.gate import ALL_SCOPES, Caller, Scope
from blobstore.core.guesses import Guesses
from blobstore.core.limits import Limiter
from blobstore.core.passwords import DECOY, Verifier
from blobstore.core.store import Store
from blobstore.core.tally import Tally
from blobstore.database import Prepared
from blobstore.emails import fold
from blobstore.errors import EmailUnverified, TooManyAttempts, Unauthenticated

MAX_NAME_BYTES = 254
GOOD_SECONDS, WRONG_SECONDS, REMEMBERED = 300.0, 60.0, 10_000
TOUCH_SECONDS = 60.0
_USER = "u.id, u.name, u.role, u.quota_bytes, u.used_bytes + u.reserved_bytes, u.disabled OR NOT u.admitted"
_BY_NAME = Prepared(
    "user_by_name",
    ("text",),
    f"""SELECT {_USER}, u.password_hash, u.epoch, u.disabled FROM users u
        WHERE u.name = $1 OR (u.email = $1 AND u.verified)""",
)
_BY_KEY = Prepared(
    "user_by_key",
    ("text",),
    f"""SELECT {_USER}, k.id, k.scopes, k.last_used_at, k.folder FROM api_keys k JOIN users u ON u.id = k.owner_id
        WHERE k.key_hash = $1 AND (k.expires_at IS NULL OR k.expires_at > clock_timestamp())""",
)
_BY_SESSION = Prepared(
    "user_by_session",
    ("text",),
    f"""SELECT {_USER} FROM sessions s JOIN users u ON u.id = s.owner_id
        WHERE s.id = $1 AND s.expires_at > clock_timestamp()""",
)


@dataclass(slots=True)
class _Remembered:
    fits: bool
    until: float


@dataclass(slots=True)
class _Turn:
    """Requests with the same credentials that nothing is remembered of: one is judged, the others wait."""

    lock: BoundedSemaphore = field(default_factory=BoundedSemaphore)
    waiting: int = 0


class Credentials:
    """One worker's judge of credentials, with what it remembers."""

    def __init__(self, store: Store, tally: Tally | None = None) -> None:
        self._store = store
        self._tally = tally or Tally()
        self._limiter = Limiter(store.database)
        self.verifier = Verifier()
        self._secret = secrets.token_bytes(32)
        self._memory: OrderedDict[bytes, _Remembered] = OrderedDict()
        self._turns: dict[bytes, _Turn] = {}
        self._guesses = Guesses(store.settings.login_failures, store.settings.login_window_seconds)

    def by_password(self, name: str, password: str, address: str, *, keys_too: bool = True) -> Caller:
        """The caller behind a name or proven e-mail, and a password or, unless not `keys_too`, an API key in its place.

        Raises Unauthenticated, EmailUnverified when all is right but that he was never let in, TooManyAttempts, Busy.
        `address` is the client's, for the limit of failures.
        """
        if keys_too and password.startswith("bs_"):
            caller = self.by_key(password)
            if not self._is_called(caller, name):
                raise Unauthenticated("wrong name or password")
            return caller
        if not _plausible(name, password):
            raise Unauthenticated("wrong name or password")
        folded = fold(name)
        row = self._store.database.fetch(_BY_NAME, folded)
        # A disabled user is nobody: what his own password costs here, or counts, would tell that it is right.
        known = row if row is not None and not row[8] else None
        user_id, account, password_hash = (known[0], known[1], known[6]) if known else (0, folded, DECOY)
        if not self._fits(user_id, password_hash, password, (account, address)) or known is None:
            self._tally.failed_login(row[1] if row else None, row[0] if row else None, address)
            raise Unauthenticated("wrong name or password")
        if known[5]:
            raise EmailUnverified("this account waits for its e-mail to be verified; a link was sent there")
        return replace(_caller(known, ALL_SCOPES, by_password=True), epoch=known[7])

    def by_key(self, key: str) -> Caller:
        """The caller behind an API key, with its scopes and its folder. Raises Unauthenticated."""
        row = self._store.database.fetch(_BY_KEY, keys.hash_key(key)) if keys.is_well_formed(key) else None
        if row is None or row[5]:
            raise Unauthenticated("this API key is not valid")
        key_id, scopes, last_used_at, folder = row[6:10]
        if last_used_at is None or _older(last_used_at, TOUCH_SECONDS):
            with self._store.database.transaction() as session:
                keys.touch(session, key_id)
        caller = _caller(row, frozenset(Scope(scope) for scope in scopes), by_password=False)
        return replace(caller, key_id=key_id, folder=folder)

    def by_token(self, token: str) -> Caller:
        """The caller behind a login token, who may do what his password allows. Raises Unauthenticated."""
        session_id = sessions.session_id(self._store, token)
        row = self._store.database.fetch(_BY_SESSION, session_id) if session_id else None
        if row is None or row[5]:
            raise Unauthenticated("this login token is not valid, or not any more")
        return _caller(row, ALL_SCOPES, by_password=True, session_id=session_id)

    def _is_called(self, caller: Caller, name: str) -> bool:
        """Whether `name` is the caller's name or e-mail."""
        if fold(name) == caller.name:
            return True
        row = self._store.database.fetch(_BY_NAME, fold(name)) if _plausible(name, "any") else None
        return row is not None and row[0] == caller.user_id

    def _fits(self, user_id: int, password_hash: str, password: str, who: tuple[str, str]) -> bool:
        # With the name: else a password tried under one unknown name would be answered sooner under another one.
        # With the address: else whoever guesses elsewhere would be told, without a limit, which one is at work here.
        memory_key = self._memory_key(user_id, password_hash, password, *who)
        if self._is_good(memory_key, who):
            return True
        with self._judged_once(memory_key):
            return self._judge(memory_key, user_id, password_hash, password, who)

    @contextmanager
    def _judged_once(self, memory_key: bytes) -> Iterator[None]:
        """A client may open many connections at once: they wait for the first one's verdict.

        Each would count as an attempt, so that the right password ran into the limit of wrong ones.
        """
        turn = self._turns.setdefault(memory_key, _Turn())
        turn.waiting += 1
        try:
            with turn.lock:
                yield
        finally:
            turn.waiting -= 1
            if not turn.waiting:
                self._turns.pop(memory_key, None)

    def _judge(self, memory_key: bytes, user_id: int, password_hash: str, password: str, who: tuple[str, str]) -> bool:
        if self._is_good(memory_key, who):
            return True
        try:
            self._count_attempt(*who)
        except TooManyAttempts:
            self._guesses.note(who, memory_key)
            raise
        remembered = self._recall(memory_key)
        if remembered and not remembered.fits:
            return False
        try:
            fits = self.verifier.verify(password_hash, password, who[1])
        except BaseException:
            self._give_back(self._limits(*who))
            raise
        self._remember(memory_key, fits=fits)
        if fits:
            self._give_back(self._limits(*who))
            new_password.rehash(self._store, user_id, password_hash, password)
        return fits

    def _is_good(self, memory_key: bytes, who: tuple[str, str]) -> bool:
        remembered = self._recall(memory_key)
        return remembered is not None and remembered.fits and not self._guesses.abound(who)

    def _limits(self, name: str, address: str) -> list[tuple[int, tuple[str, ...]]]:
        """How many failures there may be of what, the closest first: nobody uses up what all have together."""
        settings = self._store.settings
        return [
            (settings.login_failures, ("login", name, address)),
            (settings.login_failures_per_address, ("login-address", address)),
            (settings.login_failures_total, ("login-total",)),
        ]

    def _count_attempt(self, name: str, address: str) -> None:
        """Before argon2, so that a flood of wrong passwords costs no more than a query each."""
        limits, seconds = self._limits(name, address), self._store.settings.login_window_seconds
        for number, (amount, names) in enumerate(limits):
            try:
                self._limiter.take("failed logins", amount, seconds, *names)
            except TooManyAttempts:
                self._give_back(limits[:number])
                raise

    def _give_back(self, limits: list[tuple[int, tuple[str, ...]]]) -> None:
        """Take back an attempt that has succeeded, or was not made."""
        for amount, names in limits:
            self._limiter.give_back(amount, self._store.settings.login_window_seconds, *names)

    def _memory_key(self, *parts: int | str) -> bytes:
        """An HMAC over length-prefixed fields: without the lengths two of them could be shifted into another pair."""
        mac = hmac.new(self._secret, digestmod=sha256)
        for part in parts:
            encoded = str(part).encode()
            mac.update(len(encoded).to_bytes(8, "big") + encoded)
        return mac.digest()

    def _recall(self, memory_key: bytes) -> _Remembered | None:
        remembered = self._memory.get(memory_key)
        if remembered is None or remembered.until < time.monotonic():
            return None
        self._memory.move_to_end(memory_key)
        return remembered

    def _remember(self, memory_key: bytes, *, fits: bool) -> None:
        until = time.monotonic() + (GOOD_SECONDS if fits else WRONG_SECONDS)
        self._memory[memory_key] = _Remembered(fits, until)
        while len(self._memory) > REMEMBERED:
            self._memory.popitem(last=False)


def _plausible(name: str, password: str) -> bool:
    """Whether the two can be a user's at all; argon2 does not run for anything else."""
    if not name or not password or "\0" in name:
        return False
    return len(name.encode()) <= MAX_NAME_BYTES and len(password.encode()) <= passwords.MAX_PASSWORD_BYTES


def _older(moment: datetime, seconds: float) -> bool:
    return datetime.now(moment.tzinfo) - moment > timedelta(seconds=seconds)


def _caller(row: Any, scopes: frozenset[Scope], *, by_password: bool, session_id: str | None = None) -> Caller:
    user_id, name, role, quota_bytes, used_bytes = row[:5]
    if role != "admin":
        scopes -= {Scope.ADMIN}
    return Caller(user_id, name, role, scopes, quota_bytes, used_bytes, by_password, session_id)
