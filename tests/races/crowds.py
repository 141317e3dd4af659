"""Many requests at the same instant.

    a_tenth_of_the_quota   50 parallel uploads of a tenth of the quota: exactly 10 are stored
    the_same_content       one user sends one content 50 times: one claim, charged once, 50 answers of 2xx
    overlapping_sets       forms of many files, and deletes of all names of a content, over the same few contents in
                           random order, while downloads are counted; then whole accounts are removed at once: nobody
                           hears of a deadlock
    a_cut_body             half of 50 parallel uploads break off: they are refused, and nothing is left of them

A turn is one such crowd, on users and contents of its own. It says what is wrong, and leaves nothing behind.
"""

from __future__ import annotations

import json
import random
import socket
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import httpx

from blobstore.core import download, removal
from blobstore.core.counters import DownloadCounters
from blobstore.core.store import Store
from blobstore.errors import BlobstoreError, NotFound
from tests.races.clients import Connection, Login, login
from tests.races.place import Place
from tests.storage.contract import digest_of, sample

Answer = tuple[int, bytes]
Turn = Callable[[Place, int], list[str]]
CROWD = 50
TENTH_BYTES = 1000
COUNTERS = "SELECT used_bytes, logical_bytes, file_count, content_count FROM users WHERE id = :id"


def a_tenth_of_the_quota(place: Place, turn: int) -> list[str]:
    user = login(place.store, f"quota{turn}", quota_bytes=10 * TENTH_BYTES)
    contents = [sample(TENTH_BYTES, f"quota {turn} {number}") for number in range(CROWD)]
    answers = place.at_once([(user, put(str(number), content)) for number, content in enumerate(contents)])
    refused = [json.loads(body) for status, body in answers if status == 413]
    reasons = {(problem["code"], problem["limit_bytes"]) for problem in refused}
    return [
        *differs("answers", statuses(answers), {201: 10, 413: CROWD - 10}),
        *differs("reasons", reasons, {("quota_exceeded", 10 * TENTH_BYTES)}),
        *differs("charged", place.ask(COUNTERS, id=user.user_id), [(10 * TENTH_BYTES, 10 * TENTH_BYTES, 10, 10)]),
        *leaves(place, f"quota{turn}", 10),
    ]


def the_same_content(place: Place, turn: int) -> list[str]:
    """Under one name in one turn, under 50 names in the next."""
    names = CROWD if turn % 2 else 1
    content = sample(5000, f"same {turn}")
    user = login(place.store, f"same{turn}", quota_bytes=len(content))
    answers = place.at_once([(user, put(str(number % names), content)) for number in range(CROWD)])
    claims = place.ask("SELECT files FROM claims WHERE owner_id = :id", id=user.user_id)
    return [
        *differs("answers", statuses(answers), Counter({201: names, 200: CROWD - names})),
        *differs("charged", place.ask(COUNTERS, id=user.user_id), [(5000, 5000 * names, names, 1)]),
        *differs("claims", claims, [(names,)]),
        *leaves(place, f"same{turn}", names),
    ]


def overlapping_sets(place: Place, turn: int) -> list[str]:
    users = [login(place.store, f"set{turn}-{number}") for number in range(2)]
    contents = [sample(500 + number, f"set {turn} {number}") for number in range(8)]
    chance = random.Random(turn)
    asked = []
    for number in range(8):
        chosen = [(f"{name}-{number % 3}", content) for name, content in enumerate(contents)]
        asked.append((users[number % 2], send_form(chance.sample(chosen, 6))))
        asked.append((users[number % 2], delete_all(chance.sample(contents, 8))))
    with downloads_counted(place.store, contents) as trouble:
        heard = Counter(status for answers in place.at_once(asked) for status in answers)
        with ThreadPoolExecutor(2) as pool:
            list(pool.map(lambda number: removal.remove_account(place.store, f"set{turn}-{number}"), range(2)))
    left = place.ask("SELECT count(*) FROM files WHERE digest = ANY(:all)", all=[digest_of(c).hex for c in contents])
    return [*differs("answers", set(heard) - {200, 404}, {201}), *differs("left", left, [(0,)]), *trouble]


