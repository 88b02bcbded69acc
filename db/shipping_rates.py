"""Where the shop sends to, by which methods, and what they cost there.

Two rows of one tariff cannot overlap: a band has no end of its own, it ends where the next one starts. Neither can two
zones claim the same place: it is the key of their areas.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import BigInteger, CheckConstraint, ForeignKey, ForeignKeyConstraint, delete, insert, text
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Mapped, mapped_column

from db import versioned
from db.base import Base, one_of
from db.versioned import Versioned, Versions
from domain.errors import Refusal, unacceptable
from domain.shipping_rates import ANYWHERE, Band, PricedBy, Tariff, plain_postal_code, plain_region


class ShippingZone(Versioned, Base):
    """Where methods go to for the same price."""

    __tablename__ = "shipping_zones"

    name: Mapped[str]


class ShippingArea(Base):
    """A part of a zone: a country, or a region of it, or the places whose postal codes begin so."""

    __tablename__ = "shipping_areas"

    country: Mapped[str] = mapped_column(primary_key=True)
    region: Mapped[str] = mapped_column(primary_key=True, server_default="")
    postal_prefix: Mapped[str] = mapped_column(primary_key=True, server_default="")
    zone: Mapped[str] = mapped_column(ForeignKey("shipping_zones.code", ondelete="CASCADE"), index=True)

    __table_args__ = (
        CheckConstraint("country ~ '^([A-Z]{2}|[*])$'", name="country_code"),
        CheckConstraint("country <> '*' OR (region = '' AND postal_prefix = '')", name="anywhere_has_no_parts"),
    )


class ShippingMethod(Versioned, Base):
    __tablename__ = "shipping_methods"

    name: Mapped[str]
    estimated_days: Mapped[int] = mapped_column(server_default=text("0"))
    """What builds read that know of no zones; each zone has its own days."""
    position: Mapped[int] = mapped_column(server_default=text("0"))
    is_active: Mapped[bool] = mapped_column(server_default=text("true"))


class ShippingOffer(Base):
    """A method goes to a zone."""

    __tablename__ = "shipping_offers"

    code: Mapped[str] = mapped_column(ForeignKey("shipping_methods.code", ondelete="CASCADE"), primary_key=True)
    zone: Mapped[str] = mapped_column(ForeignKey("shipping_zones.code"), primary_key=True, index=True)
    estimated_days_min: Mapped[int]
    estimated_days: Mapped[int]
    priced_by: Mapped[str] = mapped_column(server_default=PricedBy.WEIGHT)

    __table_args__ = (
        CheckConstraint("estimated_days_min BETWEEN 0 AND estimated_days", name="days_in_order"),
        CheckConstraint(one_of("priced_by", PricedBy), name="priced_by"),
    )


class ShippingRate(Base):
    """What a method costs in a zone and a currency from here on, up to where the next rate starts, in minor units."""

    __tablename__ = "shipping_rates"

    code: Mapped[str] = mapped_column(primary_key=True)
    zone: Mapped[str] = mapped_column(primary_key=True, server_default="everywhere")
    currency: Mapped[str] = mapped_column(primary_key=True)
    starts_at: Mapped[int] = mapped_column(BigInteger, primary_key=True, server_default=text("0"), autoincrement=False)
    amount: Mapped[int | None] = mapped_column(BigInteger)
    """``None``: the method carries nothing from here on."""

    __table_args__ = (
        CheckConstraint("amount >= 0", name="amount_not_negative"),
        CheckConstraint("starts_at >= 0", name="starts_at_not_negative"),
        ForeignKeyConstraint(
            ["code", "zone"],
            ["shipping_offers.code", "shipping_offers.zone"],
            name="fk_shipping_rates_code_zone",
            ondelete="CASCADE",
        ),
    )


class FreeShipping(Base):
    """From which price of the goods on a method costs nothing in a zone and a currency."""

    __tablename__ = "free_shipping"

    code: Mapped[str] = mapped_column(primary_key=True)
    zone: Mapped[str] = mapped_column(primary_key=True)
    currency: Mapped[str] = mapped_column(primary_key=True)
    goods: Mapped[int] = mapped_column(BigInteger)

    __table_args__ = (
        CheckConstraint("goods >= 0", name="goods_not_negative"),
        ForeignKeyConstraint(
            ["code", "zone"],
            ["shipping_offers.code", "shipping_offers.zone"],
            name="fk_free_shipping_code_zone",
            ondelete="CASCADE",
        ),
    )


ADDRESS_OF_CART = """
    coalesce(carts.shipping_address, jsonb_build_object('country', current_setting('sutler.country', true)))
