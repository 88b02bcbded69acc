"""Where stock lies: locations, what is moved between them, and where the units of an order lie."""

from typing import Annotated, Self
from uuid import UUID

from litestar import Controller, Response, get, patch, post
from litestar.params import Parameter
from pydantic import Field, model_validator
from sqlalchemy.ext.asyncio import AsyncSession

from api.auth import Caller
from api.catalog_schemas import LocationCode, Text
from api.errors import refuses
from api.idempotency import Asked, Once
from api.inventory import VariantStock
from api.operators import DENIED
from api.orders import visible_order
from api.paging import Cursor, Limit, decode_cursor, encode_cursor, forged
from api.schemas import Input, Output
from db import inventory_views, locations
from domain.catalog import LARGEST_STOCK
from domain.catalog_files import why_not_storable
from domain.errors import Refusal
from domain.permissions import Permission
from runtime.resources import Resources

Name = Annotated[Text, Field(min_length=1, max_length=100, examples=["Warehouse North"])]
Priority = Annotated[int, Field(ge=0, le=10_000, strict=True, description="The lowest gives units first")]


class NewLocation(Input):
    code: LocationCode
    name: Name
    priority: Priority = 0


class LocationChange(Input):
    name: Name | None = None
    priority: Priority | None = None
    is_active: bool | None = Field(default=None, description="`false` closes it; only an empty one can be closed")


class LocationOut(Output):
    code: str
    name: str
    priority: int
    is_active: bool


class LocationPage(Output):
    items: list[LocationOut]
    next_cursor: str | None


class StockTransfer(Input):
    source: LocationCode = Field(alias="from")
    target: LocationCode = Field(alias="to")
    quantity: Annotated[int, Field(ge=1, le=LARGEST_STOCK, strict=True, examples=[10])]
    reason: Annotated[Text, Field(min_length=1, max_length=200, examples=["weekly delivery"])]

    @model_validator(mode="after")
    def goes_somewhere(self) -> Self:
        if self.source == self.target:
            raise ValueError("from and to are the same")
        return self


class OrderUnits(Output):
    variant_id: UUID
    sku: str
    location: str
    waiting: int = Field(description="Reserved there and not sent yet")
    shipped: int


class OrderUnitsList(Output):
    items: list[OrderUnits]


class LocationController(Controller):
    path = "/v1/admin/locations"
    tags = ("Stock",)

    @get(permission=Permission.STOCK_READ, summary="See where stock lies", responses=refuses(*DENIED))
    async def list_locations(self, resources: Resources, limit: Limit, cursor: Cursor) -> LocationPage:
        """All locations, in the order in which they give units."""
        position = decode_cursor(cursor, length=2)
        match position:
            case None:
                pass
            case [int(priority), str(code)] if 0 <= priority < 2**31 and why_not_storable(code) is None:
                pass
            case _:
                raise forged()
        async with resources.autocommit() as session:
            rows = await locations.page(
                session, limit=limit + 1, after=(position[0], position[1]) if position else None
            )
        last = rows[limit - 1] if len(rows) > limit else None
        more = encode_cursor([last["priority"], last["code"]]) if last else None
        return LocationPage.model_validate({"items": rows[:limit], "next_cursor": more})

    @post(
        permission=Permission.LOCATIONS_WRITE, summary="Open a location", responses=refuses(*DENIED, "location_exists")
    )
    async def create(self, data: NewLocation, resources: Resources) -> LocationOut:
        """A place where stock can lie from now on."""
        async with resources.sessions.begin() as session:
            made = await locations.create(session, code=data.code, name=data.name, priority=data.priority)
        return LocationOut.model_validate(made)

    @patch(
        "/{code:str}",
        permission=Permission.LOCATIONS_WRITE,
        summary="Change a location, or close it",
        responses=refuses(*DENIED, "not_found", "location_in_use"),
    )
    async def change(
        self, code: Annotated[str, Parameter(max_length=50)], data: LocationChange, resources: Resources
    ) -> LocationOut:
        """Changes what is given. A closed location gets no units, and can be opened again."""
        fields = {name: value for name, value in data.model_dump().items() if value is not None}
        if not fields:
            raise Refusal("validation_failed", "Say what is to change.", errors=[])
        async with resources.sessions.begin() as session:
            changed = await locations.change(session, code, fields)
        return LocationOut.model_validate(changed)


@post(
    "/v1/variants/{variant_id:uuid}/stock-transfers",
    permission=Permission.STOCK_WRITE,
    summary="Move stock to another location",
    tags=["Stock"],
    responses=refuses(*DENIED, "not_found", "insufficient_stock", "idempotency_key_reused"),
)
async def transfer_stock(
    variant_id: UUID, data: StockTransfer, caller: Caller, resources: Resources, once: Once
) -> Response[VariantStock]:
    """Moves units that no order holds; what can be sold of the variant stays the same. Two ledger entries."""

    async def carry_out(session: AsyncSession) -> VariantStock:
        await locations.transfer(
            session,
            variant_id,
            data.quantity,
            source=data.source,
            target=data.target,
            reason=data.reason,
            actor=caller.name,
        )
        row = await inventory_views.level(session, variant_id, low_stock=resources.settings.shop.low_stock)
        return VariantStock.model_validate(row)

    return await once.write(Asked("transfer", variant_id, data), carry_out, status_code=201)


@get(
    "/v1/admin/orders/{order_id:uuid}/stock",
    permission=Permission.STOCK_READ,
    summary="See where an order's units lie",
    tags=["Stock"],
    responses=refuses(*DENIED, "not_found"),
)
async def stock_of_order(order_id: UUID, caller: Caller, resources: Resources) -> OrderUnitsList:
    """By variant and location, in the order in which parcels take them."""
    await visible_order(resources, order_id, caller)
    async with resources.autocommit() as session:
        rows = await locations.units_of(session, order_id)
    return OrderUnitsList.model_validate({"items": rows})
