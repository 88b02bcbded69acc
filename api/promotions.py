"""Promotions and their codes, as staff makes them."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from decimal import Decimal
from operator import itemgetter
from typing import Annotated, Any, Literal, Self
from uuid import UUID

from litestar import Controller, Response, get, patch, post
from litestar.params import Parameter
from litestar.serialization import encode_json
from pydantic import AwareDatetime, Field, field_validator, model_validator
from sqlalchemy import RowMapping
from sqlalchemy.ext.asyncio import AsyncSession

from api.auth import Caller
from api.catalog_schemas import Brand, Text
from api.conditional import KEEP_NOTHING, IfMatch, answer, expected_versions
from api.errors import refuses
from api.idempotency import Asked, Once
from api.operators import DENIED
from api.paging import Cursor, Limit, cursor_behind, decode_cursor, encode_cursor, forged, id_in_cursor
from api.schemas import Amount, Input, Output, amount
from db import audit_log, promotions
from db.base import new_id
from db.promotions import NewCode
from domain.catalog_files import why_not_storable
from domain.errors import Refusal, unacceptable
from domain.permissions import Permission
from domain.promotions import (
    LONGEST_CODE,
    AmountOff,
    Benefit,
    BuyAndGet,
    Combination,
    Items,
    On,
    PercentOff,
    Promotion,
    normalised,
)
from runtime.resources import Resources

Percent = Annotated[
    str,
    Field(
        pattern=r"^(100(\.0{1,2})?|[0-9]{1,2}(\.[0-9]{1,2})?)$",
        examples=["12.5"],
        description="More than 0, at most 100, with two decimal places at most",
    ),
]
Units = Annotated[int, Field(ge=1, le=999, strict=True)]
Times = Annotated[int, Field(ge=1, le=2_000_000_000, strict=True)]
Named = Annotated[list[UUID], Field(max_length=1000)]
CodeText = Annotated[Text, Field(min_length=1, max_length=LONGEST_CODE, examples=["SPRING10"])]


def _above_zero(percent: str) -> str:
    if Decimal(percent) == 0:
        raise ValueError("is more than 0")
    return percent


def _one_for_each_currency(amounts: list[Amount]) -> list[Amount]:
    if any(each.as_money().minor <= 0 for each in amounts):
        raise ValueError("amounts are more than nothing")
    if len({each.currency for each in amounts}) < len(amounts):
        raise ValueError("name one amount for each currency")
    return amounts


class ItemsBody(Input):
    """Each kind that is named narrows; nothing named is everything."""

    products: Named = Field(default=[], description="One of these products, or one of `variants`")
    variants: Named = Field(default=[])
    categories: Named = Field(default=[], description="In one of these categories, or below")
    brands: Annotated[list[Brand], Field(max_length=200)] = Field(default=[])
    tags: Annotated[list[Text], Field(max_length=200)] = Field(default=[])

    def as_items(self) -> Items:
        return Items(
            products=frozenset(self.products),
            variants=frozenset(self.variants),
            categories=frozenset(self.categories),
            brands=frozenset(self.brands),
            tags=frozenset(self.tags),
        )


class PercentOffBody(Input):
    kind: Literal["percent_off"]
    percent: Percent
    on: Literal[On.LINE, On.ORDER, On.SHIPPING]

    _is_above_zero = field_validator("percent")(_above_zero)

    def as_benefit(self) -> Benefit:
        return PercentOff(percent=Decimal(self.percent), on=self.on)


class AmountOffBody(Input):
    kind: Literal["amount_off"]
    amounts: Annotated[list[Amount], Field(min_length=1, max_length=50)] = Field(
        description="One for each currency in which it is given"
    )
    on: On

    _are_possible = field_validator("amounts")(_one_for_each_currency)

    def as_benefit(self) -> Benefit:
        return AmountOff(amounts=minor_by_currency(self.amounts), on=self.on)


class BuyAndGetBody(Input):
    kind: Literal["buy_and_get"]
    buy: Units
    get: Units
    percent: Percent = "100"
    gets: ItemsBody | None = Field(default=None, description="What becomes cheaper; the same things when left out")
    at_most: Units | None = Field(default=None, description="How many times over in one order")

    _is_above_zero = field_validator("percent")(_above_zero)

    def as_benefit(self) -> Benefit:
        return BuyAndGet(
            buy=self.buy,
            get=self.get,
            percent=Decimal(self.percent),
            gets=self.gets.as_items() if self.gets else None,
            at_most=self.at_most,
        )


class FreeShippingBody(Input):
    kind: Literal["free_shipping"]

    def as_benefit(self) -> Benefit:
        return FREE_SHIPPING


FREE_SHIPPING = PercentOff(percent=Decimal(100), on=On.SHIPPING)

BenefitBody = Annotated[PercentOffBody | AmountOffBody | BuyAndGetBody | FreeShippingBody, Field(discriminator="kind")]


def minor_by_currency(amounts: list[Amount]) -> dict[str, int]:
    return {each.currency: each.as_money().minor for each in amounts}


class CodeBody(Input):
    code: CodeText
    usage_limit: Times | None = Field(default=None, description="How many orders can be placed with this code")

    def as_code(self) -> NewCode:
        return NewCode(code=normalised(self.code), usage_limit=self.usage_limit)


Name = Annotated[Text, Field(min_length=1, max_length=200, examples=["Ten percent in spring"])]
Minimums = Annotated[list[Amount], Field(max_length=50)]
Groups = Annotated[list[Annotated[Text, Field(min_length=1, max_length=100)]], Field(max_length=100)]
Priority = Annotated[int, Field(ge=-1000, le=1000, strict=True, description="The highest comes first")]


class NewPromotion(Input):
    name: Name
    benefit: BenefitBody
    items: ItemsBody = Field(default=ItemsBody(), description="What it is taken off, or what has to be bought for it")
    minimum_subtotal: Minimums = Field(
        default=[], description="What these items must cost at least; one for each currency in which it is given"
    )
    customer_groups: Groups = Field(default=[])
    first_order_only: bool = False
    starts_at: AwareDatetime | None = None
    ends_at: AwareDatetime | None = None
    is_active: bool = True
    needs_code: bool = Field(default=False, description="Only for who enters one of its codes")
    codes: Annotated[list[CodeBody], Field(max_length=1000)] = Field(default=[])
    priority: Priority = 0
    combination: Combination = Combination.WITH_OTHERS
    usage_limit: Times | None = Field(default=None, description="How many orders can be placed with it")
    usage_limit_per_customer: Times | None = None

    _are_possible = field_validator("minimum_subtotal")(_one_for_each_currency)

    @model_validator(mode="after")
    def has_codes_if_it_needs_them(self) -> Self:
        if self.codes and not self.needs_code:
            raise ValueError("a promotion with codes needs a code")
        return self


class PromotionChange(Input):
    name: Name | None = None
    benefit: BenefitBody | None = None
    items: ItemsBody | None = None
    minimum_subtotal: Minimums | None = None
    customer_groups: Groups | None = None
    first_order_only: bool | None = None
    starts_at: AwareDatetime | None = Field(default=None, description="`null`: at once")
    ends_at: AwareDatetime | None = Field(default=None, description="`null`: never")
    is_active: bool | None = None
    priority: Priority | None = None
    combination: Combination | None = None
    usage_limit: Times | None = None
    usage_limit_per_customer: Times | None = None


class NewCodes(Input):
    codes: Annotated[list[CodeBody], Field(min_length=1, max_length=1000)]


class PromotionOut(Output):
    id: UUID
    name: str
    benefit: dict[str, Any] = Field(description="As it was given")
    items: dict[str, Any]
    minimum_subtotal: list[Amount]
    customer_groups: list[str]
    first_order_only: bool
    starts_at: datetime | None
    ends_at: datetime | None
    is_active: bool
    needs_code: bool
    codes: int = Field(description="How many codes it has")
    priority: int
    combination: Combination
    usage_limit: int | None
    usage_limit_per_customer: int | None
    used: int = Field(description="Orders that were placed with it and not cancelled")
    version: int
    created_at: datetime
    updated_at: datetime


class PromotionPage(Output):
    items: list[PromotionOut]
    next_cursor: str | None


class CodeOut(Output):
    code: str
    usage_limit: int | None
    used: int
    created_at: datetime


class CodePage(Output):
    items: list[CodeOut]
    next_cursor: str | None


IsActive = Annotated[bool | None, Parameter(query="is_active", default=None)]


class PromotionController(Controller):
    path = "/v1/admin/promotions"
    tags = ("Promotions",)

    @get(permission=Permission.PROMOTIONS_READ, summary="List the promotions", responses=refuses(*DENIED))
    async def list_promotions(
        self, resources: Resources, limit: Limit, cursor: Cursor, is_active: IsActive
    ) -> PromotionPage:
        """All promotions, the newest first."""
        async with resources.autocommit() as session:
            rows = await promotions.page(session, limit=limit + 1, before=id_in_cursor(cursor), is_active=is_active)
        more = cursor_behind(rows, limit, itemgetter("id"))
        return PromotionPage(items=[promotion_out(row) for row in rows[:limit]], next_cursor=more)

    @post(
        permission=Permission.PROMOTIONS_WRITE,
        summary="Make a promotion",
        responses=refuses(*DENIED, "code_taken", "idempotency_key_reused"),
    )
    async def create(self, data: NewPromotion, caller: Caller, once: Once) -> Response[PromotionOut]:
        """In force from the next look into a cart on. Whether it has limits, and needs a code, is settled here."""
        promotion_id = new_id()
        made = Promotion(
            id=promotion_id,
            name=data.name,
            benefit=data.benefit.as_benefit(),
            items=data.items.as_items(),
            minimums=minor_by_currency(data.minimum_subtotal),
            groups=frozenset(data.customer_groups),
            is_for_first_order=data.first_order_only,
            starts_at=data.starts_at,
            ends_at=data.ends_at,
            needs_code=data.needs_code,
            priority=data.priority,
            combination=data.combination,
        )
        check_ends_after_it_begins(made)

        async def carry_out(session: AsyncSession) -> PromotionOut:
            await check_exist(session, made)
            await promotions.create(
                session,
                made,
                [each.as_code() for each in data.codes],
                is_active=data.is_active,
                usage_limit=data.usage_limit,
                usage_limit_per_customer=data.usage_limit_per_customer,
            )
            await audit_log.note(session, caller.name, "make_promotion", words=f"{promotion_id} {data.name}")
            return promotion_out(await promotions.one(session, promotion_id))

        asked = Asked("create_promotion", caller.id or promotion_id, data)
        return await once.write(asked, carry_out, status_code=201, is_of_people=False)

    @get(
        "/{promotion_id:uuid}",
        permission=Permission.PROMOTIONS_READ,
        summary="Look at a promotion",
        responses=refuses(*DENIED, "not_found"),
    )
    async def show(self, promotion_id: UUID, resources: Resources) -> Response[PromotionOut]:
        """With how many orders have used it."""
        async with resources.autocommit() as session:
            return await shown(session, promotion_id)

    @patch(
        "/{promotion_id:uuid}",
        permission=Permission.PROMOTIONS_WRITE,
        summary="Change a promotion, switch it off or end it",
        responses=refuses(*DENIED, "not_found", "precondition_failed"),
    )
    async def change(
        self, promotion_id: UUID, data: PromotionChange, caller: Caller, resources: Resources, if_match: IfMatch
    ) -> Response[PromotionOut]:
        """Changes what is given; orders keep what they were placed with. With `If-Match`, stale → 412.

        A limit can be changed, not below what was used already; a promotion that has none gets none later.
        """
        given = data.model_dump(include=data.model_fields_set)
        if not given:
            raise Refusal("validation_failed", "Say what is to change.", errors=[])
        async with resources.sessions.begin() as session:
            row = await promotions.locked(session, promotion_id)
            expected = expected_versions(if_match)
            if expected is not None and row.version not in expected:
                raise Refusal(
                    "precondition_failed",
                    "The promotion was changed since the version in If-Match; read it again.",
                    version=row.version,
                )
            now = replace(promotions.promotion_of(row), **rule_of(data))
            check_ends_after_it_begins(now)
            await check_exist(session, now)
            columns = {name: given[name] for name in COLUMNS if name in given}
            for name in LIMITS:
                if name in columns and (columns[name] is None) is not (getattr(row, name) is None):
                    raise unacceptable(f"/{name}", "is settled when a promotion is made; make another one")
            await promotions.change(session, now, row, **columns)
            await audit_log.note(
                session, caller.name, "change_promotion", words=f"{promotion_id} {', '.join(sorted(given))}"
            )
            return await shown(session, promotion_id)

    @get(
        "/{promotion_id:uuid}/codes",
        permission=Permission.PROMOTIONS_READ,
        summary="List a promotion's codes",
        responses=refuses(*DENIED, "not_found"),
    )
    async def list_codes(self, promotion_id: UUID, resources: Resources, limit: Limit, cursor: Cursor) -> CodePage:
        """In the order of the alphabet, with how many orders have used each."""
        match decode_cursor(cursor, length=1):
            case None:
                after = ""
            case [str(after)] if why_not_storable(after) is None:
                pass
            case _:
                raise forged()
        async with resources.autocommit() as session:
            await promotions.one(session, promotion_id)
            rows = await promotions.codes_of(session, promotion_id, limit=limit + 1, after=after)
        more = encode_cursor([rows[limit - 1]["code"]]) if len(rows) > limit else None
        return CodePage.model_validate({"items": rows[:limit], "next_cursor": more})

    @post(
        "/{promotion_id:uuid}/codes",
        permission=Permission.PROMOTIONS_WRITE,
        summary="Give a promotion more codes",
        responses=refuses(*DENIED, "not_found", "code_taken"),
    )
    async def add_codes(self, promotion_id: UUID, data: NewCodes, caller: Caller, resources: Resources) -> PromotionOut:
        """Codes that it has already stay as they are."""
        async with resources.sessions.begin() as session:
            row = await promotions.locked(session, promotion_id)
            if not row.needs_code:
                raise unacceptable("/codes", "are of no use: this promotion needs no code")
            await promotions.add_codes(session, promotion_id, [each.as_code() for each in data.codes])
            await audit_log.note(session, caller.name, "add_promotion_codes", words=f"{promotion_id} {len(data.codes)}")
            return promotion_out(await promotions.one(session, promotion_id))


COLUMNS = ("is_active", "usage_limit", "usage_limit_per_customer")
LIMITS = ("usage_limit", "usage_limit_per_customer")


def rule_of(data: PromotionChange) -> dict[str, Any]:
    """What of the rule changes, in its own words; what cannot be nothing stays as it is when it is ``null``."""
    given = {name: getattr(data, name) for name in data.model_fields_set}
    changed: dict[str, Any] = {name: given[name] for name in ("starts_at", "ends_at") if name in given}
    for name, becomes in RULE_OF.items():
        if given.get(name) is not None:
            field, written = becomes
            changed[field] = written(given[name])
    return changed


RULE_OF: Mapping[str, tuple[str, Any]] = {
    "name": ("name", str),
    "benefit": ("benefit", lambda body: body.as_benefit()),
    "items": ("items", lambda body: body.as_items()),
    "minimum_subtotal": ("minimums", minor_by_currency),
    "customer_groups": ("groups", frozenset),
    "first_order_only": ("is_for_first_order", bool),
    "priority": ("priority", int),
    "combination": ("combination", Combination),
}


def check_ends_after_it_begins(promotion: Promotion) -> None:
    if promotion.starts_at and promotion.ends_at and promotion.ends_at <= promotion.starts_at:
        raise unacceptable("/ends_at", "must be after starts_at")


async def check_exist(session: AsyncSession, promotion: Promotion) -> None:
    """A typing error in an id would make a promotion that never applies."""
    named = {"/items": promotion.items}
    if isinstance(promotion.benefit, BuyAndGet) and promotion.benefit.gets is not None:
        named["/benefit/gets"] = promotion.benefit.gets
    for pointer, items in named.items():
        for kind, unknown in (await promotions.unknown(session, items)).items():
            raise unacceptable(f"{pointer}/{kind}", f"{unknown} is none of ours")
    if groups := await promotions.unknown_groups(session, promotion.groups):
        raise unacceptable("/customer_groups", f"there is no group {groups[0]}")


async def shown(session: AsyncSession, promotion_id: UUID) -> Response[PromotionOut]:
    row = await promotions.one(session, promotion_id)
    body = encode_json(promotion_out(row).model_dump(mode="json"))
    return answer(body, version=row["version"], cache=KEEP_NOTHING)


def promotion_out(row: RowMapping) -> PromotionOut:
    promotion = promotions.promotion_in(row)
    return PromotionOut.model_validate(
        {
            **row,
            "benefit": benefit_json(promotion.benefit),
            "items": items_json(promotion.items),
            "minimum_subtotal": amounts_json(promotion.minimums),
            "customer_groups": sorted(promotion.groups),
            "first_order_only": promotion.is_for_first_order,
        }
    )


def benefit_json(benefit: Benefit) -> dict[str, Any]:
    match benefit:
        case PercentOff() if benefit == FREE_SHIPPING:
            return {"kind": "free_shipping"}
        case PercentOff():
            return {"kind": "percent_off", "percent": str(benefit.percent), "on": benefit.on}
        case AmountOff():
            return {"kind": "amount_off", "amounts": amounts_json(benefit.amounts), "on": benefit.on}
        case BuyAndGet():
            return {
                "kind": "buy_and_get",
                "buy": benefit.buy,
                "get": benefit.get,
                "percent": str(benefit.percent),
                "gets": items_json(benefit.gets) if benefit.gets else None,
                "at_most": benefit.at_most,
            }


def items_json(items: Items) -> dict[str, Any]:
    return {kind: sorted(getattr(items, kind)) for kind in ("products", "variants", "categories", "brands", "tags")}


def amounts_json(amounts: Mapping[str, int]) -> list[dict[str, Any]]:
    return [amount(minor, currency) for currency, minor in sorted(amounts.items())]
