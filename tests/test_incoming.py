"""Bodies in flight: who has how many, and how much each reads in one turn."""

from __future__ import annotations

from contextlib import ExitStack

import pytest

from blobstore.addresses import client_address, network
from blobstore.errors import TooManyBodies
from blobstore.incoming import MIN_PIECE_BYTES, PIECE_BYTES, Bodies


def test_bodies_are_counted_by_address() -> None:
    """Otherwise one client takes every place, or loses places that it has given back."""
    bodies = Bodies(2)
    with bodies.admitted("1.2.3.4"), bodies.admitted("::ffff:1.2.3.4"), bodies.admitted("1.2.3.5"):
        with pytest.raises(TooManyBodies), bodies.admitted("1.2.3.4"):
            pass
    with bodies.admitted("1.2.3.4"):
        pass


def test_more_bodies_make_smaller_turns() -> None:
    """Otherwise eight large uploads make every small request wait for eight MiB."""
    bodies = Bodies(100)
    assert bodies.piece_bytes == PIECE_BYTES
    with bodies.admitted("a"):
        assert bodies.piece_bytes == PIECE_BYTES
        with bodies.admitted("b"), bodies.admitted("c"), bodies.admitted("d"):
            assert bodies.piece_bytes == PIECE_BYTES // 4
            with ExitStack() as many:
                for number in range(20):
                    many.enter_context(bodies.admitted(str(number)))
                assert bodies.piece_bytes == MIN_PIECE_BYTES
    assert bodies.piece_bytes == PIECE_BYTES


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("1.2.3.4", "1.2.3.4", True),
        ("1.2.3.4", "1.2.3.5", False),
        ("::ffff:1.2.3.4", "1.2.3.4", True),
        ("2001:db8:1:2::1", "2001:db8:1:2:ffff::9", True),
        ("2001:db8:1:2::1", "2001:0DB8:1:2::1", True),
        ("2001:db8:1:2::1", "2001:db8:1:3::1", False),
        ("fe80::1%eth0", "fe80::2%eth0", True),
        ("", "", True),
        ("unknown", "_hidden", False),
    ],
)
def test_what_is_one_client(one: str, other: str, same: bool) -> None:
    """Otherwise an IPv6 host has 2**64 addresses to be many, or two neighbours share one limit."""
    assert (network(one) == network(other)) is same


@pytest.mark.parametrize(
    ("hops", "forwarded", "address"),
    [
        (0, ["9.9.9.9"], "1.1.1.1"),
        (1, ["9.9.9.9, 8.8.8.8"], "8.8.8.8"),
        (1, ["9.9.9.9", "8.8.8.8"], "8.8.8.8"),
        (2, ["7.7.7.7, 9.9.9.9,8.8.8.8"], "9.9.9.9"),
        (2, ["8.8.8.8"], "1.1.1.1"),
        (1, [], "1.1.1.1"),
    ],
)
def test_the_address_behind_proxies(hops: int, forwarded: list[str], address: str) -> None:
    """Otherwise a client chooses its own address, or all clients of a proxy share one."""
    headers = [("HOST", "x"), *(("X-FORWARDED-FOR", value) for value in forwarded)]
    assert client_address(headers, ("1.1.1.1", 5), hops) == address
