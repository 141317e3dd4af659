"""A storage that fails, stalls or calls back at a chosen verb, around any other.

    faults = Faults(Memory())
    faults.before("publish", fails(StorageFull()))      # every publish
    faults.after("publish", callback, turn=2)           # behind the second one, once

The verbs are the methods of Storage and Staged, and `read`, of the readers.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Any, BinaryIO, Self, TypeVar, cast

from blobstore.digest import Digest
from blobstore.storage import Staged, Storage

T = TypeVar("T")
Action = Callable[[], object]

VERBS = frozenset(
    {
        "stage",
        "open",
        "scan",
        "size",
        "delete",
        "exclusive",
        "locations",
        "obstacles",
        "free_bytes",
        "probe",
        "identity",
        "discard_abandoned",
    }
    | {"write", "publish", "discard", "read"}
)


def fails(error: BaseException) -> Action:
    """An action that raises `error`."""

    def action() -> None:
        raise error

    return action


class Stall:
    """An action that waits: the test waits for `reached`, looks around, and calls `go_on`."""

    def __init__(self, limit_seconds: float = 60) -> None:
        self._reached, self._released, self._limit_seconds = threading.Event(), threading.Event(), limit_seconds

    def __call__(self) -> None:
        self._reached.set()
        assert self._released.wait(self._limit_seconds), "nobody called go_on()"

    def reached(self) -> None:
        """Return when somebody is waiting here."""
        assert self._reached.wait(self._limit_seconds), "nobody came by"

    def go_on(self) -> None:
        """Let everybody pass, now and later."""
        self._released.set()


class Faults:
    """`inner`, with actions before and after its verbs. `calls` counts every verb that was begun."""

    def __init__(self, inner: Storage) -> None:
        self.inner = inner
        self.calls: Counter[str] = Counter()
        self._actions: dict[tuple[str, str], list[tuple[int | None, Action]]] = {}

    def before(self, verb: str, action: Action, turn: int | None = None) -> None:
        """Run `action` before each passage of `verb`, or before the `turn`th one only, counted from now, from 1."""
        self._add("before", verb, action, turn)

    def after(self, verb: str, action: Action, turn: int | None = None) -> None:
        """The same behind the verb: it succeeded, and when `action` raises its caller does not know."""
        self._add("after", verb, action, turn)

    def clear(self) -> None:
        """Forget all actions."""
        self._actions.clear()

    def stage(self) -> FaultyStaged:
        return self.around("stage", lambda: FaultyStaged(self, self.inner.stage()))

    def open(self, location: str, start: int = 0, size_bytes: int | None = None) -> BinaryIO:
        def opened() -> BinaryIO:
            return cast(BinaryIO, FaultyReader(self, self.inner.open(location, start, size_bytes)))

        return self.around("open", opened)

    def scan(self, location: str) -> BinaryIO:
        return self.around("scan", lambda: cast(BinaryIO, FaultyReader(self, self.inner.scan(location))))

    def size(self, location: str) -> int | None:
        return self.around("size", lambda: self.inner.size(location))

    def delete(self, location: str) -> None:
        self.around("delete", lambda: self.inner.delete(location))

    @contextmanager
    def exclusive(self, digest: Digest) -> Iterator[None]:
        with self.inner.exclusive(digest):
            self.around("exclusive", lambda: None)
            yield

    def locations(self) -> Iterator[tuple[str, Digest, int, datetime]]:
        return self.around("locations", self.inner.locations)

    def obstacles(self) -> Iterator[str]:
        return self.around("obstacles", self.inner.obstacles)

    def free_bytes(self) -> int | None:
        return self.around("free_bytes", self.inner.free_bytes)

    def probe(self) -> None:
        self.around("probe", self.inner.probe)

    def identity(self) -> str | None:
        return self.around("identity", self.inner.identity)

    def discard_abandoned(self, older_than: timedelta) -> int:
        return self.around("discard_abandoned", lambda: self.inner.discard_abandoned(older_than))

    def around(self, verb: str, call: Callable[[], T]) -> T:
        """Make `call` with what was asked for before and after `verb`."""
        self.calls[verb] += 1
        turn = self.calls[verb]
        self._run("before", verb, turn)
        result = call()
        self._run("after", verb, turn)
        return result

    def _add(self, when: str, verb: str, action: Action, turn: int | None) -> None:
        assert verb in VERBS, verb
        absolute = None if turn is None else self.calls[verb] + turn
        self._actions.setdefault((when, verb), []).append((absolute, action))

    def _run(self, when: str, verb: str, turn: int) -> None:
        for wanted, action in list(self._actions.get((when, verb), ())):
            if wanted in (None, turn):
                action()


class FaultyStaged:
    """A Staged whose verbs pass through Faults."""

    def __init__(self, faults: Faults, inner: Staged) -> None:
        self._faults, self._inner = faults, inner

    def write(self, chunk: bytes | bytearray | memoryview) -> None:
        self._faults.around("write", lambda: self._inner.write(chunk))

    def publish(self, digest: Digest) -> str:
        return self._faults.around("publish", lambda: self._inner.publish(digest))

    def discard(self) -> None:
        self._faults.around("discard", self._inner.discard)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.discard()


class FaultyReader:
    """A reader whose reads pass through Faults; everything else is the inner one's."""

    def __init__(self, faults: Faults, inner: BinaryIO) -> None:
        self._faults, self._inner = faults, inner

    def read(self, size: int = -1) -> bytes:
        return self._faults.around("read", lambda: self._inner.read(size))

    def readinto(self, buffer: Any) -> int:
        return self._faults.around("read", lambda: cast(int, cast(Any, self._inner).readinto(buffer)))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._inner.close()
