"""Shapes that the routes about accounts share."""

from typing import Annotated
from uuid import UUID

from litestar.datastructures import CacheControlHeader
from pydantic import AfterValidator, ConfigDict, Field, SecretStr, WithJsonSchema

from api.schemas import Input, Output
from domain.customers import AccountStatus, acceptable_password, acceptable_username
from domain.errors import unacceptable
from runtime.resources import Resources

NOT_STORED = CacheControlHeader(no_store=True)


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


class MailedToken(Input):
    token: Annotated[str, Field(min_length=1, max_length=4096, description="From the link in the mail")]


class AccountOut(Output):
    user_id: UUID
    status: AccountStatus


async def hash_of_new(resources: Resources, password: SecretStr, *known: str) -> str:
    """What to store of a new password; refuses one that is easy to guess for who knows this of its owner."""
    chosen = password.get_secret_value()
    if why := await resources.passwords.why_weak(chosen, [*known, resources.settings.shop.name]):
        raise unacceptable("/password", why)
    return await resources.passwords.hash(chosen)
