"""One large file up, raw and as a form, and down."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from bench import container
from bench.content import Content
from bench.loads import AUTHORIZATION, curl
from bench.plan import Plan
from bench.report import Row, against, interleaved
from bench.running import Server

_BASIC = ("-H", f"Authorization: {AUTHORIZATION}")


def send_raw(server: Server, path: Path) -> float:
    """Seconds of `curl -T`."""
    return curl(*_BASIC, "-T", str(path), f"{server.url}/upload/large")


def send_form(server: Server, path: Path) -> float:
    """Seconds of `curl -F`."""
    return curl(*_BASIC, "-F", f"file=@{path};filename=large", f"{server.url}/upload")


def _settled(plan: Plan, content: Content, send: Callable[[Path], float]) -> Callable[[], float]:
    """MB/s of sending a new content, with nothing else on its way to the disk, and the disk emptied afterwards."""

    def run() -> float:
        path = content.renew()
        os.sync()
        figure = content.per_second(send(path))
        plan.remove_blobs()
        return figure

    return run


def _write(folder: Path, content: Content) -> Callable[[], float]:
    """MB/s of writing the same bytes to the disk and waiting for it: what a durable upload waits for at least."""

    def run() -> float:
        os.sync()
        started = time.monotonic()
        with content.path.open("rb") as source, (folder / "written").open("wb") as target:
            while piece := source.read(1 << 20):
                target.write(piece)
            os.fsync(target.fileno())
        figure = content.per_second(time.monotonic() - started)
        (folder / "written").unlink()
        return figure

    return run


def upload(plan: Plan) -> Iterator[Row]:
    """curl -T and curl -F of new content, beside who can take it."""
    servers, content = plan.servers, plan.content
    runs = {
        "blobstore": _settled(plan, content, lambda path: send_raw(servers.blobstore, path)),
        "multipart": _settled(plan, content, lambda path: send_form(servers.blobstore, path)),
        "write and fsync": _write(plan.folder, content),
    }
    if nginx := servers.nginx:
        url = f"{nginx.url}/large"
        runs["nginx dav PUT (not durable)"] = _settled(plan, content, lambda path: curl("-T", str(path), url))
        runs["nginx dav PUT, then fsync"] = _settled(plan, content, lambda path: _put_and_sync(nginx, path))
    if registry := servers.registry:
        runs["docker-registry"] = _settled(
            plan, content, lambda path: container.put_large(registry, path, content.sha256())
        )
    figures = interleaved(plan.repeats, runs)
    form = figures.pop("multipart")
    budgets = {"nginx dav PUT (not durable)": "≥ 0.9", "docker-registry": "≥ 2"}
    yield from against(f"upload of {plan.size}, `curl -T`", "MB/s", figures, budgets)
    yield Row(f"upload of {plan.size}, `curl -F`", form, "MB/s", "our `curl -T`", figures["blobstore"], "≥ 0.8")


def _put_and_sync(nginx: Server, path: Path) -> float:
    seconds = curl("-T", str(path), f"{nginx.url}/large")
    started = time.monotonic()
    with (nginx.folder / "www" / "large").open("rb") as file:
        os.fsync(file.fileno())
    return seconds + time.monotonic() - started


def download(plan: Plan) -> Iterator[Row]:
    """The same content from each; it is in the page cache."""
    servers, content = plan.servers, plan.content
    path = content.renew()
    sha256 = content.sha256()
    send_raw(servers.blobstore, path)
    urls = {"blobstore": f"{servers.blobstore.url}/{sha256}"}
    if nginx := servers.nginx:
        curl("-T", str(path), f"{nginx.url}/large")
        urls["nginx sendfile"] = f"{nginx.url}/large"
    if registry := servers.registry:
        container.put_large(registry, path, sha256)
        urls["docker-registry"] = container.blob_url(registry, sha256)
    os.sync()
    runs = {name: lambda url=url: content.per_second(curl(url)) for name, url in urls.items()}
    figures = interleaved(plan.repeats + 2, runs)
    yield from against(f"download of {plan.size}", "MB/s", figures, {"nginx sendfile": "≥ 1"})
    plan.remove_blobs()
