"""What staff does with the stock as a whole: see what runs out, and say when that is."""

from operator import itemgetter
from typing import Annotated
from uuid import UUID

from litestar import get, put
from litestar.params import Parameter
from pydantic import Field

from api.errors import refuses
from api.operators import DENIED
from api.paging import Cursor, Limit, cursor_behind, id_in_cursor
from api.schemas import Input, Output
from db import inventory, inventory_views
from domain.catalog import LARGEST_STOCK
from domain.inventory import StockState
from domain.permissions import Permission
from runtime.resources import Resources


class StockAt(Output):
    location: str
    on_hand: int
    reserved: int
    available: int


class VariantStock(Output):
    variant_id: UUID
    product_id: UUID
    sku: str
    name: str
    on_hand: int
    reserved: int
    available: int
    low_stock: int = Field(description="So many units, or fewer, are `low`")
    has_own_line: bool = Field(description="`false`: `low_stock` is the shop's own line")
    state: StockState
    locations: list[StockAt]


class StockPage(Output):
    items: list[VariantStock]
    next_cursor: str | None


class LowStock(Input):
    quantity: Annotated[int, Field(ge=0, le=LARGEST_STOCK, strict=True)] | None = Field(
        description="So many units, or fewer, are `low`; `null`: as the shop has it", examples=[3]
    )


@get(
    "/v1/admin/stock",
    permission=Permission.STOCK_READ,
    summary="See what runs out",
    tags=["Stock"],
    responses=refuses(*DENIED),
)
async def list_stock(
    resources: Resources,
    limit: Limit,
    cursor: Cursor,
    wanted: Annotated[
        StockState | None, Parameter(query="state", default=None, description="Only what can be sold so much of")
    ],
) -> StockPage:
    """How much there is of each variant, the newest first; what is archived is left out."""
    async with resources.autocommit() as session:
        rows = await inventory_views.levels(
            session,
            low_stock=resources.settings.shop.low_stock,
            limit=limit + 1,
            before=id_in_cursor(cursor),
            state=wanted,
        )
    more = cursor_behind(rows, limit, itemgetter("variant_id"))
    return StockPage.model_validate({"items": rows[:limit], "next_cursor": more})


@put(
    "/v1/variants/{variant_id:uuid}/low-stock",
    permission=Permission.STOCK_WRITE,
    summary="Say how few units of a variant are few",
    tags=["Stock"],
    responses=refuses(*DENIED, "not_found"),
)
async def set_low_stock(variant_id: UUID, data: LowStock, resources: Resources) -> VariantStock:
    """The variant's own line instead of the shop's. Events tell when units cross it, not when it moves itself."""
    async with resources.sessions.begin() as session:
        await inventory.set_low_stock(session, variant_id, data.quantity)
        row = await inventory_views.level(session, variant_id, low_stock=resources.settings.shop.low_stock)
    return VariantStock.model_validate(row)
