"""Price lists, and what a shopper pays by them."""

from typing import Annotated, Any, Self
from uuid import UUID

from litestar import Controller, Response, get, patch, post, put
from litestar.params import Parameter
from litestar.serialization import encode_json
from pydantic import AwareDatetime, Field, field_validator, model_validator
from sqlalchemy.ext.asyncio import AsyncSession

from api.auth import Caller
from api.catalog import no_such_product
from api.catalog_queries import Currency, checked_currency
from api.catalog_schemas import SellingPrice, Sku, Text
from api.conditional import KEEP_NOTHING, IfMatch, answer, expected_versions
from api.customer_groups import GroupCode
from api.errors import refuses
from api.operators import DENIED
from api.paging import (
    Cursor,
    Limit,
    code_in_cursor,
    cursor_behind,
    decode_cursor,
    encode_cursor,
    forged,
    uuid_in_cursor,
)
from api.schemas import Amount, CurrencyCode, Input, Output, amount
from db import audit_log, price_lists
from db.price_lists import Entry
from domain.catalog_files import why_not_storable
from domain.money import Money
from domain.permissions import Permission
from domain.price_lists import MOST_ENTRIES_AT_ONCE, Step, steps
from runtime.resources import Resources

LARGEST_MIN_QUANTITY = 1_000_000

ListCode = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,49}$", examples=["wholesale-2026"])]
Code = Annotated[str, Parameter(pattern=r"^[a-z0-9][a-z0-9_-]{0,49}$", description="Of the price list")]
Name = Annotated[Text, Field(min_length=1, max_length=100, examples=["Wholesale 2026"])]
Priority = Annotated[int, Field(ge=-1000, le=1000, strict=True, description="The highest decides")]
Groups = Annotated[list[GroupCode], Field(max_length=100, description="Whom it is for; none means everybody")]
MinQuantity = Annotated[int, Field(ge=1, le=LARGEST_MIN_QUANTITY, strict=True, description="From so many units on")]


class NewPriceList(Input):
    code: ListCode
    name: Name
    priority: Priority = 0
    override: bool = Field(default=False, description="`true`: its prices hold even where the base price is lower")
    groups: Groups = Field(default_factory=list)
    valid_from: AwareDatetime | None = None
    valid_until: AwareDatetime | None = None
    is_active: bool = True


class PriceListChange(Input):
    """Fields that are absent stay as they are."""

    name: Name | None = None
    priority: Priority | None = None
    override: bool | None = None
    groups: Groups | None = None
    valid_from: AwareDatetime | None = None
    valid_until: AwareDatetime | None = None
    is_active: bool | None = None

    @field_validator("name", "priority", "override", "groups", "is_active")
    @classmethod
    def is_given(cls, value: Any) -> Any:
        if value is None:
            raise ValueError("cannot be null")
        return value


class PriceListOut(Output):
    code: str
    name: str
    priority: int
    override: bool
    groups: list[str]
    valid_from: AwareDatetime | None
    valid_until: AwareDatetime | None
    is_active: bool


class PriceListPage(Output):
    items: list[PriceListOut]
    next_cursor: str | None


class OfVariant(Input):
    """A variant by its id or its SKU."""

    variant_id: UUID | None = None
    sku: Sku | None = None
    min_quantity: MinQuantity = 1

    @model_validator(mode="after")
    def names_the_variant_once(self) -> Self:
        if (self.variant_id is None) == (self.sku is None):
            raise ValueError("give variant_id or sku")
        return self


class EntryIn(OfVariant):
    price: SellingPrice


class RemovedEntry(OfVariant):
    currency: CurrencyCode


class EntriesIn(Input):
    """Entries that are not named stay as they are."""

    items: Annotated[list[EntryIn], Field(max_length=MOST_ENTRIES_AT_ONCE)] = Field(default_factory=list)
    removed: Annotated[list[RemovedEntry], Field(max_length=MOST_ENTRIES_AT_ONCE)] = Field(default_factory=list)


class EntriesWritten(Output):
    created: int
    updated: int
    unchanged: int
    removed: int


class EntryOut(Output):
    variant_id: UUID
    sku: str
    min_quantity: int
    price: Amount


