"""Where the shop sends to, by which methods, and what they cost there: as staff see it, and change it."""

from typing import Annotated, Any, Self

from litestar import Controller, Response, delete, get, put
from litestar.params import Parameter
from litestar.serialization import encode_json
from pydantic import Field, model_validator

from api.auth import Caller
from api.catalog_schemas import LocationCode, Name, Position, SellingPrice, Text
from api.conditional import KEEP_NOTHING, IfMatch, answer, expected_versions
from api.errors import refuses
from api.operators import DENIED
from api.schemas import CurrencyCode, Input, Output, amount, check_currency
from db import audit_log, shipping_rates
from db.shipping_rates import Area, Offer, Prices
from domain.catalog import HEAVIEST
from domain.permissions import Permission
from domain.shipping_rates import ANYWHERE, Band, PricedBy
from runtime.resources import Resources

MOST_AREAS = 1000
MOST_BANDS = 100
MOST_DAYS = 365
HEAVIEST_CART = HEAVIEST * 1000

Code = Annotated[str, Parameter(pattern=r"^[a-z0-9][a-z0-9_-]{0,49}$", description="Such as `express`")]
Days = Annotated[int, Field(ge=0, le=MOST_DAYS, strict=True)]
Country = Annotated[
    str,
    Field(
        pattern=r"^([A-Z]{2}|\*)$",
        description="ISO 3166-1 alpha-2, or `*` for all countries that no other zone has",
        examples=["DE"],
    ),
]


class AreaIn(Input):
    country: Country
    region: Annotated[Text, Field(min_length=1, max_length=100)] | None = Field(
        default=None, description="Only this region of it, as addresses name it"
    )
    postal_prefix: Annotated[Text, Field(min_length=1, max_length=20)] | None = Field(
        default=None, description="Only places whose postal codes begin so"
    )

    @model_validator(mode="after")
    def has_parts_only_of_a_country(self) -> Self:
        if self.country == ANYWHERE and (self.region or self.postal_prefix):
            raise ValueError("regions and postal codes are those of a country")
        return self


class ZoneIn(Input):
    name: Name
    areas: Annotated[list[AreaIn], Field(min_length=1, max_length=MOST_AREAS)]


class ZoneOut(Output):
    code: str
    name: str
    areas: list[AreaIn]
    version: int


class ZoneList(Output):
    items: list[ZoneOut]


class BandIn(Input):
    from_grams: Annotated[int, Field(ge=0, le=HEAVIEST_CART, strict=True)] = Field(
        default=0, description="For methods that are priced by weight"
    )
    from_goods: SellingPrice | None = Field(default=None, description="For methods that are priced by goods")
    price: SellingPrice | None = Field(description="`null`: nothing is carried from here on")


class PricesIn(Input):
    currency: CurrencyCode
    bands: Annotated[list[BandIn], Field(min_length=1, max_length=MOST_BANDS)] = Field(
        description="Each ends where the next one starts; one band is a flat price"
    )
    free_from: SellingPrice | None = Field(
        default=None, description="From this price of the goods on, after discounts, shipping costs nothing"
    )

    @model_validator(mode="after")
    def is_in_one_currency(self) -> Self:
        amounts = [self.free_from, *(band.price for band in self.bands), *(band.from_goods for band in self.bands)]
        if any(price is not None and price.currency != self.currency for price in amounts):
            raise ValueError(f"all amounts are in {self.currency}")
        if all(band.price is None for band in self.bands):
            raise ValueError("one of the bands has a price")
        return self

    def in_bands(self, priced_by: PricedBy) -> list[Band]:
        return sorted((_band(band, priced_by) for band in self.bands), key=lambda band: band.starts_at)


class OfferIn(Input):
    zone: LocationCode
    estimated_days_min: Days
    estimated_days: Days = Field(description="At most")
    priced_by: PricedBy = PricedBy.WEIGHT
    prices: Annotated[list[PricesIn], Field(min_length=1, max_length=200)]

    @model_validator(mode="after")
    def can_be_read_in_one_way(self) -> Self:
        if self.estimated_days_min > self.estimated_days:
            raise ValueError("estimated_days_min is not more than estimated_days")
        currencies = [prices.currency for prices in self.prices]
        if len(set(currencies)) < len(currencies):
            raise ValueError("two prices are in the same currency")
        for prices in self.prices:
            _check_bands(prices, self.priced_by)
        return self


class MethodIn(Input):
    name: Name
    position: Position = 0
    is_active: bool = True
    zones: Annotated[list[OfferIn], Field(max_length=200)] = Field(description="Where it goes to, and for how much")

    @model_validator(mode="after")
    def names_each_zone_once(self) -> Self:
        zones = [offer.zone for offer in self.zones]
        if len(set(zones)) < len(zones):
            raise ValueError("a zone is named twice")
        return self


class MethodOut(Output):
    code: str
    name: str
    position: int
    is_active: bool
    zones: list[OfferIn]
    version: int


class MethodList(Output):
    items: list[MethodOut]


CHANGES = refuses(*DENIED, "precondition_failed")
REMOVALS = refuses(*DENIED, "not_found", "precondition_failed", "shipping_zone_in_use")


