"""Where which taxes hold, as staff sees to it, and who is spared them."""

from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from operator import attrgetter
from typing import Annotated, Any
from uuid import UUID

from litestar import Controller, Response, delete, get, patch, post, put
from litestar.params import Parameter
from litestar.serialization import encode_json
from pydantic import AfterValidator, Field

from api.auth import Caller
from api.catalog_schemas import TaxClass
from api.conditional import KEEP_NOTHING, IfMatch, answer, expected_versions
from api.errors import refuses
from api.operators import DENIED
from api.paging import Cursor, Limit, cursor_behind, id_in_cursor
from api.schemas import Input, Output
from db import taxes
from db.taxes import TaxExemption, TaxRate, TaxRegion
from domain.errors import Refusal
from domain.permissions import Permission
from domain.taxes import PERCENT_DIGITS, plain
from runtime.resources import Resources

CHANGES = (*DENIED, "not_found", "precondition_failed")


def _code(text: str) -> str:
    if not (code := plain(text)).isascii() or (code and not code.isalnum()):
        raise ValueError("may have letters, digits, spaces and hyphens")
    return code


def _percent(text: str) -> str:
    percent = Decimal(text)
    if percent > 100:
        raise ValueError("is at most 100")
    return text


Country = Annotated[str, Field(pattern=r"^[A-Z]{2}$", description="ISO 3166-1 alpha-2", examples=["US"])]
RegionCode = Annotated[
    str,
    Field(max_length=50, examples=["CA"], description="As addresses write it; empty: all of the country"),
    AfterValidator(_code),
]
PostalPrefix = Annotated[
    str,
    Field(max_length=20, examples=["941"], description="How postal codes begin there; empty: all of them"),
    AfterValidator(_code),
]
IsInclusive = Annotated[bool, Field(strict=True, description="Prices contain their tax there")]
Percent = Annotated[
    str,
    Field(pattern=rf"^[0-9]{{1,3}}(\.[0-9]{{1,{PERCENT_DIGITS}}})?$", examples=["8.875"]),
    AfterValidator(_percent),
]
TaxName = Annotated[str, Field(min_length=1, max_length=100, examples=["New York City sales tax"])]


class NewTaxRegion(Input):
    country: Country
    region: RegionCode = ""
    postal_prefix: PostalPrefix = ""
    is_inclusive: IsInclusive


class TaxRegionChange(Input):
    country: Country | None = None
    region: RegionCode | None = None
    postal_prefix: PostalPrefix | None = None
    is_inclusive: IsInclusive | None = None


class TaxRegionOut(Output):
    id: UUID
    country: str
    region: str
    postal_prefix: str
    is_inclusive: bool
    version: int
    created_at: datetime
    updated_at: datetime


class TaxRegionPage(Output):
    items: list[TaxRegionOut]
    next_cursor: str | None


class NewTaxRate(Input):
    region_id: UUID
    name: TaxName
    percent: Percent
    tax_class: TaxClass = "standard"


class TaxRateChange(Input):
    name: TaxName | None = None
    percent: Percent | None = None
    tax_class: TaxClass | None = None


class TaxRateOut(Output):
    id: UUID
    region_id: UUID
    name: str
    percent: str = Field(examples=["8.875"])
    tax_class: str
    version: int
    created_at: datetime
    updated_at: datetime


class TaxRatePage(Output):
    items: list[TaxRateOut]
    next_cursor: str | None


class Exemption(Input):
    certificate: Annotated[str, Field(min_length=1, max_length=100, description="Its number, or the VAT id")]


class ExemptionOut(Output):
    certificate: str
    granted_by: str
    granted_at: datetime


class TaxRegionController(Controller):
    path = "/v1/admin/tax-regions"
    tags = ("Taxes",)

    @get(permission=Permission.TAXES_READ, summary="See where taxes hold", responses=refuses(*DENIED))
    async def list_regions(self, resources: Resources, limit: Limit, cursor: Cursor) -> TaxRegionPage:
        """All regions, the oldest first. For an address the most specific one holds, and no other."""
        async with resources.autocommit() as session:
            rows = await taxes.regions(session, limit=limit + 1, after=id_in_cursor(cursor))
        more = cursor_behind(rows, limit, attrgetter("id"))
        return TaxRegionPage.model_validate({"items": [region_json(row) for row in rows[:limit]], "next_cursor": more})

    @post(
        permission=Permission.TAXES_WRITE, summary="Add a tax region", responses=refuses(*DENIED, "tax_region_exists")
    )
    async def add(self, data: NewTaxRegion, caller: Caller, resources: Resources) -> Response[TaxRegionOut]:
        """A country, or a part of it by its region, the beginning of its postal codes, or both."""
        async with resources.sessions.begin() as session:
            made = await taxes.add_region(session, data.model_dump(), actor=caller.name)
        return tagged(region_json(made), status_code=201)

    @patch(
        "/{region_id:uuid}",
        permission=Permission.TAXES_WRITE,
        summary="Change a tax region",
        responses=refuses(*CHANGES, "tax_region_exists"),
    )
    async def change(
        self, region_id: UUID, data: TaxRegionChange, caller: Caller, resources: Resources, if_match: IfMatch
    ) -> Response[TaxRegionOut]:
        """Changes what is given. Orders that were placed stay as they are."""
        async with resources.sessions.begin() as session:
            changed = await taxes.change_region(
                session, region_id, given(data), expected=expected_versions(if_match), actor=caller.name
            )
        return tagged(region_json(changed))

    @delete(
        "/{region_id:uuid}",
        permission=Permission.TAXES_WRITE,
        summary="Remove a tax region",
        responses=refuses(*CHANGES),
    )
    async def remove(self, region_id: UUID, caller: Caller, resources: Resources, if_match: IfMatch) -> None:
        """With its rates. What the region covered is covered by the next wider one, or not sold to any more."""
        async with resources.sessions.begin() as session:
            await taxes.remove_region(session, region_id, expected=expected_versions(if_match), actor=caller.name)


