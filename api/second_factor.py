"""A second factor: codes of an authenticator app (RFC 6238), asked for at sign-in besides the password."""

import base64
import hmac
import secrets
from datetime import UTC, datetime
from typing import Annotated
from uuid import UUID

import pyotp
from litestar import Controller, delete, get, post
from pydantic import Field, SecretStr
from sqlalchemy.ext.asyncio import AsyncSession

from api.auth import Caller
from api.credentials import NOT_STORED, Credentials
from api.errors import refuses
from api.schemas import Output
from api.users import checked_password, guessing, right_password, whoever
from db import audit_log, mailbox, second_factors, sessions
from db.base import new_id
from db.second_factors import SecondFactor
from db.tokens import hash_of
from domain.errors import Refusal, unacceptable
from domain.notifications import Occasion
from domain.permissions import Permission
from domain.second_factor import CODE, RECOVERY_CODES, steps_around, without_blanks
from runtime.resources import Resources

Code = Annotated[SecretStr, Field(min_length=1, max_length=64)]


class WithPassword(Credentials):
    current_password: Annotated[SecretStr, Field(max_length=1000)]


class WithCode(Credentials):
    code: Code = Field(description="Of the authenticator app")


class WithBoth(WithPassword):
    code: Code = Field(description="Of the authenticator app, or a recovery code")


class SecondFactorOut(Output):
    is_enabled: bool
    recovery_codes_left: int


class SharedSecretOut(Output):
    secret: str = Field(description="For typing into the authenticator app; shown this once")
    uri: str = Field(
        description="The same for a QR code", examples=["otpauth://totp/Sutler:ada%40example.com?secret=…"]
    )


class RecoveryCodesOut(Output):
    recovery_codes: list[str] = Field(description="Each takes the place of a code once; shown this once")


class SecondFactorController(Controller):
    path = "/v1/users/me/second-factor"
    tags = ("Identity",)
    cache_control = NOT_STORED

    @get(
        permission=Permission.ACCOUNT,
        summary="See whether I have a second factor",
        responses=refuses("unauthenticated", "forbidden"),
    )
    async def show(self, caller: Caller, resources: Resources) -> SecondFactorOut:
        """Whether codes are asked for at sign-in, and how many recovery codes are left."""
        async with resources.sessions() as session:
            return SecondFactorOut(
                is_enabled=await second_factors.is_enabled(session, whoever(caller)),
                recovery_codes_left=await second_factors.recovery_codes_left(session, whoever(caller)),
            )

    @post(
        permission=Permission.ACCOUNT,
        summary="Share a secret with my authenticator app",
        responses=refuses("unauthenticated", "forbidden", "not_found", "second_factor_enabled"),
    )
    async def begin(self, data: WithPassword, caller: Caller, resources: Resources) -> SharedSecretOut:
        """Needs the password. Codes are asked for only once the first one has come, to `confirm`."""
        user = await checked_password(resources, caller, data.current_password)
        secret = pyotp.random_base32()
        sealed = resources.seal.close(secret.encode(), user.id.bytes)
        async with resources.sessions.begin() as session:
            await second_factors.begin(session, user.id, sealed)
        uri = pyotp.TOTP(secret).provisioning_uri(name=user.email, issuer_name=resources.settings.shop.name)
        return SharedSecretOut(secret=secret, uri=uri)

    @post(
        "/confirm",
        permission=Permission.ACCOUNT,
        status_code=200,
        summary="Turn my second factor on",
        responses=refuses("unauthenticated", "forbidden", "second_factor_enabled"),
    )
    async def confirm(self, data: WithCode, caller: Caller, resources: Resources) -> RecoveryCodesOut:
        """From now on sign-in asks for a code. Gives recovery codes, and ends all other sessions."""
        user_id = whoever(caller)
        codes = [new_recovery_code() for _ in range(RECOVERY_CODES)]
        async with resources.sessions.begin() as session:
            factor = await second_factors.of(session, user_id)
            if factor is not None and factor.confirmed_at is not None:
                raise Refusal("second_factor_enabled", "There is a second factor already; turn it off first.")
            if factor is None or not await _takes(resources, session, factor, data.code.get_secret_value()):
                raise wrong_code()
            await second_factors.confirm(session, user_id, [hash_of(without_blanks(code)) for code in codes])
            ended = await _has_changed(session, user_id, caller.session_id)
        await resources.deny_list.add(*ended)
        return RecoveryCodesOut(recovery_codes=codes)

    @post(
        "/disable",
        permission=Permission.ACCOUNT,
        status_code=204,
        summary="Turn my second factor off",
        responses=refuses("unauthenticated", "forbidden", "not_found"),
    )
    async def disable(self, data: WithBoth, caller: Caller, resources: Resources) -> None:
        """Needs the password and a code, and ends all other sessions."""
        async with guessing(resources, caller):
            user = await right_password(resources, whoever(caller), data.current_password)
            async with resources.sessions.begin() as session:
                if not await takes(resources, session, user.id, data.code.get_secret_value()):
                    raise wrong_code()
                await second_factors.remove(session, user.id)
                ended = await _has_changed(session, user.id, caller.session_id)
        await resources.deny_list.add(*ended)


@delete(
    "/v1/admin/users/{user_id:uuid}/second-factor",
    permission=Permission.STAFF_MANAGE,
    status_code=204,
    tags=["Staff"],
    summary="Help somebody who has lost their phone",
    responses=refuses("unauthenticated", "forbidden", "not_found"),
)
async def remove_for_somebody(user_id: UUID, caller: Caller, resources: Resources) -> None:
    """Turns the second factor of an account off, and ends its sessions. Make sure first who it is that asks."""
    async with resources.sessions.begin() as session:
        if not await second_factors.is_enabled(session, user_id):
            raise Refusal("not_found", "There is no such account with a second factor.")
        await second_factors.remove(session, user_id)
        ended = await _has_changed(session, user_id, None)
        await audit_log.note(session, caller.name, "remove_second_factor", words=str(user_id))
    await resources.deny_list.add(*ended)


async def _has_changed(session: AsyncSession, user_id: UUID, session_id: UUID | None) -> list[UUID]:
    await mailbox.ask_for(session, Occasion.SECOND_FACTOR_CHANGED, user_id, occasion_of=new_id())
    return await sessions.end_all(session, user_id, but=session_id)


async def takes(resources: Resources, session: AsyncSession, user_id: UUID, code: str) -> bool:
    """Is it a code of this account's app, or one of its recovery codes? Each is taken once."""
    factor = await second_factors.of(session, user_id)
    if factor is None or factor.confirmed_at is None:
        return False
    meant = without_blanks(code)
    if CODE.fullmatch(meant):
        return await _takes(resources, session, factor, meant)
    return await second_factors.use_recovery_code(session, user_id, hash_of(meant))


async def _takes(resources: Resources, session: AsyncSession, factor: SecondFactor, code: str) -> bool:
    app = pyotp.TOTP(resources.seal.open(factor.sealed_secret, factor.user_id.bytes).decode())
    meant = without_blanks(code)
    for step in steps_around(datetime.now(UTC)):
        if hmac.compare_digest(app.generate_otp(step), meant):
            return await second_factors.use_step(session, factor.user_id, step)
    return False


def new_recovery_code() -> str:
    """120 random bits, so that a fast hash of them is enough, in groups that can be copied by hand."""
    letters = base64.b32encode(secrets.token_bytes(15)).decode()
    return "-".join(letters[start : start + 4] for start in range(0, len(letters), 4))


def wrong_code() -> Refusal:
    return unacceptable("/code", "This is not the code of this moment, or it was used before.")