"""
"""SQL for where a cart goes to: before its customer has said so, into the shop's own country."""


def tariffs_to(address: str, currency: str, *, only: str | None = None) -> str:
    """SQL for the tariffs that go to an address, as JSON: those of its zone, which is the most specific one.

    A longer postal prefix comes before a shorter one, any of them before a region, and that before its country.
    """
    region = f"upper(btrim(coalesce({address} ->> 'region', '')))"
    postal_code = f"upper(regexp_replace(coalesce({address} ->> 'postal_code', ''), '\\s', '', 'g'))"
    return f"""
        (SELECT jsonb_agg(jsonb_build_object(
             'code', offer.code, 'name', method.name, 'zone', offer.zone, 'priced_by', offer.priced_by,
             'estimated_days_min', offer.estimated_days_min, 'estimated_days', offer.estimated_days,
             'bands', rates.bands, 'free_from', free.goods
         ) ORDER BY method.position, method.code)
         FROM (
             SELECT zone FROM shipping_areas
             WHERE country IN ({address} ->> 'country', '{ANYWHERE}') AND region IN ('', {region})
               AND starts_with({postal_code}, postal_prefix)
             ORDER BY length(postal_prefix) DESC, region = '', country = '{ANYWHERE}' LIMIT 1
         ) AS place
         JOIN shipping_offers AS offer ON offer.zone = place.zone
         JOIN shipping_methods AS method ON method.code = offer.code AND method.is_active
         CROSS JOIN LATERAL (
             SELECT jsonb_agg(jsonb_build_array(starts_at, amount) ORDER BY starts_at) AS bands FROM shipping_rates
             WHERE code = offer.code AND zone = offer.zone AND currency = {currency}
         ) AS rates
         LEFT JOIN free_shipping AS free
           ON free.code = offer.code AND free.zone = offer.zone AND free.currency = {currency}
         WHERE rates.bands IS NOT NULL{f" AND offer.code = {only}" if only else ""})
    """  # noqa: S608 (names of columns)


def tariffs_of(found: Sequence[Mapping[str, Any]] | None) -> list[Tariff]:
    """What :func:`tariffs_to` has found."""
    return [
        Tariff(
            **{
                **row,
                "priced_by": PricedBy(row["priced_by"]),
                "bands": tuple(Band(starts_at, price) for starts_at, price in row["bands"]),
            }
        )
        for row in found or ()
    ]


async def zones(session: AsyncSession) -> list[dict[str, Any]]:
    """All zones with their areas, by their codes."""
    return [dict(row) for row in (await session.execute(ZONES)).mappings()]


