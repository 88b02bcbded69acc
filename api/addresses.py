"""The address book of somebody who is signed in."""

from datetime import datetime
from operator import attrgetter
from uuid import UUID

from litestar import Controller, delete, get, post, put
from pydantic import Field

from api.auth import Caller
from api.cart_schemas import ShippingAddress
from api.credentials import NOT_STORED
from api.errors import refuses
from api.paging import Cursor, Limit, cursor_behind, id_in_cursor
from api.schemas import Output
from api.users import whoever
from db import addresses
from db.addresses import DEFAULTS, Address, copy_of
from domain.permissions import Permission
from runtime.resources import Resources


class AddressIn(ShippingAddress):
    is_default_shipping: bool = Field(default=False, description="Takes this from the address that had it")
    is_default_billing: bool = Field(default=False, description="Takes this from the address that had it")


class AddressOut(Output):
    id: UUID
    name: str
    line1: str
    line2: str | None
    city: str
    region: str | None
    postal_code: str
    country: str
    phone: str | None
    is_default_shipping: bool
    is_default_billing: bool
    created_at: datetime
    updated_at: datetime


class AddressPage(Output):
    items: list[AddressOut]
    next_cursor: str | None


class AddressController(Controller):
    path = "/v1/users/me/addresses"
    tags = ("Identity",)
    cache_control = NOT_STORED

    @get(permission=Permission.ACCOUNT, summary="List my addresses", responses=refuses("unauthenticated", "forbidden"))
    async def list_mine(self, caller: Caller, resources: Resources, limit: Limit, cursor: Cursor) -> AddressPage:
        """The oldest first."""
        async with resources.autocommit() as session:
            found = await addresses.page(session, whoever(caller), limit=limit + 1, after=id_in_cursor(cursor))
        more = cursor_behind(found, limit, attrgetter("id"))
        return AddressPage(items=[address_out(address) for address in found[:limit]], next_cursor=more)

    @post(
        permission=Permission.ACCOUNT,
        summary="Keep an address",
        responses=refuses("unauthenticated", "forbidden", "not_found", "address_book_full"),
    )
    async def add(self, data: AddressIn, caller: Caller, resources: Resources) -> AddressOut:
        """The first one is the default for shipping and for bills."""
        async with resources.sessions.begin() as session:
            return address_out(await addresses.add(session, whoever(caller), data.model_dump()))

    @get(
        "/{address_id:uuid}",
        permission=Permission.ACCOUNT,
        summary="Look at an address",
        responses=refuses("unauthenticated", "forbidden", "not_found"),
    )
    async def show(self, address_id: UUID, caller: Caller, resources: Resources) -> AddressOut:
        """One address of the caller's book."""
        async with resources.autocommit() as session:
            return address_out(await addresses.own(session, whoever(caller), address_id))

    @put(
        "/{address_id:uuid}",
        permission=Permission.ACCOUNT,
        summary="Change an address",
        responses=refuses("unauthenticated", "forbidden", "not_found"),
    )
    async def replace(self, address_id: UUID, data: AddressIn, caller: Caller, resources: Resources) -> AddressOut:
        """Carts and orders that have taken it keep it as it was."""
        async with resources.sessions.begin() as session:
            return address_out(await addresses.replace(session, whoever(caller), address_id, data.model_dump()))

    @delete(
        "/{address_id:uuid}",
        permission=Permission.ACCOUNT,
        status_code=204,
        summary="Forget an address",
        responses=refuses("unauthenticated", "forbidden", "not_found"),
    )
    async def remove(self, address_id: UUID, caller: Caller, resources: Resources) -> None:
        """Carts and orders that have taken it keep it."""
        async with resources.sessions.begin() as session:
            await addresses.remove(session, whoever(caller), address_id)


def address_out(address: Address) -> AddressOut:
    return AddressOut(
        id=address.id,
        created_at=address.created_at,
        updated_at=address.updated_at,
        **copy_of(address),
        **{name: getattr(address, name) for name in DEFAULTS},
    )
