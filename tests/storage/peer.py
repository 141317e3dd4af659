"""Another process at the same storage: `python -m tests.storage.peer MAKER ARGUMENT ROLE …`.

MAKER is MODULE:NAME; the storage is `MODULE.make(NAME, Path(ARGUMENT))`. Roles:

    publish SIZE            stage and publish `sample(SIZE)` in two pieces; print its location or the error's class
    limited SIZE BYTES      the same, in a process that may write no file beyond BYTES
    hold DIGEST             print `held` under `exclusive`, stay there until stdin ends
    abandon SIZE            stage, print `staged`, stay there until stdin ends
    churn TIMES SEED FOLDER publish and sweep three contents by the protocol, with the rows in FOLDER
"""

from __future__ import annotations

import importlib
import random
import resource
import sys
from collections.abc import Callable
from pathlib import Path

from blobstore.digest import Digest
from blobstore.errors import BlobstoreError
from blobstore.storage import Storage
from tests.storage.contract import digest_of, put, read, sample

CHURNED = tuple(sample(20_000, f"churned {number}") for number in range(3))


def publish(storage: Storage, size: str) -> str:
    content = sample(int(size))
    try:
        with storage.stage() as staged:
            staged.write(content[: len(content) // 2])
            staged.write(content[len(content) // 2 :])
            return staged.publish(digest_of(content))
    except BlobstoreError as error:
        return type(error).__name__


def limited(storage: Storage, size: str, limit: str) -> str:
    resource.setrlimit(resource.RLIMIT_FSIZE, (int(limit), resource.RLIM_INFINITY))
    return publish(storage, size)


def hold(storage: Storage, digest: str) -> str:
    with storage.exclusive(Digest(digest)):
        print("held", flush=True)
        sys.stdin.read()
    return "released"


def abandon(storage: Storage, size: str) -> str:
    with storage.stage() as staged:
        staged.write(sample(int(size)))
        print("staged", flush=True)
        sys.stdin.read()
    return "discarded"


def churn(storage: Storage, times: str, seed: str, folder: str) -> str:
    """The rows of the protocol are files: DIGEST says that it is published, DIGEST.SEED that an upload is pending.

    Whoever sees the first under the lock must find the bytes.
    """
    chance = random.Random(seed)
    for _ in range(int(times)):
        content = chance.choice(CHURNED)
        row = Path(folder) / digest_of(content).hex
        if chance.random() < 0.5:
            pending = row.with_suffix(f".{seed}")
            pending.touch()
            put(storage, content)
            row.touch()
            pending.unlink()
        else:
            _sweep(storage, content, row)
    return "done"


def _sweep(storage: Storage, content: bytes, row: Path) -> None:
    """Both halves: no longer vouched for; then looked at again and deleted under the lock."""
    location = f"disk:{digest_of(content).hex[:2]}/{digest_of(content)}"
    row.unlink(missing_ok=True)
    with storage.exclusive(digest_of(content)):
        # Two looks for what is one SELECT in the protocol, so in this order: an upload sets its row, then is pending
        # no more. The other way round it could do both between the looks, and its bytes would go.
        pending = any(row.parent.glob(f"{row.name}.*"))
        if row.exists():
            assert read(storage, location) == content
        elif not pending:
            storage.delete(location)


ROLES: dict[str, Callable[..., str]] = {
    "publish": publish,
    "limited": limited,
    "hold": hold,
    "abandon": abandon,
    "churn": churn,
}


def main(maker: str, argument: str, role: str, *rest: str) -> None:
    module, _, name = maker.partition(":")
    storage: Storage = importlib.import_module(module).make(name, Path(argument))
    print(ROLES[role](storage, *rest), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
