"""The limit of requests is one for all workers of a running service."""

from __future__ import annotations

import re
from contextlib import ExitStack
from pathlib import Path

import pytest

from blobstore.core import accounts
from blobstore.core.gate import ALL_SCOPES
from blobstore.core.keys import issue
from blobstore.core.store import Store
from tests.api.crowd import Crowd
from tests.children import query
from tests.conftest import PASSWORD
from tests.live import service
from tests.served import Answer, Client

MORE = 20


def left(answer: Answer) -> int:
    """How many more requests its RateLimit allows."""
    match = re.fullmatch(r'"(?:user|address)";r=(\d+);t=\d+', answer.headers["ratelimit"])
    assert match
    return int(match[1])


def invited(client: Client, authorization: str) -> int:
    """What a large upload is answered that waits for `100 Continue`."""
    line = f"Authorization: {authorization}\r\n" if authorization else ""
    head = f"PUT /upload/x HTTP/1.1\r\nHost: x\r\n{line}Content-Length: 1000000000\r\nExpect: 100-continue\r\n\r\n"
    return client.send(head).answer().status


@pytest.mark.parametrize(("workers", "each"), [(4, 13), (6, 9)])
def test_exactly_so_many_requests_pass(
    store: Store, tmp_path: Path, database_url: str, workers: int, each: int
) -> None:
    """With n workers n times as many requests would pass, or too many of those that come at once; or a body be sent."""
    limit = workers * each + 1 - MORE
    limits = {"requests_per_minute": limit, "requests_per_minute_per_address": limit}
    key = issue(store, accounts.add(store, "me", PASSWORD).id, "k", ALL_SCOPES)[1]
    started = service(tmp_path, database_url, workers=workers, keepalive_seconds=60, **limits)
    with started as live, ExitStack() as stack:
        crowd = Crowd(live, stack, workers, each)
        for authorization, policy in ((f"Bearer {key}", "user"), ("", "address")):
            # The window begins here and is made long, so that none ends on a machine that stands still meanwhile.
            with live.connect() as first:
                assert left(crowd.answer(first, authorization)) == limit - 1
            query(database_url, "UPDATE rate_limits SET expires_at = clock_timestamp() + interval '1 hour'")
            answers = crowd.answers(authorization)
            passed = [answer for answer in answers if answer.status != 429]
            assert (len(passed) + 1, len(answers) - len(passed)) == (limit, MORE)
            assert sorted(left(answer) for answer in passed) == list(range(limit - 1))
            with live.connect() as large:
                assert invited(large, authorization) == 429
            assert all(answer.headers["ratelimit-policy"] == f'"{policy}";q={limit};w=60' for answer in answers)