class ShippingZoneController(Controller):
    path = "/v1/admin/shipping-zones"
    tags = ("Shipping",)

    @get(permission=Permission.SHIPPING_READ, summary="See where the shop sends to", responses=refuses(*DENIED))
    async def list_zones(self, resources: Resources) -> ZoneList:
        """All zones. An address is in the one that names it most closely: by postal code, region, country, or `*`."""
        async with resources.autocommit() as session:
            found = await shipping_rates.zones(session)
        return ZoneList.model_validate({"items": found})

    @put(
        "/{code:str}",
        permission=Permission.SHIPPING_WRITE,
        summary="Define a shipping zone",
        responses=CHANGES,
    )
    async def define(
        self, code: Code, data: ZoneIn, caller: Caller, resources: Resources, if_match: IfMatch
    ) -> Response[ZoneOut]:
        """Makes it, or replaces what it was. A place is in one zone: 422. With `If-Match`, stale → 412."""
        areas = [Area(**area.model_dump()) for area in data.areas]
        async with resources.sessions.begin() as session:
            await audit_log.note(session, caller.name, "shipping_zone.define", words=code)
            zone = await shipping_rates.put_zone(session, code, data.name, areas, expected=expected_versions(if_match))
        return _tagged(zone)

    @delete("/{code:str}", permission=Permission.SHIPPING_WRITE, summary="Remove a shipping zone", responses=REMOVALS)
    async def remove(self, code: Code, caller: Caller, resources: Resources, if_match: IfMatch) -> None:
        """Only when no method goes there any more."""
        async with resources.sessions.begin() as session:
            await audit_log.note(session, caller.name, "shipping_zone.remove", words=code)
            await shipping_rates.remove_zone(session, code, expected=expected_versions(if_match))


class ShippingMethodController(Controller):
    path = "/v1/admin/shipping-methods"
    tags = ("Shipping",)

    @get(permission=Permission.SHIPPING_READ, summary="See the shipping methods", responses=refuses(*DENIED))
    async def list_methods(self, resources: Resources) -> MethodList:
        """All methods, with their prices by zone and currency, in the order in which customers see them."""
        async with resources.autocommit() as session:
            found = await shipping_rates.methods(session)
        return MethodList.model_validate({"items": [_method(row) for row in found]})

    @put(
        "/{code:str}",
        permission=Permission.SHIPPING_WRITE,
        summary="Define a shipping method",
        responses=CHANGES,
    )
    async def define(
        self, code: Code, data: MethodIn, caller: Caller, resources: Resources, if_match: IfMatch
    ) -> Response[MethodOut]:
        """Makes it, or replaces what it was. Carts are priced by it at once, orders keep what they cost.

        With `If-Match`, stale → 412.
        """
        offers = [_offer(number, offer) for number, offer in enumerate(data.zones)]
        async with resources.sessions.begin() as session:
            await audit_log.note(session, caller.name, "shipping_method.define", words=code)
            fields = data.model_dump(include={"name", "position", "is_active"})
            method = await shipping_rates.put_method(
                session, code, fields, offers, expected=expected_versions(if_match)
            )
        return _tagged(_method(method))

    @delete("/{code:str}", permission=Permission.SHIPPING_WRITE, summary="Remove a shipping method", responses=REMOVALS)
    async def remove(self, code: Code, caller: Caller, resources: Resources, if_match: IfMatch) -> None:
        """Carts that have chosen it have to choose again; orders keep what they cost."""
        async with resources.sessions.begin() as session:
            await audit_log.note(session, caller.name, "shipping_method.remove", words=code)
            await shipping_rates.remove_method(session, code, expected=expected_versions(if_match))


def _check_bands(prices: PricesIn, priced_by: PricedBy) -> None:
    if any(band.from_goods is not None if priced_by is PricedBy.WEIGHT else band.from_grams for band in prices.bands):
        raise ValueError(f"a method that is priced by {priced_by} has bands of nothing else")
    starts = [band.starts_at for band in prices.in_bands(priced_by)]
    if starts[0] != 0:
        raise ValueError("the first band starts at 0")
    if len(set(starts)) < len(starts):
        raise ValueError("two bands start at the same place")


def _band(band: BandIn, priced_by: PricedBy) -> Band:
    goods = band.from_goods.as_money().minor if band.from_goods else 0
    starts_at = band.from_grams if priced_by is PricedBy.WEIGHT else goods
    return Band(starts_at, None if band.price is None else band.price.as_money().minor)


def _offer(number: int, data: OfferIn) -> Offer:
    for place, prices in enumerate(data.prices):
        check_currency(prices.currency, pointer=f"/zones/{number}/prices/{place}/currency")
    return Offer(
        zone=data.zone,
        estimated_days_min=data.estimated_days_min,
        estimated_days=data.estimated_days,
        priced_by=data.priced_by,
        prices=[
            Prices(
                currency=prices.currency,
                bands=prices.in_bands(data.priced_by),
                free_from=prices.free_from.as_money().minor if prices.free_from else None,
            )
            for prices in data.prices
        ],
    )


def _method(row: dict[str, Any]) -> dict[str, Any]:
    return {
        **row,
        "zones": [{**zone, "prices": [_prices(zone, prices) for prices in zone["prices"]]} for zone in row["zones"]],
    }


def _prices(zone: dict[str, Any], prices: dict[str, Any]) -> dict[str, Any]:
    currency = prices["currency"]

    def shown(minor: int | None) -> dict[str, Any] | None:
        return None if minor is None else amount(minor, currency)

    is_by_weight = zone["priced_by"] == PricedBy.WEIGHT
    return {
        "currency": currency,
        "bands": [
            {
                "from_grams": starts_at if is_by_weight else 0,
                "from_goods": None if is_by_weight else shown(starts_at),
                "price": shown(price),
            }
            for starts_at, price in prices["bands"]
        ],
        "free_from": shown(prices["free_from"]),
    }


def _tagged(written: dict[str, Any]) -> Response[Any]:
    return answer(encode_json(written), version=written["version"], cache=KEEP_NOTHING)
