"""Who is asking, and what they may ask.

Each route names the permission that it needs; one without refuses to start. A handler that cares takes
``caller: Caller``::

    @post("/v1/products", permission=Permission.CATALOG_WRITE)
    async def create(self, caller: Caller, …) -> …

What is open to everybody may be about somebody's cart or order. Then ``others=`` names the permission for those that
are not the caller's own, which the handler checks.
"""

from dataclasses import dataclass
from typing import Any
from uuid import UUID

from litestar import Litestar
from litestar.connection import ASGIConnection, Request
from litestar.enums import HttpMethod
from litestar.handlers import BaseRouteHandler, HTTPRouteHandler
from litestar.routes import HTTPRoute

from db import api_keys
from db.tokens import API_KEY_PREFIX, hash_of
from domain.customers import Role
from domain.errors import Refusal
from domain.permissions import GRANTED, OPEN, Permission, granted_to_key
from runtime.tokens import AccessClaims, Tokens

BEARER: list[dict[str, list[str]]] = [{"bearer": []}]
"""For ``security=`` of the routes that need an access token, so that the documentation says so."""

STAFF = frozenset({Role.SUPPORT, Role.OPERATOR, Role.ADMIN})


@dataclass(frozen=True, slots=True)
class Caller:
    """The person or the machine behind a request; all ``None`` for somebody who did not sign in."""

    user_id: UUID | None = None
    role: Role | None = None
    session_id: UUID | None = None
    key_id: UUID | None = None
    """The API key of a machine, which has no account."""
    granted: frozenset[Permission] = OPEN

    @property
    def id(self) -> UUID | None:
        return self.user_id or self.key_id

    @property
    def is_signed_in(self) -> bool:
        return self.id is not None

    @property
    def is_staff(self) -> bool:
        """Acts in the name of the shop."""
        return self.role in STAFF or self.key_id is not None

    @property
    def name(self) -> str:
        """How timelines and audits call them: a role and an id, such as ``operator:<id>``, or ``anonymous``."""
        if self.key_id is not None:
            return f"key:{self.key_id}"
        return f"{self.role}:{self.user_id}" if self.user_id is not None else "anonymous"

    def may(self, permission: Permission) -> bool:
        return permission in self.granted

    def check(self, permission: Permission) -> None:
        """Refuses ``unauthenticated`` or ``forbidden`` to somebody who may not."""
        if self.may(permission):
            return
        if not self.is_signed_in:
            raise Refusal("unauthenticated", "This needs an access token: sign in first.")
        raise Refusal("forbidden", f"This needs the permission {permission}.")


ANONYMOUS = Caller()

Connection = ASGIConnection[Any, Any, Any, Any]


async def provide_caller(request: Request[Any, Any, Any]) -> Caller:
    """The dependency ``caller``; refuses ``unauthenticated`` for a token that is forged, expired or signed out."""
    return await caller_of(request)


async def caller_of(connection: Connection) -> Caller:
    """The guard and the handler of one request share one answer."""
    state = connection.scope["state"]
    if "caller" not in state:
        state["caller"] = await _recognised(connection)
    return state["caller"]  # type: ignore[no-any-return]


async def _recognised(connection: Connection) -> Caller:
    header = connection.headers.get("authorization")
    if header is None:
        return ANONYMOUS
    if key := api_key_in(header):
        return await _machine(connection, key)
    claims = connection.scope["state"].get("claims") or claims_in(header, connection.app.state.tokens)
    if await connection.app.state.deny_list.holds(claims.session_id):
        raise Refusal("unauthenticated", "This session was ended; sign in again.")
    return Caller(user_id=claims.user_id, role=claims.role, session_id=claims.session_id, granted=GRANTED[claims.role])


def claims_in(authorization: str, tokens: Tokens) -> AccessClaims:
    """What the header says, checked; refuses ``unauthenticated``."""
    scheme, _, token = authorization.partition(" ")
    if scheme.lower() != "bearer":
        raise Refusal("unauthenticated", "Authorization must be `Bearer` and an access token or an API key.")
    return tokens.read_access(token.strip())


def api_key_in(authorization: str) -> str | None:
    scheme, _, token = authorization.partition(" ")
    token = token.strip()
    return token if scheme.lower() == "bearer" and token.startswith(API_KEY_PREFIX) else None


async def _machine(connection: Connection, key: str) -> Caller:
    """Postgres is asked at every request, so that a key which is revoked is good for nothing at once."""
    async with connection.app.state.resources.autocommit() as session:
        known = await api_keys.recognised(session, hash_of(key))
    if known is None:
        raise Refusal("unauthenticated", "This API key is unknown, has expired or was revoked.")
    return Caller(key_id=known.id, granted=granted_to_key(known.permissions))


async def permitted(connection: Connection, handler: BaseRouteHandler) -> None:
    """The one guard, before every route. What everybody may needs no look at who is asking."""
    if (needed := permission_of(handler)) not in OPEN:
        (await caller_of(connection)).check(needed)


class NoPermissionNamedError(Exception):
    """A route without a permission would be open to nobody, or to everybody by mistake."""


def permission_of(handler: BaseRouteHandler) -> Permission:
    if is_made_by_litestar(handler):
        return Permission.PROBE
    named = handler.opt.get("permission")
    if not isinstance(named, Permission):
        raise NoPermissionNamedError(f"{', '.join(sorted(handler.paths))} names no permission: see domain/permissions")
    return named


def is_made_by_litestar(handler: BaseRouteHandler) -> bool:
    """Each path answers OPTIONS with the methods that it takes, and with nothing else."""
    return isinstance(handler, HTTPRouteHandler) and handler.http_methods == {HttpMethod.OPTIONS}


@dataclass(frozen=True, slots=True, order=True)
class Route:
    path: str
    method: str
    permission: Permission
    others: Permission | None

    @property
    def is_open(self) -> bool:
        return self.permission in OPEN


def routes_of(app: Litestar) -> list[Route]:
    """Every route, with what it needs; refuses to start with one that names no permission."""
    return sorted(
        Route(route.path_format, method, permission_of(handler), handler.opt.get("others"))
        for route in app.routes
        if isinstance(route, HTTPRoute)
        for handler in route.route_handlers
        if not is_made_by_litestar(handler)
        for method in handler.http_methods
    )
