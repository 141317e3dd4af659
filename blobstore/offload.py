"""Run a blocking call in the hub's threadpool under gevent, plainly elsewhere."""

from __future__ import annotations

from collections.abc import Callable
from typing import ParamSpec, TypeVar

from gevent import get_hub
from gevent.monkey import is_module_patched

P = ParamSpec("P")
T = TypeVar("T")


def offload(call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Return `call(*args, **kwargs)`, or raise what it raises, without stopping the other greenlets of this worker."""
    if not is_module_patched("socket"):
        return call(*args, **kwargs)
    result: T = get_hub().threadpool.apply(call, args, kwargs)
    return result