class TaxRateController(Controller):
    path = "/v1/admin/tax-rates"
    tags = ("Taxes",)

    @get(permission=Permission.TAXES_READ, summary="See the tax rates", responses=refuses(*DENIED))
    async def list_rates(
        self,
        resources: Resources,
        limit: Limit,
        cursor: Cursor,
        region: Annotated[UUID | None, Parameter(description="Only those of this region")] = None,
    ) -> TaxRatePage:
        """All rates, the oldest first. Rates of one region and class add up."""
        async with resources.autocommit() as session:
            rows = await taxes.rates(session, region_id=region, limit=limit + 1, after=id_in_cursor(cursor))
        more = cursor_behind(rows, limit, attrgetter("id"))
        return TaxRatePage.model_validate({"items": [rate_json(row) for row in rows[:limit]], "next_cursor": more})

    @post(permission=Permission.TAXES_WRITE, summary="Add a tax rate", responses=refuses(*DENIED, "tax_rate_exists"))
    async def add(self, data: NewTaxRate, caller: Caller, resources: Resources) -> Response[TaxRateOut]:
        """In force for whatever is priced from now on. A class that is not taxed in a region has a rate of 0 there."""
        async with resources.sessions.begin() as session:
            fields = {**data.model_dump(), "percent": Decimal(data.percent)}
            made = await taxes.add_rate(session, fields, actor=caller.name)
        return tagged(rate_json(made), status_code=201)

    @patch(
        "/{rate_id:uuid}",
        permission=Permission.TAXES_WRITE,
        summary="Change a tax rate",
        responses=refuses(*CHANGES, "tax_rate_exists"),
    )
    async def change(
        self, rate_id: UUID, data: TaxRateChange, caller: Caller, resources: Resources, if_match: IfMatch
    ) -> Response[TaxRateOut]:
        """Changes what is given. Orders that were placed keep the rate that they were placed with."""
        fields = given(data)
        if data.percent is not None:
            fields["percent"] = Decimal(data.percent)
        async with resources.sessions.begin() as session:
            changed = await taxes.change_rate(
                session, rate_id, fields, expected=expected_versions(if_match), actor=caller.name
            )
        return tagged(rate_json(changed))

    @delete(
        "/{rate_id:uuid}",
        permission=Permission.TAXES_WRITE,
        summary="Remove a tax rate",
        responses=refuses(*CHANGES),
    )
    async def remove(self, rate_id: UUID, caller: Caller, resources: Resources, if_match: IfMatch) -> None:
        """Where a class has no rate left, that of `standard` holds; where there is none, nothing is sold."""
        async with resources.sessions.begin() as session:
            await taxes.remove_rate(session, rate_id, expected=expected_versions(if_match), actor=caller.name)


class TaxExemptionController(Controller):
    path = "/v1/admin/users/{user_id:uuid}/tax-exemption"
    tags = ("Taxes",)

    @get(
        permission=Permission.TAXES_EXEMPT,
        summary="See whether somebody is exempt from taxes",
        responses=refuses(*DENIED, "not_found"),
    )
    async def show(self, user_id: UUID, resources: Resources) -> ExemptionOut:
        """404 for whoever pays them."""
        async with resources.autocommit() as session:
            found = await taxes.exemption_of(session, user_id)
        if found is None:
            raise Refusal("not_found", "This account is not exempt.")
        return exemption_out(found)

    @put(
        permission=Permission.TAXES_EXEMPT,
        summary="Exempt somebody from taxes",
        responses=refuses(*DENIED, "not_found"),
    )
    async def grant(self, user_id: UUID, data: Exemption, caller: Caller, resources: Resources) -> ExemptionOut:
        """From now on the account's carts and orders have no tax, nor what prices contain of it."""
        async with resources.sessions.begin() as session:
            return exemption_out(await taxes.exempt(session, user_id, data.certificate, actor=caller.name))

    @delete(
        permission=Permission.TAXES_EXEMPT,
        summary="Tax somebody again",
        responses=refuses(*DENIED, "not_found"),
    )
    async def end(self, user_id: UUID, caller: Caller, resources: Resources) -> None:
        """Orders that were placed stay as they are."""
        async with resources.sessions.begin() as session:
            await taxes.tax_again(session, user_id, actor=caller.name)


def given(data: Input) -> dict[str, Any]:
    """What is to change; a field cannot be emptied by ``null``."""
    fields = {name: value for name, value in data.model_dump(exclude_unset=True).items() if value is not None}
    if not fields:
        raise Refusal("validation_failed", "Say what is to change.", errors=[])
    return fields


def tagged(told: Mapping[str, Any], *, status_code: int = 200) -> Response[Any]:
    """With the ``ETag`` that the next change may be based on."""
    return answer(encode_json(told), version=told["version"], status_code=status_code, cache=KEEP_NOTHING)


def region_json(region: TaxRegion) -> dict[str, Any]:
    return {name: getattr(region, name) for name in TaxRegionOut.model_fields}


def rate_json(rate: TaxRate) -> dict[str, Any]:
    return {
        **{name: getattr(rate, name) for name in TaxRateOut.model_fields},
        "percent": f"{rate.percent.normalize():f}",
    }


def exemption_out(exemption: TaxExemption) -> ExemptionOut:
    return ExemptionOut(
        certificate=exemption.certificate, granted_by=exemption.granted_by, granted_at=exemption.granted_at
    )
