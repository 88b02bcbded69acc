"""Whoever asks too often is told to come again later, before anything else is done for the request."""

import math
import re
import time
from collections.abc import Iterable, Sequence

from litestar.enums import ScopeType
from litestar.types import ASGIApp, HTTPScope, Message, Receive, Scope, Send
from litestar.utils import normalize_path

from api import shedding
from api.auth import api_key_in, claims_in
from api.errors import refuse
from api.metrics import LIMITED
from api.order_streams import is_stream_wanted
from api.rsgi import on_in_a_task
from domain.errors import Refusal
from domain.limits import NAMES, Kind
from runtime.addresses import Addresses
from runtime.limiter import Lease, Limiter

MACHINES = frozenset({"/health", "/ready", "/metrics"})
"""What has no limit: whoever watches a shop must be able to see it when it is busy."""
GUESSED_AT = frozenset({"/v1/auth/login", "/v1/gift-cards/balance"})
"""Where somebody may try one secret after the other."""
ENTERS_A_CARD = re.compile(r"/v1/carts/[^/]+/gift-cards")
READS = frozenset({"GET", "HEAD", "OPTIONS"})
CATALOGUE = Kind.CATALOGUE  # looking it up in its enumeration takes longer than all the rest


def kind_of(method: str, path: str) -> Kind | None:
    path = normalize_path(path)
    if path in MACHINES:
        return None
    if path in GUESSED_AT or (method == "POST" and ENTERS_A_CARD.fullmatch(path)):
        return Kind.LOGIN
    kind = shedding.kind_of(path) or Kind.OTHERS
    return Kind.STAFF if kind is Kind.CATALOGUE and method not in READS else kind


def kind_of_request(scope: HTTPScope) -> Kind | None:
    kind = kind_of(scope["method"], scope["path"])
    return Kind.STREAMS if kind is Kind.OTHERS and is_stream_wanted(scope) else kind


class Doorway:
    """Around the application; requests that are answered before it ask with :meth:`leases_of_reader`."""

    def __init__(self, limiter: Limiter, addresses: Addresses) -> None:
        self.limiter = limiter
        self._addresses = addresses
        for name in sorted(NAMES):
            LIMITED.labels(name)

    def leases_of_reader(self, peer: str | None, forwarded_for: Iterable[str]) -> tuple[Lease, Lease]:
        """Under what somebody at this address reads the catalogue."""
        limits = self.limiter.of[CATALOGUE]
        return limits.everything.of(""), limits.address.of(self._addresses.of(peer, forwarded_for))

    async def lets_pass_later(self, leases: Sequence[Lease]) -> bool:
        """May one pass of whom this process does not know it by itself? If not, the application refuses."""
        await on_in_a_task()
        return await self.limiter.refusing(leases) is None

    def around(self, app: ASGIApp) -> ASGIApp:
        async def middleware(scope: Scope, receive: Receive, send: Send) -> None:
            kind = kind_of_request(scope) if scope["type"] == ScopeType.HTTP else None
            if kind is None:
                await app(scope, receive, send)
                return
            scope["state"]["address"] = address = self._address_of(scope)
            limits = self.limiter.of[kind]
            leases = [limits.everything.of(""), limits.address.of(address)]
            if (user := _who_changes(scope)) is not None:
                leases.append(limits.user.of(user))
            refusing = None if self.limiter.passes(leases) else await self.limiter.refusing(leases)
            if refusing is not None:
                LIMITED.labels(refusing.limit.name).inc()
                await _come_later(scope, send, refusing)
            elif kind is Kind.CATALOGUE:
                await app(scope, receive, send)  # may be kept by others, to whom the numbers would mean nothing
            else:
                await app(scope, receive, _telling(leases[1:], send))

        return middleware

    def _address_of(self, scope: Scope) -> str:
        client = scope["client"]
        forwarded_for = (value.decode("latin-1") for name, value in scope["headers"] if name == b"x-forwarded-for")
        return self._addresses.of(client[0] if client else None, forwarded_for)


def _who_changes(scope: Scope) -> str | None:
    """Whose token came with a request that changes something; one that is not valid is refused later."""
    method = scope["method"]  # type: ignore[typeddict-item]
    header = None if method in READS else dict(scope["headers"]).get(b"authorization")
    if header is None or api_key_in(header.decode("latin-1")):
        return None
    try:
        claims = claims_in(header.decode("latin-1"), scope["litestar_app"].state.tokens)
    except Refusal:
        return None
    scope["state"]["claims"] = claims
    return str(claims.user_id)


def _telling(leases: Sequence[Lease], send: Send) -> Send:
    headers = rate_limit_headers(leases)

    async def send_with_limits(message: Message) -> None:
        if message["type"] == "http.response.start":
            message["headers"] = [*message["headers"], *headers]
        await send(message)

    return send_with_limits


async def _come_later(scope: Scope, send: Send, refusing: Lease) -> None:
    name, quota = refusing.limit.name, refusing.limit.quota
    await refuse(
        scope,
        send,
        "rate_limited",
        f"The limit {name} lets {quota} pass; nothing was done.",
        headers=[(b"retry-after", b"%d" % _seconds_until_more(refusing)), *rate_limit_headers([refusing])],
        **{"violated-policies": [name]},
    )


def rate_limit_headers(leases: Sequence[Lease]) -> list[tuple[bytes, bytes]]:
    """As in the IETF's draft "RateLimit header fields for HTTP" since its eighth version."""
    policies = (f'"{lease.limit.name}";q={lease.limit.quota.amount};w={lease.limit.quota.seconds}' for lease in leases)
    left = (f'"{lease.limit.name}";r={lease.remaining};t={_seconds_until_more(lease)}' for lease in leases)
    return [(b"ratelimit-policy", ", ".join(policies).encode()), (b"ratelimit", ", ".join(left).encode())]


def _seconds_until_more(lease: Lease) -> int:
    return max(1, math.ceil(lease.more_at - time.monotonic()))