def a_cut_body(place: Place, turn: int) -> list[str]:
    user = login(place.store, f"cut{turn}")
    contents = [sample(TENTH_BYTES, f"cut {turn} {number}") for number in range(CROWD)]
    kept = CROWD // 2
    whole = [(user, put(str(number), content)) for number, content in enumerate(contents[:kept])]
    answers = place.at_once([*whole, *((user, cut(user, content)) for content in contents[kept:])])
    return [
        *differs("answers", statuses(answers), {201: kept, 400: CROWD - kept}),
        *differs("charged", place.ask(COUNTERS, id=user.user_id), [(1000 * kept, 1000 * kept, kept, kept)]),
        *leaves(place, f"cut{turn}", kept),
    ]


TURNS = (a_tenth_of_the_quota, the_same_content, overlapping_sets, a_cut_body)


def leaves(place: Place, name: str, files: int) -> Iterator[str]:
    """What is wrong when the user goes with so many files."""
    yield from differs("removed", removal.remove_account(place.store, name), files)


def differs(what: str, found: object, wanted: object) -> Iterator[str]:
    if found != wanted:
        yield f"{what}: {found}, not {wanted}"


def statuses(answers: list[Answer]) -> Counter[int]:
    return Counter(status for status, _ in answers)


def put(name: str, content: bytes) -> Callable[[Connection], Answer]:
    return lambda connection: connection.put(name, content)


def delete(content: bytes) -> Callable[[Connection], Answer]:
    return lambda connection: connection.ask("DELETE", f"/{digest_of(content)}")


def delete_all(contents: list[bytes]) -> Callable[[Connection], list[int]]:
    """One after the other; each takes all names of its content."""
    return lambda connection: [delete(content)(connection)[0] for content in contents]


def send_form(named: list[tuple[str, bytes]]) -> Callable[[Connection], list[int]]:
    """All in one form; every file's own status."""
    form = httpx.Request("POST", "http://x/upload", files=[("file", part) for part in named])
    body, kind = form.read(), form.headers["Content-Type"]

    def request(connection: Connection) -> list[int]:
        status, answer = connection.ask("POST", "/upload", body, **{"Content-Type": kind})
        return [file["status"] for file in json.loads(answer)["files"]] if status < 300 else [status]

    return request


def cut(user: Login, content: bytes) -> Callable[[Connection], Answer]:
    """An upload that ends one byte early, by its connection's end."""
    head = f"PUT /upload/x HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {user.key}\r\n"

    def request(connection: Connection) -> Answer:
        with socket.create_connection(("127.0.0.1", connection.port), timeout=60) as sending:
            sending.sendall(f"{head}Content-Length: {len(content)}\r\n\r\n".encode() + content[:-1])
            sending.shutdown(socket.SHUT_WR)
            answer = b"".join(iter(lambda: sending.recv(4096), b""))
        return int(answer[9:12]), answer

    return request


@contextmanager
def downloads_counted(store: Store, contents: list[bytes]) -> Iterator[list[str]]:
    """Meanwhile the counters of all these contents are written, over and over: many rows in one transaction.

    What goes wrong with it.
    """
    stop, trouble = threading.Event(), list[str]()

    def count() -> None:
        counters = DownloadCounters()
        while not stop.is_set():
            for content in contents:
                try:
                    counters.add(download.find(store, None, digest_of(content)))
                except NotFound:
                    continue
            try:
                counters.flush(store)
            except BlobstoreError as error:
                trouble.append(f"counting: {error!r}")

    counting = threading.Thread(target=count)
    counting.start()
    try:
        yield trouble
    finally:
        stop.set()
        counting.join()
