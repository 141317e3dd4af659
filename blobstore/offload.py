"""Run a blocking call in the hub's threadpool under gevent, plainly elsewhere."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import cache
from typing import Any, ParamSpec, TypeVar

from gevent import get_hub
from gevent.monkey import is_module_patched
from gevent.threadpool import ThreadPool

from blobstore.errors import Busy

P = ParamSpec("P")
T = TypeVar("T")

NICE = 10
"""What `compute` lowers the priority to: a tenth of the others' share when there is not enough for all."""


def offload(call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Return `call(*args, **kwargs)`, or raise what it raises, without stopping the other greenlets of this worker.

    Raises Busy when no thread can be made; the call may be made all the same, later, and its result is dropped.
    """
    if not is_module_patched("socket"):
        return call(*args, **kwargs)
    return _apply(get_hub().threadpool, call, args, kwargs)


def compute(call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """As `offload`, for what takes a core for long: one at a time, and behind everything else that wants the core."""
    if not is_module_patched("socket"):
        return call(*args, **kwargs)
    result: T = _apply(_computing(), _politely, (call, args, kwargs), {})
    return result


@cache
def _computing() -> ThreadPool:
    """A thread of its own: a priority that was lowered cannot be raised again."""
    return ThreadPool(1)


def _politely(call: Callable[..., T], args: Any, kwargs: Any) -> T:
    # Of this thread alone: Linux gives each its own.
    os.setpriority(os.PRIO_PROCESS, 0, NICE)
    return call(*args, **kwargs)


def _apply(pool: ThreadPool, call: Callable[..., T], args: Any, kwargs: Any) -> T:
    try:
        result, error = pool.apply(_attempt, (call, args, kwargs))
    except RuntimeError as refused:
        raise Busy("no thread is left for this request") from refused
    if error is None:
        return result  # type: ignore[no-any-return]
    try:
        raise error
    finally:
        # It refers to this frame; what it holds open must not wait for the collector of cycles.
        del error


def _attempt(call: Callable[..., Any], args: Any, kwargs: Any) -> tuple[Any, BaseException | None]:
    """The result or the error: what a task of the pool raises, gevent prints to standard error as well."""
    try:
        return call(*args, **kwargs), None
    except BaseException as error:
        return None, error