class EntryPage(Output):
    items: list[EntryOut]
    next_cursor: str | None


class PriceListController(Controller):
    path = "/v1/admin/price-lists"
    tags = ("Catalogue",)

    @get(permission=Permission.PRICES_READ, summary="List price lists", responses=refuses(*DENIED))
    async def list_lists(self, resources: Resources, limit: Limit, cursor: Cursor) -> PriceListPage:
        """By their codes."""
        async with resources.autocommit() as session:
            rows = await price_lists.page(session, limit=limit + 1, after=code_in_cursor(cursor))
        more = cursor_behind(rows, limit, lambda row: row["code"])
        return PriceListPage.model_validate({"items": [list_json(row) for row in rows[:limit]], "next_cursor": more})

    @post(
        permission=Permission.PRICES_WRITE,
        summary="Make a price list",
        responses=refuses(*DENIED, "price_list_exists"),
    )
    async def create(self, data: NewPriceList, caller: Caller, resources: Resources) -> Response[PriceListOut]:
        """It has no entries yet, so nothing costs anything else until some are written."""
        async with resources.sessions.begin() as session:
            await price_lists.create(session, data.code, fields_of(data), sorted(set(data.groups)))
            await audit_log.note(session, caller.name, "make_price_list", words=data.code)
            return await shown(session, data.code, status_code=201)

    @get(
        "/{code:str}",
        permission=Permission.PRICES_READ,
        summary="Look at a price list",
        responses=refuses(*DENIED, "not_found"),
    )
    async def show(self, code: Code, resources: Resources) -> Response[PriceListOut]:
        """Its `ETag` is what a change can be based on."""
        async with resources.autocommit() as session:
            return await shown(session, code)

    @patch(
        "/{code:str}",
        permission=Permission.PRICES_WRITE,
        summary="Change a price list",
        responses=refuses(*DENIED, "not_found", "precondition_failed"),
    )
    async def change(
        self, code: Code, data: PriceListChange, caller: Caller, resources: Resources, if_match: IfMatch
    ) -> Response[PriceListOut]:
        """Changes what is given, for all carts at once; orders keep what they cost. With `If-Match`, stale → 412."""
        groups = None if data.groups is None else sorted(set(data.groups))
        async with resources.sessions.begin() as session:
            expected = expected_versions(if_match)
            await price_lists.change(session, code, fields_of(data), groups, expected=expected)
            await audit_log.note(
                session, caller.name, "change_price_list", words=f"{code}: {', '.join(sorted(data.model_fields_set))}"
            )
            return await shown(session, code)

    @get(
        "/{code:str}/entries",
        permission=Permission.PRICES_READ,
        summary="Read the prices of a list",
        responses=refuses(*DENIED, "not_found"),
    )
    async def list_entries(self, code: Code, resources: Resources, limit: Limit, cursor: Cursor) -> EntryPage:
        """By variant, currency and quantity."""
        async with resources.autocommit() as session:
            rows = await price_lists.entries_page(session, code, limit=limit + 1, after=entry_in_cursor(cursor))
        last = rows[limit - 1] if len(rows) > limit else None
        more = encode_cursor([str(last["variant_id"]), last["currency"], last["min_quantity"]]) if last else None
        items = [{**row, "price": amount(row["amount"], row["currency"])} for row in rows[:limit]]
        return EntryPage.model_validate({"items": items, "next_cursor": more})

    @put(
        "/{code:str}/entries",
        permission=Permission.PRICES_WRITE,
        summary="Write prices of a list",
        responses=refuses(*DENIED, "not_found", "precondition_failed"),
    )
    async def write_entries(
        self, code: Code, data: EntriesIn, caller: Caller, resources: Resources, if_match: IfMatch
    ) -> EntriesWritten:
        """Up to 10,000 at once, all of them or none. Each needs a base price of its variant in the currency."""
        async with resources.sessions.begin() as session:
            expected = expected_versions(if_match)
            written = await price_lists.write_entries(session, code, entries_of(data), expected=expected)
            words = f"{code}: {written.created + written.updated} set, {written.removed} removed"
            await audit_log.note(session, caller.name, "write_prices", words=words)
        return EntriesWritten.model_validate(written, from_attributes=True)


