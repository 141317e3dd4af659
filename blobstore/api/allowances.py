"""Requests a minute: counted when it is known who asks, told in every answer that was counted.

The fields are those of draft-ietf-httpapi-ratelimit-headers-11: RateLimit-Policy is the limit, RateLimit what is left.
"""

from __future__ import annotations

from collections.abc import Callable

from flask import Response, request

from blobstore.api.context import parts
from blobstore.core.allowances import WINDOW_SECONDS, Allowance
from blobstore.core.gate import Caller

_ALLOWANCE = "blobstore.allowance"


def spend(caller: Caller | None, address: Callable[[], str]) -> None:
    """Count this request, before anything of its body is read; `address` is not asked without a limit.

    Raises TooManyRequests.
    """
    allowances = parts().allowances
    if not allowances.on:
        return
    allowance = allowances.spend(caller, address())
    if allowance is not None:
        request.environ[_ALLOWANCE] = allowance
        allowance.check()


def tell(response: Response) -> None:
    """Say what is left of the limit, when the request was counted."""
    allowance: Allowance | None = request.environ.get(_ALLOWANCE)
    if allowance is not None:
        policy = f'"{allowance.policy}"'
        response.headers["RateLimit-Policy"] = f"{policy};q={allowance.limit};w={WINDOW_SECONDS}"
        response.headers["RateLimit"] = f"{policy};r={allowance.left};t={allowance.ends_in_seconds}"
