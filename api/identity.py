"""Accounts and sign-in: register, verify, sign in, stay signed in, sign out, and who am I."""

import asyncio
import base64
import hashlib
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Literal
from uuid import UUID

import structlog
from litestar import Controller, MediaType, Response, get, patch, post
from litestar.datastructures import CacheControlHeader
from pydantic import AfterValidator, ConfigDict, Field, SecretStr, WithJsonSchema
from temporalio.client import (
    WorkflowUpdateFailedError,
    WorkflowUpdateRPCTimeoutOrCancelledError,
)
from temporalio.common import SearchAttributePair, TypedSearchAttributes
from temporalio.service import RPCError, RPCStatusCode

from api.auth import BEARER, Caller, signed_in
from api.errors import not_acceptable, refuses
from api.schemas import Email, Input, Output
from db import customers
from db.base import new_id
from db.customers import Rotation, User
from domain.customers import (
    AccountState,
    AccountStatus,
    RegisterCustomer,
    Role,
    acceptable_password,
    acceptable_username,
)
from domain.errors import Refusal
from runtime.resources import Resources
from runtime.tokens import AccessClaims, ForgedTokenError, hash_of, new_refresh_token
from workflows.names import CUSTOMER_ID, Queue, registration_id
from workflows.registration import Registration

log = structlog.get_logger()

ENGINE_ANSWERS_WITHIN = 5.0
"""Well below the time after which Postgres ends the transaction that waits for it: see ``db.customers.register``."""

WORKER_ANSWERS_WITHIN = 10.0

WORKFLOW_TASK_TIMEOUT = timedelta(seconds=5)
"""A worker that is killed while it verifies somebody is noticed within the time that this person waits."""

VERIFY: Any = Registration.verify  # the SDK's types do not know updates that take nothing


def _checked(password: SecretStr) -> SecretStr:
    acceptable_password(password.get_secret_value())
    return password


Username = Annotated[
    str,
    AfterValidator(acceptable_username),
    WithJsonSchema({"type": "string", "minLength": 3, "maxLength": 50, "pattern": "^[A-Za-z0-9_.-]+$"}),
]
NewPassword = Annotated[
    SecretStr,
    AfterValidator(_checked),
    WithJsonSchema({"type": "string", "format": "password", "minLength": 8, "maxLength": 100, "writeOnly": True}),
]


class Credentials(Input):
    """Passwords are taken as they are: a blank at the end is part of it."""

    model_config = ConfigDict(str_strip_whitespace=False)


class NewAccount(Credentials):
    username: Username
    email: Email
    password: NewPassword


class AccountOut(Output):
    user_id: UUID
    status: AccountStatus


class MailedToken(Input):
    token: Annotated[str, Field(min_length=1, max_length=4096, description="From the link in the mail")]


class SignIn(Credentials):
    email: Annotated[str, Field(max_length=320)]
    password: Annotated[SecretStr, Field(max_length=1000)]


class RefreshTokenIn(Input):
    refresh_token: Annotated[str, Field(min_length=1, max_length=512)]


class ProfileChange(Input):
    username: Username


class ProfileOut(Output):
    id: UUID
    username: str
    email: str
    role: Role
    status: AccountStatus
    created_at: datetime


class KeyOut(Output):
    kty: str
    crv: str
    use: str
    alg: str
    kid: str
    x: str


class KeysOut(Output):
    keys: list[KeyOut]


class TokensOut(Output):
    access_token: str = Field(description="Send it as `Authorization: Bearer …`")
    token_type: Literal["Bearer"] = "Bearer"  # noqa: S105 (a scheme, no secret)
    expires_in: int = Field(description="Seconds until the access token ends")
    refresh_token: str = Field(description="Good for one call of `/v1/auth/refresh`")
    user: ProfileOut


def profile(user: User) -> ProfileOut:
    return ProfileOut(
        id=user.id,
        username=user.username,
        email=user.email,
        role=Role(user.role),
        status=AccountStatus(user.status),
        created_at=user.created_at,
    )


NOT_STORED = CacheControlHeader(no_store=True)


