"""Processes that die at failpoints: `python -m tests.crash.peer` forks one child for each order it reads.

An order is a line of JSON: `{"verb": …, "arguments": {…}, "failpoints": "…"}`. The answer is a line of JSON too:
`{"acknowledged": …, "signal": …, "failed": …}`: what it said before its end, the signal that ended it (0: none), and
whether it raised. The children are
real processes that die of a real kill -9; forking them from one that has imported everything makes them cheap.
"""

from __future__ import annotations

import json
import os
import sys
import traceback
from collections.abc import Callable
from datetime import timedelta
from typing import Any

from blobstore.app import open_store
from blobstore.core import bans, delete, files, upkeep, upload
from blobstore.core.actor import OPERATOR
from blobstore.core.files import Changes
from blobstore.core.gate import ALL_SCOPES, Caller
from blobstore.core.store import Store
from blobstore.digest import Digest
from blobstore.environment import load

NOW = timedelta(0)


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


VERBS: dict[str, Callable[..., object]] = {
    "upload": _upload,
    "instant": _instant,
    "delete": _delete,
    "rename": _rename,
    "ban": _ban,
    "reap": _reap,
    "sweep": _sweep,
    "adopt": _adopt,
}


def _live(order: dict[str, Any], answer: int) -> None:
    os.environ["BLOBSTORE_FAILPOINTS"] = order["failpoints"]
    acknowledged = VERBS[order["verb"]](open_store(load(dotenv=None)), **order["arguments"])
    os.write(answer, json.dumps(acknowledged).encode())


def _fork(order: dict[str, Any]) -> dict[str, Any]:
    reader, writer = os.pipe()
    child = os.fork()
    if not child:
        try:
            _live(order, writer)
            os._exit(0)
        except BaseException:
            traceback.print_exc()
            os._exit(1)
    os.close(writer)
    with os.fdopen(reader) as said:
        acknowledged = said.read()
    _, status = os.waitpid(child, 0)
    ended = os.waitstatus_to_exitcode(status)
    return {"acknowledged": json.loads(acknowledged or "null"), "signal": max(-ended, 0), "failed": ended > 0}


def main() -> None:
    """Serve orders until there are no more."""
    for line in sys.stdin:
        print(json.dumps(_fork(json.loads(line))), flush=True)


if __name__ == "__main__":
    main()
