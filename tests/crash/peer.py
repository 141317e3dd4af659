"""Processes that die: `python -m tests.crash.peer` forks one child for each order it reads.

An order is a line of JSON: `{"verb": …, "arguments": {…}, "failpoints": "…", "changed": "…", "held": …}`. The answer is
a line of JSON too: `{"acknowledged": …, "signal": …, "failed": …}`: what it said before its end, the signal that ended
it (0: none), and the name of the error that it raised, if it did.

A child that is `held` first says `{"pid": …, "backend": …}`, its process and PostgreSQL's for it, and begins when it
reads a line: so a tracer sees the system calls of the verb and nothing else. `changed` names one of CHANGES.

The children are real processes that die of a real kill -9; forking them from one that has imported everything makes
them cheap.
"""

from __future__ import annotations

import ctypes
import json
import os
import signal
import socket
import sys
import traceback
from collections.abc import Callable
from datetime import timedelta
from typing import Any

from sqlalchemy import text

from blobstore.core import bans, delete, files, upkeep, upload
from blobstore.core.actor import OPERATOR
from blobstore.core.files import Changes
from blobstore.core.gate import ALL_SCOPES, Caller
from blobstore.core.identity import confirm
from blobstore.core.store import Store, open_store
from blobstore.digest import Digest
from blobstore.environment import load
from blobstore.errors import BlobstoreError
from blobstore.storage.disk import Disk
from tests.crash.changes import CHANGES

NOW = timedelta(0)
PR_SET_PTRACER, ANYBODY = 0x59616D61, -1
SAID_BYTES = 4096
GO = signal.SIGUSR1


def caller(user_id: int) -> Caller:
    """That user, with every scope and no quota."""
    return Caller(user_id, "me", "user", ALL_SCOPES, None, 0, by_password=True)


def _upload(store: Store, *, owner: int, content: str, name: str) -> object:
    # In two pieces, so that it can die between them.
    raw = content.encode()
    outcome = upload.upload(store, caller(owner), [raw[:1], raw[1:]], Changes(name=name))
    return outcome.file.digest.hex


def _instant(store: Store, *, owner: int, digest: str, name: str) -> object:
    outcome = upload.instant(store, caller(owner), Digest(digest), Changes(name=name))
    return outcome and outcome.file.digest.hex


def _delete(store: Store, *, owner: int, digest: str) -> object:
    return delete.delete_content(store, caller(owner), Digest(digest)).files


def _rename(store: Store, *, owner: int, file_id: str, name: str) -> object:
    return files.change(store, caller(owner), file_id, Changes(name=name)).name


def _ban(store: Store, *, digest: str) -> object:
    return bans.ban(store, Digest(digest), "for the test", OPERATOR).removed


def _reap(store: Store) -> object:
    return upkeep.reap(store, NOW)


def _sweep(store: Store) -> object:
    return upkeep.sweep(store, NOW).blobs


def _adopt(store: Store) -> object:
    return upkeep.adopt(store, NOW)


def _prepare(store: Store) -> object:
    Disk(store.settings.data / "another").prepare()
    return True


VERBS: dict[str, Callable[..., object]] = {
    "upload": _upload,
    "instant": _instant,
    "delete": _delete,
    "rename": _rename,
    "ban": _ban,
    "reap": _reap,
    "sweep": _sweep,
    "adopt": _adopt,
    "prepare": _prepare,
}


def _live(order: dict[str, Any], answer: socket.socket) -> None:
    os.environ["BLOBSTORE_FAILPOINTS"] = order["failpoints"]
    if order["changed"]:
        CHANGES[order["changed"]]()
    store = open_store(load(dotenv=None))
    if order["held"]:
        _hold(store, answer)
    acknowledged = VERBS[order["verb"]](store, **order["arguments"])
    answer.send(json.dumps(acknowledged).encode())


def _hold(store: Store, answer: socket.socket) -> None:
    """Do now what is done once in a process, then wait to be told to go on."""
    confirm(store)
    store.storage.stage().discard()
    with store.database.transaction() as session:
        backend = session.scalar(text("SELECT pg_backend_pid()"))
    ctypes.CDLL(None).prctl(PR_SET_PTRACER, ctypes.c_long(ANYBODY))
    # A signal: waiting for it is no call on a descriptor, which a tracer might count or miss.
    signal.pthread_sigmask(signal.SIG_BLOCK, {GO})
    answer.send(json.dumps({"pid": os.getpid(), "backend": backend}).encode())
    signal.sigwait({GO})


def _fork(order: dict[str, Any]) -> dict[str, Any]:
    # Packets: each message is one, and the end is an empty one. And no `write`, which only the storage does then.
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    child = os.fork()
    if not child:
        ours.close()
        try:
            _live(order, theirs)
            os._exit(0)
        except BaseException as error:
            theirs.send(json.dumps({"failed": type(error).__name__}).encode())
            if not isinstance(error, BlobstoreError):
                traceback.print_exc()
            os._exit(1)
    theirs.close()
    with ours:
        if order["held"]:
            print(ours.recv(SAID_BYTES).decode(), flush=True)
            sys.stdin.readline()
            os.kill(child, GO)
        acknowledged = ours.recv(SAID_BYTES)
    _, status = os.waitpid(child, 0)
    ended = os.waitstatus_to_exitcode(status)
    said = json.loads(acknowledged or "null")
    failed = said["failed"] if ended > 0 else None
    return {"acknowledged": None if failed else said, "signal": max(-ended, 0), "failed": failed}


def main() -> None:
    """Serve orders until there are no more."""
    for line in sys.stdin:
        print(json.dumps(_fork(json.loads(line))), flush=True)


if __name__ == "__main__":
    main()