def fields_of(data: NewPriceList | PriceListChange) -> dict[str, Any]:
    fields = data.model_dump(exclude={"code", "groups"}, exclude_unset=isinstance(data, PriceListChange))
    if "override" in fields:
        fields["overrides"] = fields.pop("override")
    return fields


def entries_of(data: EntriesIn) -> list[Entry]:
    def entry(pointer: str, of: OfVariant, currency: str, minor: int | None) -> Entry:
        return Entry(
            pointer=pointer,
            variant_id=of.variant_id,
            sku=of.sku,
            currency=currency,
            min_quantity=of.min_quantity,
            amount=minor,
        )

    return [
        *(
            entry(f"/items/{place}", one, one.price.currency, one.price.as_money().minor)
            for place, one in enumerate(data.items)
        ),
        *(entry(f"/removed/{place}", one, one.currency, None) for place, one in enumerate(data.removed)),
    ]


def entry_in_cursor(cursor: str | None) -> tuple[UUID, str, int] | None:
    match decode_cursor(cursor, length=3):
        case None:
            return None
        case [variant_id, str(currency), int(quantity)] if not why_not_storable(currency) and 0 <= quantity < 2**31:
            return uuid_in_cursor(variant_id), currency, quantity
    raise forged()


async def shown(session: AsyncSession, code: str, *, status_code: int = 200) -> Response[PriceListOut]:
    row = await price_lists.by_code(session, code)
    body = encode_json(list_json(row))
    return answer(body, version=row["version"], status_code=status_code, cache=KEEP_NOTHING)


def list_json(row: Any) -> dict[str, Any]:
    return {
        "code": row["code"],
        "name": row["name"],
        "priority": row["priority"],
        "override": row["overrides"],
        "groups": row["groups"],
        "valid_from": row["valid_from"],
        "valid_until": row["valid_until"],
        "is_active": row["is_active"],
    }


class PriceStep(Output):
    min_quantity: int
    unit_price: Amount
    price_list: str | None = Field(description="The list that decided; `null` where the base price holds")


class VariantPrices(Output):
    variant_id: UUID
    sku: str
    base_price: Amount | None = Field(description="`null` when it is not sold in the currency")
    steps: list[PriceStep] = Field(description="What a unit costs, from so many in one line on")


class ProductPrices(Output):
    items: list[VariantPrices]


@get(
    "/v1/products/{product_id:uuid}/prices",
    permission=Permission.SHOP,
    summary="See what I pay for a product",
    tags=["Catalogue"],
    responses=refuses("unauthenticated", "not_found"),
)
async def my_prices(
    product_id: UUID, caller: Caller, resources: Resources, currency: Currency
) -> Response[ProductPrices]:
    """What its variants cost the caller now, by the price lists that apply to them; a guest is in no group.

    Nobody keeps this answer, since it is about its caller alone; all other answers of the catalogue show base prices.
    """
    wanted = checked_currency(currency, resources)
    async with resources.autocommit() as session:
        rows = await price_lists.prices_of_product(session, product_id, currency=wanted, user_id=caller.user_id)
    if not rows:
        raise no_such_product()
    found = ProductPrices.model_validate({"items": [_variant_prices(row, wanted) for row in rows]})
    return Response(found, headers={"Cache-Control": KEEP_NOTHING})


def _variant_prices(row: Any, currency: str) -> dict[str, Any]:
    shown = {"variant_id": row["variant_id"], "sku": row["sku"], "base_price": None, "steps": []}
    if row["amount"] is None:
        return shown
    base, lists = Money(row["amount"], currency), price_lists.list_prices(row["lists"], currency)
    found = steps(base, lists, groups=frozenset(row["groups"]), at=row["at"])
    return {**shown, "base_price": amount(base.minor, currency), "steps": [_step(step, currency) for step in found]}


def _step(step: Step, currency: str) -> dict[str, Any]:
    return {
        "min_quantity": step.min_quantity,
        "unit_price": amount(step.unit.price.minor, currency),
        "price_list": step.unit.price_list,
    }
