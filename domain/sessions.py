"""What is kept of the device that somebody signed in with."""

from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

LONGEST_USER_AGENT = 200
NETWORK_BITS = {4: 24, 6: 48}
"""So much of an address tells a person their city apart from another one, and tells nobody their home."""


@dataclass(frozen=True, kw_only=True)
class Device:
    user_agent: str | None = None
    network: str | None = None


def device(*, user_agent: str | None, address: str | None) -> Device:
    shown = "".join(letter for letter in user_agent or "" if letter.isprintable())[:LONGEST_USER_AGENT].strip()
    return Device(user_agent=shown or None, network=network_of(address))


def network_of(address: str | None) -> str | None:
    """The network that an address, or a smaller network, belongs to, such as ``203.0.113.0/24``; nothing for others."""
    try:
        found: IPv4Address | IPv6Address = ip_address((address or "").partition("/")[0])
    except ValueError:
        return None
    if isinstance(found, IPv6Address) and found.ipv4_mapped:
        found = found.ipv4_mapped
    return str(ip_network(f"{found}/{NETWORK_BITS[found.version]}", strict=False))
