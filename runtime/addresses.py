"""Who a request comes from: the address of its connection, or what a proxy that is trusted says of it."""

from collections.abc import Iterable
from functools import lru_cache
from ipaddress import IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

Network = IPv4Network | IPv6Network

UNKNOWN = "unknown"
"""A connection without an address, such as one over a socket in the file system."""


class Addresses:
    """Reads ``X-Forwarded-For`` from its end, as far as those who wrote it are trusted: the rest anybody can forge."""

    def __init__(self, trusted_proxies: Iterable[Network] = ()) -> None:
        self._trusted = tuple(trusted_proxies)

    def of(self, peer: str | None, forwarded_for: Iterable[str]) -> str:
        """What the limits know the client by. The values of the header are looked at only if they can matter."""
        if peer is None:
            return UNKNOWN
        if not self._trusted or not self._trusts(peer):
            return known_by(peer)
        for hop in reversed(_hops(forwarded_for)):
            if known_by(hop) == UNKNOWN:
                break
            peer = hop
            if not self._trusts(hop):
                break
        return known_by(peer)

    def _trusts(self, address: str) -> bool:
        try:
            found = ip_address(address)
        except ValueError:
            return False
        if isinstance(found, IPv6Address) and found.ipv4_mapped:
            found = found.ipv4_mapped
        return any(found in network for network in self._trusted)


def _hops(forwarded_for: Iterable[str]) -> list[str]:
    """Each hop that the header names, however often the header comes, in the order in which they were passed."""
    return [without_port(hop.strip()) for hops in forwarded_for for hop in hops.split(",")]


def without_port(hop: str) -> str:
    if hop.startswith("["):
        return hop[1:].partition("]")[0]
    return hop.partition(":")[0] if hop.count(":") == 1 else hop


@lru_cache(maxsize=50_000)
def known_by(address: str) -> str:
    """An IPv4 address as it is, of an IPv6 address the network of one household: its first 64 bits."""
    try:
        found = ip_address(address)
    except ValueError:
        return UNKNOWN
    if not isinstance(found, IPv6Address):
        return str(found)
    if found.ipv4_mapped:
        return str(found.ipv4_mapped)
    return str(ip_network((found.packed[:8] + bytes(8), 64)))
