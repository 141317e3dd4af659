"""Connections at every worker of a running service, and the same request on all of them at once."""

from __future__ import annotations

from contextlib import ExitStack

import psutil

from tests.live import Service, suspended
from tests.served import Answer, Client


class Crowd:
    """Connections that stay open, some at every worker in turn."""

    def __init__(self, live: Service, stack: ExitStack, workers: int, each: int) -> None:
        """`each` connections at each of the `workers` that the service has."""
        running = psutil.Process(live.process.pid).children()
        assert len(running) == workers
        held = [self._at(worker, running, live, stack, each) for worker in running]
        self.connections = [client for turn in zip(*held, strict=True) for client in turn]

    def _at(
        self, worker: psutil.Process, workers: list[psutil.Process], live: Service, stack: ExitStack, each: int
    ) -> list[Client]:
        """Connections that only `worker` can have taken: the others stand still."""
        with suspended([other for other in workers if other != worker]):
            clients = [stack.enter_context(live.connect()) for _ in range(each)]
            for client in clients:
                assert client.send("GET /health HTTP/1.1\r\nHost: x\r\n\r\n").answer().status == 200
        return clients

    def ask_one(self, client: Client, authorization: str) -> int:
        """The status of one request on one connection."""
        return self.answer(client, authorization).status

    def answer(self, client: Client, authorization: str) -> Answer:
        """The answer to one request on one connection."""
        self._send(client, authorization)
        return client.answer()

    @staticmethod
    def _send(client: Client, authorization: str) -> None:
        line = f"Authorization: {authorization}\r\n" if authorization else ""
        client.send(f"GET /api/v1/me HTTP/1.1\r\nHost: x\r\n{line}\r\n")

    def ask(self, authorization: str) -> set[int]:
        """The statuses of one request on every connection, all of them sent before the first answer is read."""
        return {answer.status for answer in self.answers(authorization)}

    def answers(self, authorization: str) -> list[Answer]:
        """The answers to one request on every connection, all of them sent before the first is read."""
        for client in self.connections:
            self._send(client, authorization)
        return [client.answer() for client in self.connections]
