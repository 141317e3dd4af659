"""Run a blocking call in the hub's threadpool under gevent, plainly elsewhere."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

from gevent import get_hub
from gevent.monkey import is_module_patched

from blobstore.errors import Busy

P = ParamSpec("P")
T = TypeVar("T")


def offload(call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Return `call(*args, **kwargs)`, or raise what it raises, without stopping the other greenlets of this worker.

    Raises Busy when no thread can be made; the call may be made all the same, later, and its result is dropped.
    """
    if not is_module_patched("socket"):
        return call(*args, **kwargs)
    try:
        result, error = get_hub().threadpool.apply(_attempt, (call, args, kwargs))
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
