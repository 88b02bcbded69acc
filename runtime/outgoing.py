"""Where requests of the shop may go when somebody else has named the address: into the internet, and nowhere else.

Names are resolved once. All addresses of a name must be public, and the connection goes to one of exactly these: a name
that means something else a moment later changes nothing.
"""

import asyncio
import socket
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address

from aiohttp import ClientError, ClientResponse, ClientSession, ClientTimeout, TCPConnector
from aiohttp.abc import AbstractResolver, ResolveResult
from yarl import URL

Resolve = Callable[[str, int], Awaitable[Sequence[str]]]

INTERNET = IPv6Network("2000::/3")
NOT_FOR_US = (
    IPv4Network("192.0.0.0/24"),  # protocols' own; some releases of Python count it as public
    IPv4Network("192.88.99.0/24"),
    IPv6Network("2001::/23"),
    IPv6Network("2002::/16"),
)
"""6to4, Teredo and their like may lead to any IPv4 address."""


LONGEST_ANSWER = 1_000_000
"""Bytes of what is only read."""


class ForbiddenTargetError(Exception):
    """Requests of the shop do not go there; the message says why."""


@dataclass(frozen=True, slots=True)
class Target:
    url: URL
    """As the client reads it that is going to call it: two readers of one URL can disagree about its host."""
    host: str
    addresses: tuple[str, ...]


async def resolved(host: str, port: int) -> Sequence[str]:
    loop = asyncio.get_running_loop()
    found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return [str(address[0]) for *_, address in found]


async def checked(
    url: str, *, resolve: Resolve = resolved, schemes: Sequence[str] = ("https",), is_internet: bool = True
) -> Target:
    """The target with the addresses that it has now; raises ``ForbiddenTargetError``.

    With ``is_internet=False`` it may be anywhere: on a developer's machine the partners are there as well.
    """
    try:
        parsed = URL(url)
    except (ValueError, TypeError):
        raise ForbiddenTargetError("This is not a URL.") from None
    host, port = parsed.raw_host, parsed.port
    if parsed.scheme not in schemes or not host or not port:
        raise ForbiddenTargetError(f"Only {' and '.join(schemes)} URLs with a host are called.")
    if parsed.user is not None or parsed.password is not None:
        raise ForbiddenTargetError("A URL that is called holds no name and no password.")
    try:
        addresses = await resolve(host, port)
    except (OSError, UnicodeError):
        raise ForbiddenTargetError("This name leads nowhere.") from None
    if not addresses or (is_internet and not all(is_public(address) for address in addresses)):
        raise ForbiddenTargetError("This name does not lead into the internet.")
    return Target(parsed, host, tuple(addresses))


def is_public(address: str) -> bool:
    try:
        found = ip_address(address.partition("%")[0])
    except ValueError:
        return False
    if isinstance(found, IPv6Address):
        found = found.ipv4_mapped or found
    if any(found in network for network in NOT_FOR_US) or not found.is_global:
        return False
    return not found.is_multicast and not found.is_reserved if isinstance(found, IPv4Address) else found in INTERNET


class Pinned(AbstractResolver):
    """Knows one name, and the addresses that were checked."""

    def __init__(self, target: Target) -> None:
        self._target = target

    async def resolve(
        self,
        host: str,
        port: int = 0,
        family: socket.AddressFamily = socket.AF_UNSPEC,  # noqa: ARG002
    ) -> list[ResolveResult]:
        if host != self._target.host:
            raise OSError(f"{host} was not checked.")
        return [
            ResolveResult(
                hostname=host,
                host=address,
                port=port,
                family=socket.AF_INET6 if ":" in address else socket.AF_INET,
                proto=0,
                flags=socket.AI_NUMERICHOST,
            )
            for address in self._target.addresses
        ]

    async def close(self) -> None:
        """There is nothing to close."""


def session_to(target: Target, *, seconds: float) -> ClientSession:
    """For requests to this target alone; pass ``allow_redirects=False``, for where they lead was not checked."""
    connector = TCPConnector(resolver=Pinned(target), use_dns_cache=False)
    return ClientSession(connector=connector, timeout=ClientTimeout(total=seconds), trust_env=False)


@dataclass(frozen=True, kw_only=True)
class Partner:
    """A server that is only read, and that the shop can do without for a while."""

    url: str
    seconds: float
    is_internet: bool

    async def ask(self, path: str, headers: Mapping[str, str]) -> str | None:
        """What it says there; ``None`` unless it says so, in time, with 200 and not at endless length."""
        schemes = ("https",) if self.is_internet else ("https", "http")
        try:
            async with asyncio.timeout(self.seconds):
                target = await checked(self.url.rstrip("/") + path, schemes=schemes, is_internet=self.is_internet)
                async with (
                    session_to(target, seconds=self.seconds) as session,
                    session.get(target.url, headers=headers, allow_redirects=False) as answer,
                ):
                    return await _read(answer) if answer.status == HTTPStatus.OK else None
        except (ForbiddenTargetError, ClientError, TimeoutError, UnicodeDecodeError):
            return None


async def _read(answer: ClientResponse) -> str | None:
    said = bytearray()
    async for piece in answer.content.iter_any():
        said += piece
        if len(said) > LONGEST_ANSWER:
            return None
    return said.decode()
