"""The account behind an access token, as its owner sees it."""

from contextlib import AbstractAsyncContextManager, nullcontext
from dataclasses import dataclass
from typing import Annotated, TypeVar
from uuid import UUID

from litestar import Controller, delete, get, patch
from pydantic import Field, SecretStr
from sqlalchemy.ext.asyncio import AsyncSession

from api.auth import Caller
from api.credentials import NOT_STORED, Credentials, NewPassword, Username, hash_of_new
from api.erasures import ErasureOut, ExportOut, Goodbye, check_is_them, forgotten, told_everything
from api.errors import refuses
from api.profiles import ProfileOut, Profiles, profile
from db import confirmations, customer_groups, customers, mailbox, sessions
from db.base import new_id
from db.customers import User
from domain.errors import Refusal, unacceptable
from domain.notifications import Occasion
from domain.permissions import Permission
from runtime.resources import Resources

Account = TypeVar("Account", User, ProfileOut, tuple[User, list[str]])


class ProfileChange(Credentials):
    """What is left out stays as it is."""

    username: Username | None = None
    password: NewPassword | None = Field(default=None, description="Needs `current_password`; signs out all others")
    current_password: Annotated[SecretStr, Field(max_length=1000)] | None = None


class UserController(Controller):
    path = "/v1/users"
    tags = ("Identity",)
    cache_control = NOT_STORED

    @get(
        "/me",
        permission=Permission.ACCOUNT,
        summary="My profile",
        responses=refuses("unauthenticated", "forbidden", "not_found"),
    )
    async def me(self, caller: Caller, profiles: Profiles) -> ProfileOut:
        """The account behind the access token."""
        return existing(await profiles.of(whoever(caller)))

    @patch(
        "/me",
        permission=Permission.ACCOUNT,
        summary="Change my profile",
        responses=refuses("unauthenticated", "forbidden", "not_found", "username_taken"),
    )
    async def change_me(
        self, data: ProfileChange, caller: Caller, resources: Resources, profiles: Profiles
    ) -> ProfileOut:
        """A username is unique, however it is capitalised.

        A new password needs the current one. It ends all sessions of the account but this one, and a mail says so.
        """
        user_id = whoever(caller)
        change = await password_change(data, caller, resources)
        ended: list[UUID] = []
        async with resources.sessions.begin() as session:
            if change is not None:
                ended = await change_password(session, change, user_id, caller.session_id)
            if data.username is not None:
                await customers.rename(session, user_id, data.username)
            changed = profile(*existing(await customer_groups.with_groups(session, user_id)))
        await resources.deny_list.add(*ended)
        await profiles.forget(user_id)
        return changed

    @delete(
        "/me",
        permission=Permission.ACCOUNT,
        status_code=202,
        summary="Forget me",
        responses=refuses("unauthenticated", "forbidden", "not_found", "invalid_credentials", "password_required"),
    )
    async def forget_me(self, caller: Caller, resources: Resources, data: Goodbye | None = None) -> ErasureOut:
        """Closes the account at once and takes the person out of all that is kept; orders stay, without personal data.

        It needs the password, unless the caller signed in within the last five minutes. While orders are on their way
        (`open_orders`) it waits until they have arrived, or are cancelled.
        """
        user_id = whoever(caller)
        password = data.password if data else None
        async with guessing(resources, caller) if password else nullcontext():
            await check_is_them(resources, user_id, caller.session_id, password)
        return await forgotten(resources, user_id=user_id, order_id=None, asked_by=caller.name)

    @get(
        "/me/export",
        permission=Permission.ACCOUNT,
        summary="Take my data along",
        responses=refuses("unauthenticated", "forbidden"),
    )
    async def export_me(self, caller: Caller, resources: Resources) -> ExportOut:
        """All that the shop knows of the caller, as JSON: the account, carts, orders, payments, parcels, returns."""
        return await told_everything(resources, whoever(caller))


@dataclass(frozen=True, kw_only=True)
class PasswordChange:
    old_hash: str
    new_hash: str


async def password_change(data: ProfileChange, caller: Caller, resources: Resources) -> PasswordChange | None:
    """The slow part, before any row is locked; refuses a wrong current password and a new one that is easy to guess."""
    if data.password is None:
        return None
    user = await checked_password(resources, caller, data.current_password)
    new_hash = await hash_of_new(resources, data.password, user.username, user.email)
    return PasswordChange(old_hash=user.password_hash, new_hash=new_hash)


async def checked_password(resources: Resources, caller: Caller, current: SecretStr | None) -> User:
    """The account, with its password's hash; refuses a wrong password, and after some of them makes wait."""
    async with guessing(resources, caller):
        return await right_password(resources, whoever(caller), current)


def guessing(resources: Resources, caller: Caller) -> AbstractAsyncContextManager[None]:
    if caller.session_id is None:
        raise Refusal("unauthenticated", "This needs an access token: sign in first.")
    return resources.guesses.of_session(caller.session_id)


async def right_password(resources: Resources, user_id: UUID, current: SecretStr | None) -> User:
    async with resources.sessions() as session:
        user = existing(await customers.by_id_with_hash(session, user_id))
    known = current.get_secret_value() if current else ""
    if not (await resources.passwords.check(known, user.password_hash)).is_right:
        raise wrong_current_password()
    return user


async def change_password(
    session: AsyncSession, change: PasswordChange, user_id: UUID, session_id: UUID | None
) -> list[UUID]:
    """The sessions that end with it."""
    if not await customers.has_password(session, user_id, change.old_hash):
        raise wrong_current_password()  # it was changed while this one was checked
    await customers.change_password(session, user_id, change.new_hash)
    await confirmations.end_open(session, user_id)
    await mailbox.ask_for(session, Occasion.PASSWORD_CHANGED, user_id, occasion_of=new_id())
    return await sessions.end_all(session, user_id, but=session_id)


def wrong_current_password() -> Refusal:
    return unacceptable("/current_password", "This is not your current password.")


def whoever(caller: Caller) -> UUID:
    if caller.user_id is None:
        raise Refusal("unauthenticated", "This needs an access token: sign in first.")
    return caller.user_id


def existing(account: Account | None) -> Account:
    if account is None:
        raise Refusal("not_found", "This account does not exist any more.")
    return account