ZONES = text(
    """
    SELECT code, name, version, coalesce((
        SELECT jsonb_agg(jsonb_build_object('country', country, 'region', nullif(region, ''),
                                            'postal_prefix', nullif(postal_prefix, ''))
                         ORDER BY country, region, postal_prefix)
        FROM shipping_areas WHERE zone = code
    ), '[]') AS areas
    FROM shipping_zones ORDER BY code
    """
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Area:
    country: str
    region: str | None = None
    postal_prefix: str | None = None


async def put_zone(
    session: AsyncSession, code: str, name: str, areas: Sequence[Area], *, expected: Versions
) -> dict[str, Any]:
    """Make the zone, or change it; refuses ``precondition_failed``, and a place that another zone has."""
    await versioned.put(session, ShippingZone, code, {"name": name}, expected)
    await session.execute(delete(ShippingArea).where(ShippingArea.zone == code))
    for number, area in enumerate(areas):
        place = {
            "country": area.country,
            "region": plain_region(area.region),
            "postal_prefix": plain_postal_code(area.postal_prefix),
        }
        claimed = upsert(ShippingArea).values(zone=code, **place).on_conflict_do_nothing().returning(ShippingArea.zone)
        if await session.scalar(claimed) is None:
            raise unacceptable(f"/areas/{number}", "this place is in a zone already")
    return next(zone for zone in await zones(session) if zone["code"] == code)


async def remove_zone(session: AsyncSession, code: str, *, expected: Versions) -> None:
    """Refuses ``precondition_failed``, and ``shipping_zone_in_use`` while methods go there."""
    try:
        await versioned.remove(session, ShippingZone, code, expected)
    except IntegrityError as error:
        raise Refusal("shipping_zone_in_use", "Shipping methods go there; take the zone out of them first.") from error


async def methods(session: AsyncSession) -> list[dict[str, Any]]:
    """All methods with where they go to and for how much, in the order in which customers see them."""
    return [dict(row) for row in (await session.execute(METHODS)).mappings()]


METHODS = text(
    """
    SELECT code, name, position, is_active, version, coalesce((
        SELECT jsonb_agg(jsonb_build_object(
            'zone', zone, 'estimated_days_min', estimated_days_min, 'estimated_days', estimated_days,
            'priced_by', priced_by, 'prices', (
                SELECT jsonb_agg(jsonb_build_object(
                    'currency', currency, 'bands', bands, 'free_from', (
                        SELECT goods FROM free_shipping AS free
                        WHERE (free.code, free.zone, free.currency) = (offer.code, offer.zone, priced.currency)
                    )
                ) ORDER BY currency)
                FROM (
                    SELECT currency, jsonb_agg(jsonb_build_array(starts_at, amount) ORDER BY starts_at) AS bands
                    FROM shipping_rates AS rate WHERE (rate.code, rate.zone) = (offer.code, offer.zone)
                    GROUP BY currency
                ) AS priced
            )
        ) ORDER BY zone)
        FROM shipping_offers AS offer WHERE offer.code = method.code
    ), '[]') AS zones
    FROM shipping_methods AS method ORDER BY position, code
    """
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Prices:
    currency: str
    bands: Sequence[Band]
    free_from: int | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Offer:
    zone: str
    estimated_days_min: int
    estimated_days: int
    priced_by: PricedBy
    prices: Sequence[Prices]


async def put_method(
    session: AsyncSession, code: str, fields: Mapping[str, Any], offers: Sequence[Offer], *, expected: Versions
) -> dict[str, Any]:
    """Make the method, or change it; refuses ``precondition_failed`` and zones that are not there."""
    days = max((offer.estimated_days for offer in offers), default=0)
    await versioned.put(session, ShippingMethod, code, {**fields, "estimated_days": days}, expected)
    await session.execute(delete(ShippingOffer).where(ShippingOffer.code == code))
    for number, offer in enumerate(offers):
        await _offer(session, code, offer, f"/zones/{number}/zone")
    return next(method for method in await methods(session) if method["code"] == code)


async def _offer(session: AsyncSession, code: str, offer: Offer, pointer: str) -> None:
    place = {"code": code, "zone": offer.zone}
    try:
        await session.execute(
            insert(ShippingOffer).values(
                **place,
                estimated_days_min=offer.estimated_days_min,
                estimated_days=offer.estimated_days,
                priced_by=offer.priced_by,
            )
        )
    except IntegrityError as error:
        raise unacceptable(pointer, "there is no such zone, or it is named twice") from error
    for prices in offer.prices:
        tariff = {**place, "currency": prices.currency}
        bands = [{**tariff, "starts_at": band.starts_at, "amount": band.price} for band in prices.bands]
        await session.execute(insert(ShippingRate), bands)
        if prices.free_from is not None:
            await session.execute(insert(FreeShipping).values(**tariff, goods=prices.free_from))


async def remove_method(session: AsyncSession, code: str, *, expected: Versions) -> None:
    """Carts that have chosen it have to choose again; orders keep its code. Refuses ``precondition_failed``."""
    await versioned.remove(session, ShippingMethod, code, expected)
