"""Who is asking, and what they may ask.

A handler that cares takes ``caller: Caller``; a route that is not for everybody names a guard::

    @post("/v1/products", guards=[admin_only])
    async def create(self, caller: Caller, …) -> …
"""

from dataclasses import dataclass
from typing import Any
from uuid import UUID

from litestar.connection import ASGIConnection, Request
from litestar.handlers import BaseRouteHandler

from domain.customers import Role
from domain.errors import Refusal
from runtime.tokens import AccessClaims, Tokens

BEARER: list[dict[str, list[str]]] = [{"bearer": []}]
"""For ``security=`` of the routes that need an access token, so that the documentation says so."""

STAFF = frozenset({Role.OPERATOR, Role.ADMIN})


@dataclass(frozen=True, slots=True)
class Caller:
    """The person behind a request; all ``None`` for somebody who did not sign in."""

    user_id: UUID | None = None
    role: Role | None = None
    session_id: UUID | None = None

    @property
    def is_signed_in(self) -> bool:
        return self.user_id is not None

    @property
    def is_staff(self) -> bool:
        return self.role in STAFF

    @property
    def name(self) -> str:
        """How timelines and audits call them: ``customer:<id>``, ``operator:<id>``, ``admin:<id>``, ``anonymous``."""
        return f"{self.role}:{self.user_id}" if self.is_signed_in else "anonymous"


ANONYMOUS = Caller()

Connection = ASGIConnection[Any, Any, Any, Any]


async def provide_caller(request: Request[Any, Any, Any]) -> Caller:
    """The dependency ``caller``; refuses ``unauthenticated`` for a token that is forged, expired or signed out."""
    return await caller_of(request)


async def caller_of(connection: Connection) -> Caller:
    """Guards and handlers of one request share one answer."""
    state = connection.scope["state"]
    if "caller" not in state:
        state["caller"] = await _recognised(connection)
    return state["caller"]  # type: ignore[no-any-return]


async def _recognised(connection: Connection) -> Caller:
    header = connection.headers.get("authorization")
    if header is None:
        return ANONYMOUS
    claims = connection.scope["state"].get("claims") or claims_in(header, connection.app.state.tokens)
    if await connection.app.state.deny_list.holds(claims.session_id):
        raise Refusal("unauthenticated", "This session was ended; sign in again.")
    return Caller(user_id=claims.user_id, role=claims.role, session_id=claims.session_id)


def claims_in(authorization: str, tokens: Tokens) -> AccessClaims:
    """What the header says, checked; refuses ``unauthenticated``."""
    scheme, _, token = authorization.partition(" ")
    if scheme.lower() != "bearer":
        raise Refusal("unauthenticated", "Authorization must be `Bearer` and an access token.")
    return tokens.read_access(token.strip())


async def signed_in(connection: Connection, _: BaseRouteHandler) -> None:
    """Guard: anybody with an account."""
    await _signed_in(connection)


async def staff(connection: Connection, _: BaseRouteHandler) -> None:
    """Guard: operators and admins."""
    caller = await _signed_in(connection)
    if not caller.is_staff:
        raise Refusal("forbidden", "This is for operators of the shop.")


async def admin_only(connection: Connection, _: BaseRouteHandler) -> None:
    """Guard: admins."""
    caller = await _signed_in(connection)
    if caller.role is not Role.ADMIN:
        raise Refusal("forbidden", "This is for admins of the shop.")


async def _signed_in(connection: Connection) -> Caller:
    caller = await caller_of(connection)
    if not caller.is_signed_in:
        raise Refusal("unauthenticated", "This needs an access token: sign in first.")
    return caller
