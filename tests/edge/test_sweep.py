"""The sweep, thinned: `make sweep` sends every body of it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeVar

from tests.edge.bodies import REQUEST_BYTES, requests_of_2_kib
from tests.edge.place import Place
from tests.edge.sweep import sweep

T = TypeVar("T")
EVERY = 61


def unwatched(_: str, bodies: Iterable[T]) -> Iterable[T]:
    """Nobody looks on."""
    return bodies


def test_what_is_stored_is_what_was_sent(place: Place) -> None:
    """A byte would be added or lost at some size, or a body that broke off be taken for a whole one (L1, L2, F16)."""
    tallies = list(sweep(place, EVERY, unwatched))
    assert [line for tally in tallies for line in tally.wrong] == []
    assert sum(tally.acknowledged for tally in tallies) == 0
    assert min(tally.bodies for tally in tallies) > 40


def test_the_requests_that_are_cut_are_sound(place: Place) -> None:
    """The sweep would cut what is refused anyway, and prove nothing."""
    requests, before = requests_of_2_kib(), place.kept()
    assert len(requests) == 5
    for request in requests.values():
        whole = request.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n", 1)
        assert len(request) == REQUEST_BYTES
        assert place.ask(whole).status == 201
    assert place.kept()[0] == before[0] + len(requests)
