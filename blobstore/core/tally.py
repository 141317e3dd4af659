"""What happens too often for a row each in the audit log: downloads of private files, and failed logins.

They are added up in the worker and written every few seconds, one event for all of a kind by the same person from the
same address, with how many they were. What a worker has not written when it is killed is lost, as with the download
counters. The failed logins that are judged at all are bounded by the limits of credentials.py, and so are their events.
"""

from __future__ import annotations

from dataclasses import dataclass

from blobstore.core import events
from blobstore.core.actor import Actor
from blobstore.core.download import Found
from blobstore.core.events import About, Action
from blobstore.core.store import Store
from blobstore.database import retrying


@dataclass(frozen=True, slots=True)
class _Kind:
    """Events that become one."""

    action: Action
    user: str | None
    address: str
    about: About


@dataclass(slots=True)
class _Sum:
    request_id: str
    times: int = 0
    sent_bytes: int = 0


class Tally:
    """One worker's events that are not written yet; `traffic`: downloads are among them."""

    def __init__(self, *, traffic: bool = True) -> None:
        self._traffic = traffic
        self._pending: dict[_Kind, _Sum] = {}

    def download(self, found: Found, by: Actor, length: int) -> None:
        """Note that somebody was sent `length` bytes of a private file."""
        if self._traffic:
            about = About(found.owner_id, found.digest, found.file_id)
            self._add(_Kind(Action.DOWNLOAD, by.name, by.address, about), by.request_id, length)

    def failed_login(self, user: str | None, owner_id: int | None, address: str) -> None:
        """Note a wrong password for `user`; None when there is none: the name may be a password in the wrong field."""
        self._add(_Kind(Action.LOGIN_FAILED, user, address, About(owner_id)), "", 0)

    def flush(self, store: Store) -> None:
        """Write what was added up; kept for the next time when the database does not answer."""
        pending, self._pending = self._pending, {}
        if not pending:
            return
        try:
            _write(store, pending)
        except BaseException:
            for kind, sum_ in self._pending.items():
                _merge(pending, kind, sum_)
            self._pending = pending
            raise

    def _add(self, kind: _Kind, request_id: str, length: int) -> None:
        _merge(self._pending, kind, _Sum(request_id, 1, length))


def _merge(into: dict[_Kind, _Sum], kind: _Kind, more: _Sum) -> None:
    """The newest request stands for all."""
    before = into.setdefault(kind, _Sum(more.request_id))
    before.request_id = more.request_id
    before.times += more.times
    before.sent_bytes += more.sent_bytes


@retrying
def _write(store: Store, pending: dict[_Kind, _Sum]) -> None:
    with store.database.transaction() as session:
        for kind, sum_ in pending.items():
            by = Actor(kind.user, kind.address, sum_.request_id)
            sent = {"bytes": sum_.sent_bytes} if kind.action is Action.DOWNLOAD else {}
            events.note(session, by, kind.action, kind.about, times=sum_.times, **sent)
