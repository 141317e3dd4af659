"""Turns: one at a time, clients one after the other, and a refusal where too many wait."""

from __future__ import annotations

import gevent
import pytest
from gevent.event import Event
from gevent.greenlet import Greenlet

from blobstore.core.turns import Turns
from blobstore.errors import Busy


class Hall:
    """Greenlets that want a turn; whose turn it is stays until the door opens."""

    def __init__(self, waiting: int) -> None:
        self.turns, self.door = Turns(waiting), Event()
        self.served: list[str] = []
        self._asking: list[Greenlet] = []
        self._inside = 0

    def ask(self, *names: str) -> None:
        """Requests in this order; the letter is the client."""
        self._asking += [gevent.spawn(self._ask, name) for name in names]
        gevent.idle()

    def _ask(self, name: str) -> None:
        with self.turns.turn(name[0]):
            self._inside += 1
            assert self._inside == 1
            self.served.append(name)
            self.door.wait()
            gevent.sleep(0)
            self._inside -= 1

    def finish(self) -> list[str]:
        """Who was served, in order, when the door has opened."""
        self.door.set()
        gevent.joinall(self._asking, raise_error=True)
        return self.served


def test_a_client_waits_for_one_request_of_another() -> None:
    """Whoever sends many wrong passwords would keep all others from logging in."""
    hall = Hall(waiting=8)
    hall.ask("a0", "a1", "a2", "a3", "a4", "b0", "c0", "b1")
    assert hall.turns.under_way == 8
    assert hall.finish() == ["a0", "b0", "c0", "a1", "b1", "a2", "a3", "a4"]


def test_a_client_has_so_many_places_only() -> None:
    """A flood would wait in memory, and each of it be answered when nobody waits for the answer any more."""
    hall = Hall(waiting=2)
    hall.ask("a0", "a1", "a2")
    with pytest.raises(Busy), hall.turns.turn("a"):
        pass
    hall.ask("b0")
    assert hall.finish() == ["a0", "b0", "a1", "a2"]


def test_only_so_many_clients_wait() -> None:
    """A flood from many addresses would do the same."""
    hall = Hall(waiting=2)
    hall.ask("a0", "b0", "c0")
    with pytest.raises(Busy), hall.turns.turn("d"):
        pass
    hall.ask("c1")
    assert hall.finish() == ["a0", "b0", "c0", "c1"]
    with hall.turns.turn("d"):
        assert hall.served[-1] == "c1"


def test_a_failure_ends_its_turn() -> None:
    """After one error nobody could log in at this worker."""
    hall = Hall(waiting=0)
    with pytest.raises(ValueError), hall.turns.turn("a"):
        raise ValueError
    hall.ask("a0")
    assert hall.finish() == ["a0"]
    assert hall.turns.under_way == 0