class AuthController(Controller):
    path = "/v1/auth"
    tags = ("Identity",)
    cache_control = NOT_STORED

    @post(
        "/register",
        status_code=202,
        summary="Register",
        responses=refuses("email_taken", "username_taken"),
    )
    async def register(self, data: NewAccount, resources: Resources) -> AccountOut:
        """Makes an account that waits for its e-mail address to be confirmed, and mails a link to it.

        Without a confirmation it expires, and its e-mail and username are free again.
        """
        password_hash = await resources.passwords.hash(data.password.get_secret_value())
        async with resources.sessions.begin() as session:
            user = await customers.register(
                session, username=data.username, email=data.email, password_hash=password_hash
            )
            # Started before the commit: an account never exists without somebody to look after it. A workflow
            # whose account was not committed after all notices, and ends.
            await start_registration(resources, user.id)
        return AccountOut(user_id=user.id, status=AccountStatus.PENDING_VERIFICATION)

    @post(
        "/verify-email",
        status_code=200,
        summary="Confirm the e-mail address",
        responses=refuses("token_expired"),
    )
    async def verify_email(self, data: MailedToken, resources: Resources) -> AccountOut:
        """Makes the account active. Good for more than one click: the second answers as the first."""
        try:
            user_id = resources.tokens.read_verification(data.token)
        except ForgedTokenError:
            raise not_acceptable("/token", "This is not a token that we have mailed.") from None
        if await verified(resources, user_id) is not AccountState.ACTIVE:
            raise Refusal("token_expired", "The account has expired; register again.")
        return AccountOut(user_id=user_id, status=AccountStatus.ACTIVE)

    @post(
        "/login",
        status_code=200,
        summary="Sign in",
        responses=refuses("invalid_credentials", "email_not_verified"),
    )
    async def login(self, data: SignIn, resources: Resources) -> TokensOut:
        """The answer, and the time it takes, do not tell whether the account exists."""
        password = data.password.get_secret_value()
        async with resources.sessions() as session:
            user = await customers.by_email_with_hash(session, data.email.strip())
        check = await resources.passwords.check(password, user.password_hash if user else None)
        if user is None or not check.is_right:
            raise Refusal("invalid_credentials", "E-mail or password is wrong.")
        if user.status != AccountStatus.ACTIVE:
            raise Refusal("email_not_verified", "Follow the link that was mailed to you, then sign in.")
        refresh_token = new_refresh_token()
        async with resources.sessions.begin() as session:
            if check.better_hash:
                await customers.replace_hash(session, user.id, old=user.password_hash, new=check.better_hash)
            session_id = await customers.sign_in(
                session, user.id, token_hash=hash_of(refresh_token), lasts=refresh_tokens_last(resources)
            )
        return tokens_for(resources, user, session_id, refresh_token)

    @post(
        "/refresh",
        status_code=200,
        summary="Stay signed in",
        responses=refuses("refresh_token_invalid", "refresh_token_reused"),
    )
    async def refresh(self, data: RefreshTokenIn, resources: Resources) -> TokensOut:
        """Trades a refresh token for a new pair.

        A refresh token that comes twice has been copied: the whole session is revoked.
        """
        fresh = new_refresh_token()
        async with resources.sessions.begin() as session:
            rotated = await customers.rotate(
                session, used=hash_of(data.refresh_token), fresh=hash_of(fresh), lasts=refresh_tokens_last(resources)
            )
        if rotated.outcome is Rotation.REUSED and rotated.session_id:
            await resources.deny_list.add(rotated.session_id)
            raise Refusal("refresh_token_reused", "This refresh token was used before; its session has been ended.")
        if rotated.user is None or rotated.session_id is None:
            raise Refusal("refresh_token_invalid", "Sign in again.")
        return tokens_for(resources, rotated.user, rotated.session_id, fresh)

    @post(
        "/logout",
        status_code=204,
        summary="Sign out",
        responses=refuses("unauthenticated"),
        guards=[signed_in],
        security=BEARER,
    )
    async def logout(self, caller: Caller, resources: Resources) -> None:
        """Ends this session: its access and refresh tokens stop working at once."""
        if caller.session_id is None:
            return
        async with resources.sessions.begin() as session:
            await customers.sign_out(session, caller.session_id)
        await resources.deny_list.add(caller.session_id)


class UserController(Controller):
    path = "/v1/users"
    tags = ("Identity",)
    cache_control = NOT_STORED
    guards = (signed_in,)
    security = BEARER

    @get("/me", summary="My profile", responses=refuses("unauthenticated", "not_found"))
    async def me(self, caller: Caller, resources: Resources) -> ProfileOut:
        """The account behind the access token."""
        async with resources.sessions() as session:
            return profile(existing(await customers.by_id(session, whoever(caller))))

    @patch(
        "/me",
        summary="Change my profile",
        responses=refuses("unauthenticated", "not_found", "username_taken"),
    )
    async def change_me(self, data: ProfileChange, caller: Caller, resources: Resources) -> ProfileOut:
        """The username can be changed; it is unique, however it is capitalised."""
        async with resources.sessions.begin() as session:
            return profile(existing(await customers.rename(session, whoever(caller), data.username)))


@get(
    "/.well-known/jwks.json",
    summary="Public keys",
    tags=["Identity"],
    responses=refuses(),
    cache_control=CacheControlHeader(public=True, max_age=3600),
)
async def public_keys(resources: Resources) -> KeysOut:
    """What others need to check our access tokens (RFC 7517): Ed25519, algorithm `EdDSA`."""
    return KeysOut.model_validate(resources.tokens.key.jwks)


