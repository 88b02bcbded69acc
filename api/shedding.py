"""More requests than a process can answer soon: those over its limit are told at once to come again.

Each kind has a limit of its own, so that a crowd at the checkout takes nothing away from staff, and the other way
round.
"""

from collections import Counter
from collections.abc import Mapping
from functools import partial

from litestar.enums import ScopeType
from litestar.types import ASGIApp, HTTPScope, Receive, Scope, Send
from litestar.utils import normalize_path

from api.errors import refuse
from api.metrics import IN_FLIGHT, SHED
from api.order_streams import is_stream_wanted
from domain.limits import Kind

KINDS = (
    ("/v1/checkouts", Kind.CHECKOUTS),
    ("/v1/products", Kind.CATALOGUE),
    ("/v1/categories", Kind.CATALOGUE),
    ("/v1/attributes", Kind.CATALOGUE),
    ("/v1/search", Kind.CATALOGUE),
    ("/v1/auth", Kind.ACCOUNTS),
    ("/v1/users", Kind.ACCOUNTS),
    ("/v1/admin", Kind.STAFF),
    ("/v1/webhooks", Kind.WEBHOOKS),
    ("/v1/", Kind.OTHERS),
)
"""The first that fits; signing in is about accounts here. What machines ask, such as ``/health``, has no limit."""


TOO_MANY = "Too many want the same at this moment; nothing was done."


def kind_of(path: str) -> Kind | None:
    path = normalize_path(path)  # as the routes see it: //v1/checkouts is one
    return next((kind for beginning, kind in KINDS if path.startswith(beginning)), None)


def kind_of_request(scope: HTTPScope) -> Kind | None:
    kind = kind_of(scope["path"])
    return Kind.STREAMS if kind is Kind.OTHERS and is_stream_wanted(scope) else kind


def shedding(app: ASGIApp, limits: Mapping[Kind, int]) -> ASGIApp:
    """Lets so many requests of each kind in at a time; nobody waits for a place."""
    in_flight = Counter[Kind]()
    for kind in limits:
        IN_FLIGHT.labels(kind).set_function(partial(in_flight.__getitem__, kind))
        SHED.labels(kind)

    async def middleware(scope: Scope, receive: Receive, send: Send) -> None:
        kind = kind_of_request(scope) if scope["type"] == ScopeType.HTTP else None
        if kind is None:
            await app(scope, receive, send)
        elif in_flight[kind] >= limits[kind]:
            SHED.labels(kind).inc()
            await refuse(scope, send, "unavailable", TOO_MANY, headers=[(b"retry-after", b"1")])
        else:
            in_flight[kind] += 1
            try:
                await app(scope, receive, send)
            finally:
                in_flight[kind] -= 1

    return middleware
