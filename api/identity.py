"""Sign in, stay signed in, sign out."""

from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Literal
from uuid import UUID

from litestar import Controller, Request, Response, get, post
from litestar.datastructures import CacheControlHeader
from pydantic import Field, SecretStr
from sqlalchemy.ext.asyncio import AsyncSession

from api.auth import STAFF, Caller
from api.credentials import NOT_STORED, Credentials
from api.devices import DeviceCookie, known_device
from api.errors import refuses
from api.profiles import ProfileOut, profile
from api.schemas import Input, Output
from api.second_factor import takes
from api.sessions import device_of
from db import customer_groups, customers, second_factors, sessions
from db.base import new_id
from db.claims import claim_guest_orders
from db.customers import User
from db.sessions import Rotation
from db.tokens import hash_of, new_token
from domain.customers import AccountStatus, Role
from domain.errors import Refusal
from domain.permissions import Permission
from runtime.resources import Resources
from runtime.tokens import AccessClaims

AnyRequest = Request[Any, Any, Any]


class SignIn(Credentials):
    email: Annotated[str, Field(max_length=320)]
    password: Annotated[SecretStr, Field(max_length=1000)]
    code: Annotated[SecretStr, Field(max_length=64)] | None = Field(
        default=None, description="Of the authenticator app, or a recovery code; for accounts with a second factor"
    )


class RefreshTokenIn(Input):
    refresh_token: Annotated[str, Field(min_length=1, max_length=512)]


class Ed25519KeyOut(Output):
    kty: Literal["OKP"]
    crv: Literal["Ed25519"]
    use: Literal["sig"]
    alg: Literal["EdDSA"]
    kid: str
    x: str


class P256KeyOut(Output):
    kty: Literal["EC"]
    crv: Literal["P-256"]
    use: Literal["sig"]
    alg: Literal["ES256"]
    kid: str
    x: str
    y: str


class KeysOut(Output):
    keys: list[Ed25519KeyOut | P256KeyOut]


class TokensOut(Output):
    access_token: str = Field(description="Send it as `Authorization: Bearer …`")
    token_type: Literal["Bearer"] = "Bearer"  # noqa: S105 (a scheme, no secret)
    expires_in: int = Field(description="Seconds until the access token ends")
    refresh_token: str = Field(description="Good for one call of `/v1/auth/refresh`")
    user: ProfileOut