@get("/verify-email", include_in_schema=False, sync_to_thread=False)
def verification_page() -> Response[bytes]:
    """Where the mailed link leads. Opening it changes nothing: programs that look through mail open links as well."""
    return Response(
        VERIFICATION_PAGE,
        media_type=MediaType.HTML,
        headers={
            "Cache-Control": "no-store",
            "Referrer-Policy": "no-referrer",
            "Content-Security-Policy": VERIFICATION_POLICY,
        },
    )


VERIFICATION_SCRIPT = """
const token = new URLSearchParams(location.search).get("token");
const said = document.querySelector("p");
document.querySelector("button").addEventListener("click", async () => {
  const answer = await fetch("/v1/auth/verify-email", {
    method: "POST",
    headers: {"Content-Type": "application/json"},
    body: JSON.stringify({token}),
  });
  const body = await answer.json();
  said.textContent = answer.ok ? "Thank you. You can sign in now." : body.detail;
});
"""
VERIFICATION_SCRIPT_HASH = f"sha256-{base64.b64encode(hashlib.sha256(VERIFICATION_SCRIPT.encode()).digest()).decode()}"
VERIFICATION_POLICY = f"default-src 'none'; connect-src 'self'; script-src '{VERIFICATION_SCRIPT_HASH}'"
VERIFICATION_PAGE = f"""<!doctype html>
<html lang="en">
<head><meta charset="utf-8"><title>Confirm your e-mail address</title></head>
<body>
<h1>Confirm your e-mail address</h1>
<button>Confirm</button>
<p></p>
<script>{VERIFICATION_SCRIPT}</script>
</body>
</html>
""".encode()


async def start_registration(resources: Resources, user_id: UUID) -> None:
    """Refuses ``unavailable`` when the engine does not take it in time."""
    auth = resources.settings.auth
    try:
        async with asyncio.timeout(ENGINE_ANSWERS_WITHIN):
            await resources.temporal.start_workflow(
                Registration.run,
                RegisterCustomer(
                    user_id=user_id,
                    reminder_after_seconds=auth.reminder_hours * 3600,
                    expires_after_seconds=auth.verification_hours * 3600,
                ),
                id=registration_id(user_id),
                task_queue=Queue.REGISTRATION,
                task_timeout=WORKFLOW_TASK_TIMEOUT,
                static_summary=f"New account, to be verified within {auth.verification_hours} hours",
                search_attributes=TypedSearchAttributes([SearchAttributePair(CUSTOMER_ID, str(user_id))]),
            )
    except (RPCError, RuntimeError, TimeoutError) as error:  # a first connection fails with a RuntimeError
        log.warning("registration_not_started", error=type(error).__name__)
        raise Refusal("unavailable", "Accounts cannot be made at this moment; try again.") from None


async def verified(resources: Resources, user_id: UUID) -> AccountState:
    """Let the registration activate its account; the row has the word before it has begun and after it has ended."""
    async with resources.sessions() as session:
        found = await customers.state_of(session, user_id)
    if found is not AccountState.PENDING:
        return found
    registration = resources.temporal.get_workflow_handle_for(Registration.run, registration_id(user_id))
    try:
        async with asyncio.timeout(WORKER_ANSWERS_WITHIN):
            return AccountState(await registration.execute_update(VERIFY, id="verify"))
    except WorkflowUpdateFailedError:
        pass  # it expires at this very moment
    except RPCError as error:
        if error.status is not RPCStatusCode.NOT_FOUND:
            raise
    except (WorkflowUpdateRPCTimeoutOrCancelledError, RuntimeError, TimeoutError):
        raise Refusal("unavailable", "This takes longer than usual; follow the link again.") from None
    async with resources.sessions.begin() as session:
        return await customers.activate(session, user_id)


def refresh_tokens_last(resources: Resources) -> timedelta:
    return timedelta(seconds=resources.settings.auth.refresh_token_seconds)


def tokens_for(resources: Resources, user: User, session_id: UUID, refresh_token: str) -> TokensOut:
    claims = AccessClaims(user_id=user.id, role=Role(user.role), session_id=session_id)
    return TokensOut(
        access_token=resources.tokens.access(claims, token_id=new_id(), now=datetime.now(UTC)),
        expires_in=resources.tokens.access_seconds,
        refresh_token=refresh_token,
        user=profile(user),
    )


def whoever(caller: Caller) -> UUID:
    if caller.user_id is None:
        raise Refusal("unauthenticated", "This needs an access token: sign in first.")
    return caller.user_id


def existing(user: User | None) -> User:
    if user is None:
        raise Refusal("not_found", "This account does not exist any more.")
    return user
