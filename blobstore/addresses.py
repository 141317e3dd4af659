"""Whose request it is, by the network: for what is limited per client."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from functools import lru_cache
from ipaddress import IPv6Address, ip_address


def client_address(headers: Iterable[tuple[str, str]], addr: object, hops: int) -> str:
    """The peer's address; behind `hops` proxies of ours the one that the outermost of them saw."""
    peer = str(addr[0]) if isinstance(addr, tuple) and addr else ""
    if not hops:
        return peer
    seen = [part.strip() for name, value in headers if name == "X-FORWARDED-FOR" for part in value.split(",")]
    return seen[-hops] if len(seen) >= hops else peer


@lru_cache(1024)
def network(address: str) -> str:
    """What counts as one client: an IPv4 address, the /64 of an IPv6 one, or the text itself when it is neither."""
    try:
        parsed = ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if isinstance(parsed, IPv6Address):
        if parsed.ipv4_mapped is None:
            return parsed.exploded[:19]
        return str(parsed.ipv4_mapped)
    return str(parsed)


class Shares:
    """How many of something each client has at once: at most `limit` (of IPv6: one /64)."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._taken: Counter[str] = Counter()

    def take(self, address: str) -> bool:
        """Count one more; False when the client has all that it may."""
        key = network(address)
        if self._taken[key] >= self._limit:
            return False
        self._taken[key] += 1
        return True

    def give_back(self, address: str) -> None:
        """Count one less, after a `take` that was true."""
        key = network(address)
        self._taken[key] -= 1
        if not self._taken[key]:
            del self._taken[key]
