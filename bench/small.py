"""4 KiB down and up, and a route that reads one row: requests per second of 16 connections."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Callable, Iterator

from bench import container, loads
from bench.loads import AUTHORIZATION, CONNECTIONS, curl
from bench.plan import Plan
from bench.report import Row, against, interleaved
from bench.running import Server
from bench.yardstick import Pgbench

SMALL_BYTES = 4096
ARGON2_SECONDS = 5
_QUOTA = "/api/v1/me/quota"
_EACH = f"per second, {CONNECTIONS} connections"


def _getting(plan: Plan, url: str, *, authorized: bool = False) -> Callable[[], float]:
    return lambda: loads.get(url, plan.seconds, authorized=authorized).per_second


def _putting(plan: Plan, server: Server, path: str) -> Callable[[], float]:
    return lambda: loads.put(server.url + path, plan.folder, plan.seconds, secrets.token_hex(8)).per_second


def get(plan: Plan) -> Iterator[Row]:
    """One public file by its hash, without credentials."""
    servers = plan.servers
    path = plan.folder / "small"
    path.write_bytes(secrets.token_bytes(SMALL_BYTES))
    sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
    curl("-H", f"Authorization: {AUTHORIZATION}", "-T", str(path), f"{servers.blobstore.url}/upload/small")
    runs = {
        "blobstore": _getting(plan, f"{servers.blobstore.url}/{sha256}"),
        "Flask hello": _getting(plan, f"{servers.hello.url}/"),
    }
    if nginx := servers.nginx:
        curl("-T", str(path), f"{nginx.url}/small")
        runs["nginx"] = _getting(plan, f"{nginx.url}/small")
    if registry := servers.registry:
        container.put_large(registry, path, sha256)
        runs["docker-registry"] = _getting(plan, container.blob_url(registry, sha256))
    figures = interleaved(plan.repeats, runs)
    yield from against(f"GET of 4 KiB {_EACH}", "/s", figures, {"Flask hello": "≥ 0.5", "docker-registry": "> 1"})


def put(plan: Plan) -> Iterator[Row]:
    """New content by one user with a password, durable."""
    servers = plan.servers
    runs = {"blobstore": _putting(plan, servers.blobstore, "/upload/")}
    if Pgbench.installed():
        pgbench = Pgbench(servers.database_url, plan.folder)
        runs["pgbench, two writes"] = lambda: pgbench.run(plan.seconds)
    else:
        servers.left_out.append("pgbench is not installed and is left out")
    if registry := servers.registry:
        runs["docker-registry"] = lambda: container.put_small(registry, plan.seconds)
    if nginx := servers.nginx:
        runs["nginx dav PUT (not durable)"] = _putting(plan, nginx, "/put/")
    figures = interleaved(plan.repeats, runs)
    budgets = {"pgbench, two writes": "≥ 0.05", "docker-registry": "> 1"}
    yield from against(f"PUT of 4 KiB, new, Basic, {_EACH}", "/s", figures, budgets)


def quota(plan: Plan) -> Iterator[Row]:
    """One row of the database, with a password."""
    servers = plan.servers
    runs = {
        "blobstore": _getting(plan, servers.blobstore.url + _QUOTA, authorized=True),
        "Flask hello": _getting(plan, f"{servers.hello.url}/"),
    }
    yield from against(f"GET {_QUOTA} {_EACH}", "/s", interleaved(plan.repeats, runs), {})


def argon2(plan: Plan) -> Iterator[Row]:
    """What it is worth that a password which was right is remembered. Few connections: only so many logins may wait."""
    ours, forgetful = plan.servers.blobstore, plan.servers.forgetful
    few = 4

    def getting(server: Server) -> Callable[[], float]:
        url = server.url + _QUOTA
        return lambda: loads.get(url, ARGON2_SECONDS, authorized=True, connections=few).per_second

    def putting(server: Server) -> Callable[[], float]:
        url = f"{server.url}/upload/"
        return lambda: loads.put(url, plan.folder, ARGON2_SECONDS, secrets.token_hex(8), connections=few).per_second

    peer = "argon2 at every request"
    each = f"per second, {few} connections"
    figures = interleaved(1, {"blobstore": getting(ours), peer: getting(forgetful)})
    yield from against(f"GET {_QUOTA} {each}", "/s", figures, {})
    figures = interleaved(1, {"blobstore": putting(ours), peer: putting(forgetful)})
    yield from against(f"PUT of 4 KiB, new, Basic, {each}", "/s", figures, {})