class AuthController(Controller):
    path = "/v1/auth"
    tags = ("Identity",)
    cache_control = NOT_STORED

    @post(
        "/login",
        permission=Permission.SIGN_IN,
        status_code=200,
        summary="Sign in",
        responses=refuses("invalid_credentials", "email_not_verified", "second_factor_required", "second_factor_wrong"),
    )
    async def login(
        self, data: SignIn, request: AnyRequest, resources: Resources, device: DeviceCookie
    ) -> Response[TokensOut]:
        """The answer, and the time it takes, do not tell whether the account exists.

        An account with a second factor also needs a `code`: without one the answer is `second_factor_required`.

        After some wrong passwords or codes the next try has to wait, each time twice as long: 429. A device that the
        account has signed in from shows so with its cookie, and waits only for what was tried from it.
        """
        guess = await resources.guesses.begin(data.email, request.scope["state"]["address"], device)
        password = data.password.get_secret_value()
        async with resources.sessions() as session:
            user, hash_to_check = await customers.claimed_by(session, data.email.strip())
        check = await resources.passwords.check(password, hash_to_check)
        if user is None or not check.is_right:
            raise wrong_credentials()
        if user.status != AccountStatus.ACTIVE:
            await resources.guesses.right(guess)
            raise Refusal("email_not_verified", "Follow the link that was mailed to you, then sign in.")
        refresh_token = new_token()
        async with resources.sessions.begin() as session:
            if not await customers.has_password(session, user.id, user.password_hash):
                raise wrong_credentials()  # it was changed while this one was checked
            await second_factor_checked(data, user, session, resources)
            await claim_guest_orders(session, user.id)
            if check.better_hash:
                await customers.replace_hash(session, user.id, old=user.password_hash, new=check.better_hash)
            session_id = await sessions.sign_in(
                session,
                user.id,
                token_hash=hash_of(refresh_token),
                lasts=refresh_tokens_last(resources),
                on=device_of(request),
            )
            role = await role_for_now(user, session, resources)
            shown = profile(user, await customer_groups.groups_of(session, user.id))
        await resources.guesses.right(guess)
        tokens = tokens_for(resources, shown, role, session_id, refresh_token)
        return Response(tokens, cookies=[known_device(resources, guess)])

    @post(
        "/refresh",
        permission=Permission.SIGN_IN,
        status_code=200,
        summary="Stay signed in",
        responses=refuses("refresh_token_invalid", "refresh_token_reused"),
    )
    async def refresh(self, data: RefreshTokenIn, request: AnyRequest, resources: Resources) -> TokensOut:
        """Trades a refresh token for a new pair.

        A refresh token that comes twice has been copied: the whole session is revoked.
        """
        fresh = new_token()
        async with resources.sessions.begin() as session:
            rotated = await sessions.rotate(
                session,
                used=hash_of(data.refresh_token),
                fresh=hash_of(fresh),
                lasts=refresh_tokens_last(resources),
                at_most=timedelta(days=resources.settings.auth.session_days),
                on=device_of(request),
            )
            role = await role_for_now(rotated.user, session, resources) if rotated.user else None
            groups = await customer_groups.groups_of(session, rotated.user.id) if rotated.user else []
        if rotated.outcome is Rotation.REUSED and rotated.session_id:
            await resources.deny_list.add(rotated.session_id)
            raise Refusal("refresh_token_reused", "This refresh token was used before; its session has been ended.")
        if rotated.user is None or rotated.session_id is None or role is None:
            raise Refusal("refresh_token_invalid", "Sign in again.")
        return tokens_for(resources, profile(rotated.user, groups), role, rotated.session_id, fresh)

    @post(
        "/logout",
        permission=Permission.ACCOUNT,
        status_code=204,
        summary="Sign out",
        responses=refuses("unauthenticated", "forbidden"),
    )
    async def logout(self, caller: Caller, resources: Resources) -> None:
        """Ends this session: its access and refresh tokens stop working at once."""
        if caller.session_id is None:
            return
        async with resources.sessions.begin() as session:
            await sessions.sign_out(session, caller.session_id)
        await resources.deny_list.add(caller.session_id)


@get(
    "/.well-known/jwks.json",
    permission=Permission.PROBE,
    summary="Public keys",
    tags=["Identity"],
    responses=refuses(),
    cache_control=CacheControlHeader(public=True, max_age=3600),
)
async def public_keys(resources: Resources) -> KeysOut:
    """What others need to check our access tokens (RFC 7517). The algorithm of a token is its key's.

    A key is published an hour before it signs, and as long as anything that it has signed is good.
    """
    return KeysOut.model_validate(resources.tokens.keys().jwks)


def wrong_credentials() -> Refusal:
    return Refusal("invalid_credentials", "E-mail or password is wrong.")


def refresh_tokens_last(resources: Resources) -> timedelta:
    return timedelta(seconds=resources.settings.auth.refresh_token_seconds)


async def second_factor_checked(data: SignIn, user: User, session: AsyncSession, resources: Resources) -> None:
    """Refuses ``second_factor_required`` and ``second_factor_wrong``; a code is taken once."""
    if not await second_factors.is_enabled(session, user.id):
        return
    if data.code is None:
        raise Refusal("second_factor_required", "Send a code of your authenticator app, or a recovery code.")
    if not await takes(resources, session, user.id, data.code.get_secret_value()):
        raise Refusal("second_factor_wrong", "This is not the code of this moment, or it was used before.")


async def role_for_now(user: User, session: AsyncSession, resources: Resources) -> Role:
    """Staff who have to have a second factor and have none yet may do what customers may: set one up, and no more."""
    role = Role(user.role)
    if role not in STAFF or not resources.settings.staff_needs_second_factor:
        return role
    return role if await second_factors.is_enabled(session, user.id) else Role.CUSTOMER


def tokens_for(resources: Resources, user: ProfileOut, role: Role, session_id: UUID, refresh_token: str) -> TokensOut:
    claims = AccessClaims(user_id=user.id, role=role, session_id=session_id)
    return TokensOut(
        access_token=resources.tokens.access(claims, token_id=new_id(), now=datetime.now(UTC)),
        expires_in=resources.tokens.access_seconds,
        refresh_token=refresh_token,
        user=user,
    )
